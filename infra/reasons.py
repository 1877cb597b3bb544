"""Why a finding of cdk-nag stands: each with a reason of its own, at the construct that it is about."""

from collections.abc import Mapping

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct


def explain(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Acknowledge findings of a construct and what is below it, by rule: `AwsSolutions-IAM5[Resource::*]`."""
    Validations.of(construct).acknowledge(
        *(Acknowledgment(id=rule, reason=reason) for rule, reason in reasons.items())
    )
