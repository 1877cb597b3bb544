"""Evaluation: the worker that scales with its lag, and the schedules of drift and compaction."""

from aws_cdk import App

from infra.layers import PlatformStack
from infra.settings import Deployment
from infra.stacks.data import DataStack
from infra.stacks.identity import IdentityStack
from infra.stacks.network import NetworkStack


class EvaluationStack(PlatformStack):
    """Layer 2."""

    def __init__(
        self,
        app: App,
        deployment: Deployment,
        *,
        network: NetworkStack,
        data: DataStack,
        identity: IdentityStack,
    ) -> None:
        super().__init__(app, "evaluation", deployment, layer="evaluate")
