"""Watching: the console, what keeps the alarms, the platform's own alarms, who hears of them, and Grafana."""

from aws_cdk import App

from infra.grafana import Grafana
from infra.layers import PlatformStack
from infra.platform_alarms import PlatformAlarms
from infra.receivers import subscribe
from infra.settings import Deployment
from infra.stacks.data import DataStack
from infra.stacks.gateway import GatewayStack
from infra.stacks.identity import IdentityStack
from infra.stacks.network import NetworkStack


class WatchStack(PlatformStack):
    """Layer 4."""

    def __init__(
        self,
        app: App,
        deployment: Deployment,
        *,
        network: NetworkStack,
        data: DataStack,
        identity: IdentityStack,
        gateway: GatewayStack,
    ) -> None:
        super().__init__(app, "watch", deployment, layer="watch")
        PlatformAlarms(self, "alarms", deployment)
        subscribe(self, deployment.receivers, data)
        self.grafana = Grafana(self, "grafana", deployment, data)
