"""Whether the catalogue's SageMaker endpoints are in service, with the instances that they should have."""

from collections.abc import Collection, Sequence
from typing import Final

import aioboto3
from botocore.exceptions import ClientError

from llmplatform.aws.refusals import error_code
from operator_cli.check import Check
from operator_cli.doctor_aws.looking import Look

_NO_SUCH: Final = "ValidationException"


def endpoints_look(names: Collection[str]) -> Look:
    """Health of endpoints by name."""

    async def ask(session: aioboto3.Session) -> Sequence[Check]:
        bad: list[Check] = []
        async with session.client("sagemaker") as sagemaker:
            for name in sorted(names):
                try:
                    found = await sagemaker.describe_endpoint(EndpointName=name)
                except ClientError as error:
                    if error_code(error) != _NO_SUCH:
                        raise
                    bad.append(
                        Check(
                            "endpoints",
                            "failed",
                            f"there is no endpoint {name}",
                            "create it, or correct backend_model_id in the catalogue",
                        )
                    )
                    continue
                variants = [
                    (
                        one["VariantName"],
                        one.get("CurrentInstanceCount", 0),
                        one.get("DesiredInstanceCount", 0),
                    )
                    for one in found.get("ProductionVariants", [])
                ]
                check = endpoint_check(name, found["EndpointStatus"], found.get("FailureReason"), variants)
                if check.status != "ok":
                    bad.append(check)
        if bad or not names:
            return bad or [Check("endpoints", "ok", "the catalogue names none")]
        return [Check("endpoints", "ok", f"in service: {', '.join(sorted(names))}")]

    return Look("endpoints", "sagemaker:DescribeEndpoint", ask)


def endpoint_check(
    name: str, status: str, reason: str | None, variants: Sequence[tuple[str, int, int]]
) -> Check:
    """An endpoint by what SageMaker says of it; `variants` are name, instances there, instances wanted."""
    if status != "InService":
        why = f": {reason}" if reason else ""
        return Check(
            "endpoints", "failed", f"{name} is {status}{why}", "look at its events in the SageMaker console"
        )
    short = [f"{variant} has {there} of {wanted}" for variant, there, wanted in variants if there < wanted]
    if short:
        return Check(
            "endpoints",
            "warning",
            f"{name}: {', '.join(short)} instances",
            "ask for the quota of its instance type, or wait",
        )
    return Check("endpoints", "ok", name)
