"""Models and endpoints that may be called: those that are named, and no other.

An inference profile routes to regions that Bedrock chooses, and the model in each of them must be allowed
too: it is, when it is reached through one of these profiles (`bedrock:InferenceProfileArn`). Converse and
ConverseStream are allowed as InvokeModel and InvokeModelWithResponseStream.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from infra.models import application_profiles, bedrock_arns, endpoint_arns
from infra.permissions.account import Account
from infra.permissions.statement import Statement, where
from llmplatform.catalogue import Catalogue

WHOLE: Final = "bedrock:InvokeModel"
STREAMED: Final = "bedrock:InvokeModelWithResponseStream"
_ANY_MODEL: Final = "arn:aws:bedrock:*::foundation-model/*"
_PROFILE: Final = "inference-profile/"


def bedrock(account: Account, models: Iterable[str], actions: Sequence[str]) -> tuple[Statement, ...]:
    """Models by id, profile id or ARN, and what is behind those that are profiles."""
    models = list(models)
    arns = bedrock_arns(models, account.deployment)
    named = tuple(arn for arn in arns if "*" not in arn)
    profiles = [arn for arn in named if _PROFILE in arn]
    behind = [arn for arn in arns if "*" in arn]
    if application_profiles(models):
        behind.append(_ANY_MODEL)
    statements = [Statement("Models", tuple(actions), named)] if named else []
    if behind:
        statements.append(
            Statement(
                "ModelsBehindProfiles",
                tuple(actions),
                tuple(behind),
                where("StringEquals", {"bedrock:InferenceProfileArn": profiles}),
                because="which regions a profile routes to is Bedrock's to choose, and which model is behind "
                "one that the account made it alone knows; nothing is reached but through these profiles",
            )
        )
    return tuple(statements)


def sagemaker(account: Account, catalogue: Catalogue) -> tuple[Statement, ...]:
    """Calls of the catalogue's endpoints, and of the inference components that it names."""
    arns = endpoint_arns(catalogue, account.deployment)
    actions = ("sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream")
    return (Statement("Endpoints", actions, tuple(arns)),) if arns else ()


def described(account: Account, catalogue: Catalogue) -> tuple[Statement, ...]:
    """What runs behind the catalogue's endpoints, and which models behind profiles that the account made."""
    profiles = Statement(
        "ModelsOfProfiles",
        ("bedrock:GetInferenceProfile",),
        (account.arn("bedrock", "application-inference-profile/*"),),
        because="the ledger also names profiles of earlier catalogues; told is only which model it is",
    )
    if not catalogue.endpoints:
        return (profiles,)
    # SageMaker writes ARNs in lower case; a role may be asked for either.
    spelt = dict.fromkeys(one for name in catalogue.endpoints for one in (name, name.lower()))
    endpoints = tuple(account.arn("sagemaker", f"endpoint/{name}") for name in spelt)
    return (Statement("HoursOfEndpoints", ("sagemaker:DescribeEndpoint",), endpoints), profiles)
