"""The console as a service behind the load balancer, and who signs in there before it is asked.

With an identity provider, the load balancer sends people to it first and signs what it says of them; the
console believes that signature of this load balancer alone. Without one, people sign in with a key.
"""

from collections.abc import Mapping
from typing import Final

from aws_cdk import Duration, RemovalPolicy, SecretValue
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.layers import PREFIX
from infra.process import FargateProcess
from infra.reasons import explain
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
        grafana_url: str,
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
                "WATCH_PUBLIC_URL": f"https://{deployment.hosts.console}",
                "WATCH_GRAFANA_URL": grafana_url,
                "WATCH_SESSION_H": str(SESSION_H),
                **limits_of(deployment),
                **_believed(deployment.oidc, gateway, network),
            },
            secrets={"WATCH_SESSION_KEY": ecs.Secret.from_secrets_manager(self._session_key())},
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
        self._serve(deployment, network, gateway)

    def _session_key(self) -> secretsmanager.Secret:
        made = secretsmanager.Secret(
            self,
            "session-key",
            description="Signs the console's sessions: the same for all its tasks",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                password_length=64, exclude_punctuation=True
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        explain(made, {"AwsSolutions-SMG4": "a new one ends all sessions: it is changed when that is wanted"})
        return made

    def _serve(self, deployment: Deployment, network: NetworkStack, gateway: GatewayStack) -> None:
        targets = elb.ApplicationTargetGroup(
            self,
            "targets",
            target_group_name=f"{PREFIX}-console",
            vpc=network.vpc,
            target_type=elb.TargetType.IP,
            protocol=elb.ApplicationProtocol.HTTP,
            protocol_version=elb.ApplicationProtocolVersion.HTTP1,
            port=PORT,
            deregistration_delay=Duration.seconds(30),
            health_check=elb.HealthCheck(
                path="/healthz", healthy_http_codes="200", interval=Duration.seconds(15)
            ),
        )
        self.service.service.attach_to_application_target_group(targets)
        serve = elb.ListenerAction.forward([targets])
        elb.ApplicationListenerRule(
            self,
            "rule",
            listener=gateway.listener,
            priority=PRIORITY,
            conditions=[elb.ListenerCondition.host_headers([deployment.hosts.console])],
            action=serve if deployment.oidc is None else _signed_in(deployment.oidc, serve),
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
