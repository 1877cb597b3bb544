"""Where images are kept: the platform's in one repository, the collector's in another.

Tags are never replaced, and an image with a tag is never expired: which one runs, and which a roll-back would
go back to, no rule of a registry can know. Whoever wants the $0.10 a GB and month back deletes a tag.
"""

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_ecr as ecr
from constructs import Construct

from infra.layers import PREFIX
from infra.removal import removal_policy
from infra.settings import Deployment

PLATFORM: Final = PREFIX
COLLECTOR: Final = f"{PREFIX}-collector"
"""A task's endpoints let it pull what begins with the prefix."""
UNTAGGED_KEPT_DAYS: Final = 7
"""What an index of several platforms that was deleted leaves; ECR expires no part of one that is there."""


def repository(scope: Construct, name: str, deployment: Deployment) -> ecr.Repository:
    """The repository of this name."""
    return ecr.Repository(
        scope,
        f"{name}-images",
        repository_name=name,
        image_tag_mutability=ecr.TagMutability.IMMUTABLE,
        image_scan_on_push=True,
        lifecycle_rules=[
            ecr.LifecycleRule(
                description="what nothing names",
                tag_status=ecr.TagStatus.UNTAGGED,
                max_image_age=Duration.days(UNTAGGED_KEPT_DAYS),
            )
        ],
        empty_on_delete=deployment.deletable,
        removal_policy=removal_policy(deployment),
    )
