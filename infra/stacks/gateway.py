"""The single way in: load balancer, firewall and the gateway's service."""

from aws_cdk import App

from infra.layers import PlatformStack
from infra.settings import Deployment
from infra.stacks.data import DataStack
from infra.stacks.identity import IdentityStack
from infra.stacks.network import NetworkStack


class GatewayStack(PlatformStack):
    """What serves inference."""

    def __init__(
        self,
        app: App,
        deployment: Deployment,
        *,
        network: NetworkStack,
        data: DataStack,
        identity: IdentityStack,
    ) -> None:
        super().__init__(app, "gateway", deployment, layer=None)
