"""The load balancer that everybody comes to, by host: clients to the gateway, people to the console.

It hands on what comes as it comes, in both directions (it buffers for Lambda targets alone): nothing here
holds a stream back. It speaks TLS 1.2 or 1.3 and HTTP/1.1 or 2 with clients, HTTP/1.1 with tasks.
"""

from collections.abc import Callable
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elb
from constructs import Construct

from infra.firewall import Firewall
from infra.layers import PREFIX
from infra.reasons import explain
from infra.service import FargateService
from infra.settings import Deployment
from infra.stacks.network import HTTPS, NetworkStack, way_out

IDLE_TIMEOUT_S: Final = 300
"""Of a connection on which nothing is said. Streams are pinged far more often; an answer in one piece may
take this long, and a longer one has to be streamed. AWS's networks forget a quiet connection after 350 s."""
_HTTP: Final = 80


class LoadBalancer(Construct):
    """Load balancer, listeners and firewall; a host that nobody serves gets a 404."""

    def __init__(self, scope: Construct, deployment: Deployment, network: NetworkStack) -> None:
        super().__init__(scope, "door")
        self.load_balancer = elb.ApplicationLoadBalancer(
            self,
            "load-balancer",
            load_balancer_name=PREFIX,
            vpc=network.vpc,
            vpc_subnets=network.load_balancer_subnets,
            internet_facing=network.is_open,
            security_group=self._security_group(deployment, network),
            idle_timeout=Duration.seconds(IDLE_TIMEOUT_S),
            drop_invalid_header_fields=True,
            desync_mitigation_mode=elb.DesyncMitigationMode.STRICTEST,
            preserve_host_header=True,
            deletion_protection=not deployment.deletable,
        )
        self.load_balancer.log_access_logs(network.logs_bucket, "load-balancer")
        self.load_balancer.add_listener(
            "http",
            port=_HTTP,
            open=False,
            default_action=elb.ListenerAction.redirect(protocol="HTTPS", port=str(HTTPS), permanent=True),
        )
        self.listener = self.load_balancer.add_listener(
            "https",
            port=HTTPS,
            open=False,
            certificates=[elb.ListenerCertificate.from_arn(deployment.hosts.certificate_arn)],
            ssl_policy=elb.SslPolicy.TLS13_12_RES_PQ,
            default_action=elb.ListenerAction.fixed_response(404, content_type="text/plain"),
        )
        Firewall(self, self.load_balancer, deployment)

    def _security_group(self, deployment: Deployment, network: NetworkStack) -> ec2.ISecurityGroup:
        """In from clients; out to the tasks that it serves, which adds each, and to the identity provider."""
        providers = () if deployment.oidc is None else deployment.oidc.addresses
        group = network.closed_group(
            self,
            "load-balancer-group",
            "the load balancer",
            [
                way_out(HTTPS, "the identity provider, for the tokens of who signs in", cidr_ip=str(provider))
                for provider in providers
            ],
        )
        for clients in deployment.network.clients:
            for port in (_HTTP, HTTPS):
                group.add_ingress_rule(ec2.Peer.ipv4(str(clients)), ec2.Port.tcp(port), "clients")
        if any(clients.prefixlen == 0 for clients in deployment.network.clients):
            explain(group, {"AwsSolutions-EC23": "clients come from anywhere, by this deployment's settings"})
        return group


def serve(
    scope: Construct,
    name: str,
    *,
    service: FargateService,
    network: NetworkStack,
    listener: elb.IApplicationListener,
    host: str,
    priority: int,
    port: int,
    asked_at: str,
    longest_s: int,
    before: Callable[[elb.ListenerAction], elb.ListenerAction] = lambda served: served,
) -> None:
    """Bring what comes for `host` to a service's tasks.

    A task gets requests while `asked_at` answers 200, and is let to those under way for `longest_s` when it
    leaves. `before` puts something in front of it, such as a sign-in.
    """
    targets = elb.ApplicationTargetGroup(
        scope,
        "targets",
        target_group_name=f"{PREFIX}-{name}",
        vpc=network.vpc,
        target_type=elb.TargetType.IP,
        protocol=elb.ApplicationProtocol.HTTP,
        protocol_version=elb.ApplicationProtocolVersion.HTTP1,
        port=port,
        # Streams differ a hundredfold in length: the next one goes where the fewest are.
        load_balancing_algorithm_type=elb.TargetGroupLoadBalancingAlgorithmType.LEAST_OUTSTANDING_REQUESTS,
        deregistration_delay=Duration.seconds(longest_s),
        health_check=elb.HealthCheck(
            path=asked_at,
            healthy_http_codes="200",
            interval=Duration.seconds(10),
            timeout=Duration.seconds(5),
            healthy_threshold_count=2,
            unhealthy_threshold_count=3,
        ),
    )
    service.service.attach_to_application_target_group(targets)
    elb.ApplicationListenerRule(
        scope,
        "rule",
        listener=listener,
        priority=priority,
        conditions=[elb.ListenerCondition.host_headers([host])],
        action=before(elb.ListenerAction.forward([targets])),
    )
