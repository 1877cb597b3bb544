"""Watching: the console, what keeps the alarms, the platform's own alarms, who hears of them, and Grafana."""

from typing import Final

from aws_cdk import App, CfnOutput

from infra.console import Console, limits_of
from infra.grafana import Grafana
from infra.layers import PlatformStack
from infra.platform_alarms import PlatformAlarms
from infra.process import FargateProcess
from infra.receivers import subscribe
from infra.service import FargateService
from infra.settings import Deployment, Tasks
from infra.stacks.data import DataStack
from infra.stacks.gateway import GatewayStack
from infra.stacks.identity import IdentityStack
from infra.stacks.network import NetworkStack
from llmplatform.aws.tables import WATCH_LOGS

ALARMS_EVERY_S: Final = 300
"""A tenant's alarms come with the tenant; this is how soon those of new scores and models do."""
ONE_SMALL_TASK: Final = Tasks(cpu=256, memory_mib=512, least=1, most=1)


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
        PlatformAlarms(self, "alarms-of-platform", deployment)
        subscribe(self, deployment.receivers, data)
        self.grafana = Grafana(self, "grafana", deployment, data) if deployment.grafana.enabled else None
        grafana_url = None if self.grafana is None else self.grafana.url
        self.console = Console(
            self,
            deployment,
            network=network,
            data=data,
            identity=identity,
            gateway=gateway,
            grafana_url=grafana_url,
        )
        if grafana_url is not None:
            CfnOutput(
                self,
                "GrafanaUrl",
                value=grafana_url,
                description="The workspace that dashboards are put into",
            )
        CfnOutput(
            self,
            "ConsoleUrl",
            value=deployment.hosts.console_url,
            description="The console, once its name is pointed here",
        )
        job = FargateProcess(
            self,
            "alarms",
            deployment=deployment,
            repository=data.repository,
            role=identity.roles["alarms"],
            log_group=data.log_groups[WATCH_LOGS.name],
            command=["python", "-m", "watch", "apply", "--every", f"{ALARMS_EVERY_S}"],
            environment={"WATCH_PUBLIC_URL": deployment.hosts.console_url, **limits_of(deployment)},
            cpu=ONE_SMALL_TASK.cpu,
            memory_mib=ONE_SMALL_TASK.memory_mib,
        )
        FargateService(self, "alarms", process=job, network=network, tasks=ONE_SMALL_TASK)
