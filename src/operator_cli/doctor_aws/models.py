"""Whether the account may call the catalogue's models on Bedrock, and the judge."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aioboto3
from botocore.exceptions import ClientError

from llmplatform.aws.refusals import error_code
from llmplatform.bedrock_ids import price_key_of
from operator_cli.check import Check
from operator_cli.doctor_aws.looking import Look

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_bedrock import BedrockClient

_UNKNOWN_MODEL: Final = frozenset({"ResourceNotFoundException", "ValidationException"})


@dataclass(frozen=True, slots=True)
class Availability:
    """What Bedrock says of a foundation model in this account and region."""

    agreement: str
    """`AVAILABLE`, `PENDING`, `NOT_AVAILABLE` or `ERROR`."""
    authorized: bool
    entitled: bool
    in_region: bool


def models_look(models: Mapping[str, str]) -> Look:
    """Access to models: `models` has Bedrock's ids by the names that people know them by."""

    async def ask(session: aioboto3.Session) -> Sequence[Check]:
        async with session.client("bedrock") as bedrock:
            return joined(
                [access_check(name, await _availability(bedrock, models[name])) for name in sorted(models)]
            )

    return Look("model access", "bedrock:GetFoundationModelAvailability, bedrock:GetInferenceProfile", ask)


async def _availability(bedrock: "BedrockClient", model_id: str) -> Availability | None:
    """Of the model itself or behind a profile; None when Bedrock knows neither."""
    try:
        foundation = await foundation_model(bedrock, model_id)
        answer = await bedrock.get_foundation_model_availability(modelId=foundation)
    except ClientError as error:
        if error_code(error) in _UNKNOWN_MODEL:
            return None
        raise
    return Availability(
        agreement=answer["agreementAvailability"]["status"],
        authorized=answer["authorizationStatus"] == "AUTHORIZED",
        entitled=answer["entitlementAvailability"] == "AVAILABLE",
        in_region=answer["regionAvailability"] == "AVAILABLE",
    )


async def foundation_model(bedrock: "BedrockClient", model_id: str) -> str:
    """The id of the foundation model behind an inference profile; of a model, its own."""
    key = price_key_of(model_id)
    if key is not None and key.endswith("/in-region"):
        return model_id.rpartition("/")[2]
    profile = await bedrock.get_inference_profile(inferenceProfileIdentifier=model_id)
    return profile["models"][0]["modelArn"].rpartition("/")[2]


def access_check(name: str, found: Availability | None) -> Check:
    """What one model lacks, worst first."""
    if found is None:
        return Check(
            "model access",
            "failed",
            f"{name}: Bedrock knows no such model or profile in this region",
            "correct backend_model_id in the catalogue, or AWS_REGION",
        )
    if not found.in_region:
        return Check(
            "model access",
            "failed",
            f"{name}: not offered in this region",
            "choose an inference profile (us., eu., global.) in the catalogue",
        )
    if found.agreement != "AVAILABLE" or not found.entitled:
        return Check(
            "model access",
            "failed",
            f"{name}: its agreement is {found.agreement}",
            "open it in Bedrock's model catalog and subscribe (Anthropic asks for a use case once)",
        )
    if not found.authorized:
        return Check(
            "model access",
            "failed",
            f"{name}: these credentials may not use it",
            "allow bedrock:InvokeModel for it; look for a service control policy that denies it",
        )
    return Check("model access", "ok", name)


def joined(checks: Collection[Check]) -> Sequence[Check]:
    """What fails one by one, what is well in one line."""
    bad = [check for check in checks if check.status != "ok"]
    fine = [check.found for check in checks if check.status == "ok"]
    if not fine:
        return bad
    return [*bad, Check("model access", "ok", ", ".join(fine))]
