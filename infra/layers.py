"""A stack of the platform: its name, its account and region, and what it costs under which tag.

`observability-layer` is the cost-allocation tag: which part of observing a resource belongs to. What serves
inference whether somebody watches or not (network, load balancer, gateway tasks) has none: the AWS Budget on
this tag is about what observing costs.
"""

from typing import Final, Literal

from aws_cdk import App, Environment, Stack, Tags

from infra.settings import Deployment
from llmplatform.account_budget import COST_TAG

PREFIX: Final = "llm-platform"
TAG: Final = COST_TAG
Layer = Literal["collect", "evaluate", "attribute", "watch"]


class PlatformStack(Stack):
    """`llm-platform-{name}` in the deployment's account and region; everything in it belongs to `layer`."""

    def __init__(self, app: App, name: str, deployment: Deployment, *, layer: Layer | None) -> None:
        super().__init__(
            app,
            f"{PREFIX}-{name}",
            env=Environment(account=deployment.account, region=deployment.region),
            termination_protection=not deployment.deletable,
        )
        if layer is not None:
            Tags.of(self).add(TAG, layer)
