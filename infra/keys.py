"""The customer-managed key of a class of data: rotated every year, and open to this account alone.

A key's policy leaves it to IAM who of the account may use it: `identity` says so for each process. Where a
service itself uses a key, its policy names the service, and for whom it may act.
"""

from collections.abc import Iterator

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.removal import removal_policy
from infra.settings import Deployment
from llmplatform.aws.tables import CONTENT_LOGS, DataKey

_ENCRYPTS = ("kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*")
_PUBLISHES = ("kms:Decrypt", "kms:GenerateDataKey*")


def make_key(scope: Construct, key: DataKey, deployment: Deployment) -> kms.Key:
    """The key of a class, with its alias.

    A production's key can be brought back for 30 days after it was given up, and all that is under it.
    """
    made = kms.Key(
        scope,
        f"{key.data_class}-key",
        alias=key.alias,
        description=f"llm-platform: {key.data_class}",
        enable_key_rotation=True,
        pending_window=Duration.days(7 if deployment.deletable else 30),
        removal_policy=removal_policy(deployment),
    )
    for statement in _services(key, deployment):
        made.add_to_resource_policy(statement)
    return made


def _services(key: DataKey, deployment: Deployment) -> Iterator[iam.PolicyStatement]:
    account, region = deployment.account, deployment.region
    match key.data_class:
        case "logs" | "content-logs":
            groups = CONTENT_LOGS.name if key == CONTENT_LOGS.key else "/llm-platform/*"
            arn = f"arn:aws:logs:{region}:{account}:log-group:{groups}"
            yield _by(
                f"logs.{region}.amazonaws.com",
                _ENCRYPTS,
                {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": arn}},
            )
        case "topics":
            for service in ("cloudwatch", "budgets"):
                yield _by(
                    f"{service}.amazonaws.com",
                    _PUBLISHES,
                    {"StringEquals": {"aws:SourceAccount": account}},
                )
        case _:
            return


def _by(service: str, actions: tuple[str, ...], condition: dict[str, dict[str, str]]) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        principals=[iam.ServicePrincipal(service)],
        actions=list(actions),
        resources=["*"],  # in a key's policy: this key
        conditions=condition,
    )
