"""The console as a service behind the load balancer, and who signs in there before it is asked.

With an identity provider, the load balancer sends people to it first and signs what it says of them; the
console believes that signature of this load balancer alone. Without one, people sign in with a key.
"""

from collections.abc import Mapping
from typing import Final

from aws_cdk import Duration, SecretValue
from aws_cdk import aws_elasticloadbalancingv2 as elb
from constructs import Construct

from infra.load_balancer import serve
from infra.process import FargateProcess, drawn_secret
from infra.service import FargateService
from infra.settings import Deployment, Oidc
from infra.stacks.data import DataStack
from infra.stacks.gateway import GatewayStack
from infra.stacks.identity import IdentityStack
from infra.stacks.network import NetworkStack
from llmplatform.aws.tables import WATCH_LOGS
from watch.limits import PREFIX as LIMITS_PREFIX

PORT: Final = 8100
PRIORITY: Final = 100
"""Of the listener's rule: the gateway's are below."""
LONGEST_S: Final = 30
"""Of a page."""
SESSION_H: Final = 12
CPU_PERCENT: Final = 60


class Console(Construct):
    """The service; its address is the deployment's `hosts.console`."""

    def __init__(
        self,
        scope: Construct,
        deployment: Deployment,
        *,
        network: NetworkStack,
        data: DataStack,
        identity: IdentityStack,
        gateway: GatewayStack,
        grafana_url: str | None,
    ) -> None:
        super().__init__(scope, "console")
        process = FargateProcess(
            self,
            "console",
            deployment=deployment,
            repository=data.repository,
            role=identity.roles["console"],
            log_group=data.log_groups[WATCH_LOGS.name],
            command=["python", "-m", "watch"],
            environment={
                "WATCH_HOST": "0.0.0.0",
                "WATCH_PORT": str(PORT),
                "WATCH_PUBLIC_URL": deployment.hosts.console_url,
                **({} if grafana_url is None else {"WATCH_GRAFANA_URL": grafana_url}),
                "WATCH_SESSION_H": str(SESSION_H),
                **limits_of(deployment),
                **_believed(deployment.oidc, gateway, network),
            },
            secrets={
                "WATCH_SESSION_KEY": drawn_secret(
                    self,
                    "session-key",
                    "Signs the console's sessions: the same for all its tasks",
                    never_rotated="a new one ends all sessions: it is changed when that is wanted",
                )
            },
            cpu=deployment.console.cpu,
            memory_mib=deployment.console.memory_mib,
            port=PORT,
        )
        self.service = FargateService(
            self,
            "console",
            process=process,
            network=network,
            tasks=deployment.console,
            behind_load_balancer=True,
        )
        self.service.scaling.scale_on_cpu_utilization("cpu", target_utilization_percent=CPU_PERCENT)
        oidc = deployment.oidc
        serve(
            self,
            "console",
            service=self.service,
            network=network,
            listener=gateway.listener,
            host=deployment.hosts.console,
            priority=PRIORITY,
            port=PORT,
            asked_at="/healthz",
            longest_s=LONGEST_S,
            before=lambda served: served if oidc is None else _signed_in(oidc, served),
        )


def limits_of(deployment: Deployment) -> Mapping[str, str]:
    """The deployment's own thresholds of alarms, as the variables of whoever shows or puts them."""
    return {f"{LIMITS_PREFIX}{name.upper()}": f"{value:g}" for name, value in deployment.alarms.items()}


def _signed_in(oidc: Oidc, then: elb.ListenerAction) -> elb.ListenerAction:
    return elb.ListenerAction.authenticate_oidc(
        issuer=oidc.issuer,
        authorization_endpoint=oidc.authorization_endpoint,
        token_endpoint=oidc.token_endpoint,
        user_info_endpoint=oidc.user_info_endpoint,
        client_id=oidc.client_id,
        client_secret=SecretValue.secrets_manager(oidc.client_secret_arn),
        scope="openid profile groups",
        session_timeout=Duration.hours(SESSION_H),
        # Or CDK would let the load balancer out to any address; the deployment names the provider's.
        allow_https_outbound=False,
        next=then,
    )


def _believed(oidc: Oidc | None, gateway: GatewayStack, network: NetworkStack) -> dict[str, str]:
    if oidc is None or network.alb_keys_url is None:
        return {}
    told = {
        "WATCH_ALB_ARN": gateway.load_balancer.load_balancer_arn,
        "WATCH_ALB_KEYS_URL": network.alb_keys_url,
        "WATCH_OIDC_ISSUER": oidc.issuer,
        "WATCH_OIDC_CLIENT_ID": oidc.client_id,
        "WATCH_OIDC_OPERATOR_GROUP": oidc.operator_group,
        "WATCH_OIDC_BILLING_GROUP": oidc.billing_group,
        "WATCH_OIDC_TENANT_GROUP_PREFIX": oidc.tenant_group_prefix,
    }
    return {name: value for name, value in told.items() if value is not None}
