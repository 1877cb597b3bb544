"""Where the processes run: private subnets without a way out, the endpoints of AWS services, the cluster.

No task has a route to the internet: there is no NAT, and the one internet gateway, where there is one at
all, is the load balancer's subnets'. Names outside AWS are not even resolved, since a name that is asked for
can carry data too. Tests list every way out.
"""

from collections.abc import Sequence
from typing import Final

from aws_cdk import App
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_route53resolver as resolver
from constructs import Construct

from infra.alb_keys import AlbKeys
from infra.endpoints import Endpoint, endpoints
from infra.layers import PREFIX, PlatformStack
from infra.network_logs import FLOWS, logs_bucket
from infra.reasons import explain
from infra.settings import LOAD_BALANCER_PREFIX, TASKS_PREFIX, Deployment

TASKS: Final = "tasks"
LOAD_BALANCER: Final = "load-balancer"
"""The two kinds of subnets."""
HTTPS: Final = 443
_NOWHERE: Final = ec2.CfnSecurityGroup.EgressProperty(
    ip_protocol="icmp", from_port=252, to_port=86, cidr_ip="255.255.255.255/32", description="nowhere"
)


class NetworkStack(PlatformStack):
    """The VPC, its endpoints and the cluster."""

    def __init__(self, app: App, deployment: Deployment) -> None:
        super().__init__(app, "network", deployment, layer=None)
        self._deployment = deployment
        self.is_open = deployment.network.exposure == "internet"
        """Whether the load balancer may be reached from the internet."""
        self.vpc = self._vpc()
        self.task_subnets = ec2.SubnetSelection(subnet_group_name=TASKS)
        self.load_balancer_subnets = ec2.SubnetSelection(subnet_group_name=LOAD_BALANCER)
        self._endpoints_group = self.closed_group(self, "endpoints", "endpoints of AWS services", [])
        self._endpoints_group.add_ingress_rule(
            ec2.Peer.ipv4(str(deployment.network.cidr)), ec2.Port.tcp(HTTPS), "tasks of this network"
        )
        for endpoint in endpoints(deployment):
            self._add(endpoint)
        self._connect_clients()
        self._resolve_aws_alone()
        self.logs_bucket = logs_bucket(self, deployment)
        """Of the network and the load balancer: who spoke with whom, and when. Nothing of what was said."""
        self.vpc.add_flow_log("flows", destination=ec2.FlowLogDestination.to_s3(self.logs_bucket, FLOWS))
        self.alb_keys_url = None if deployment.oidc is None else AlbKeys(self, self.vpc, self._interface).url
        """What WATCH_ALB_KEYS_URL is to be; None where nobody signs in at the load balancer."""
        self.cluster = ecs.Cluster(self, "cluster", cluster_name=PREFIX, vpc=self.vpc)
        explain(
            self.cluster,
            {
                "AwsSolutions-ECS4": "CPU and memory of each service come without; the processes publish the "
                "rest themselves, and Container Insights would bill it a second time"
            },
        )

    def task_security_group(self, scope: Construct, name: str) -> ec2.ISecurityGroup:
        """A security group for the tasks of one process: out to the endpoints, and nowhere else.

        It lets nothing in; who serves a port lets its load balancer in.
        """
        lists = self._deployment.network.prefix_lists
        endpoints_group = self._endpoints_group.security_group_id
        return self.closed_group(
            scope,
            f"{name}-tasks",
            f"tasks of {name}",
            [
                way_out(HTTPS, "interface endpoints", destination_security_group_id=endpoints_group),
                way_out(HTTPS, "S3, by its endpoint", destination_prefix_list_id=lists.s3),
                way_out(
                    HTTPS, "DynamoDB, by its gateway endpoint", destination_prefix_list_id=lists.dynamodb
                ),
            ],
        )

    def closed_group(
        self, scope: Construct, name: str, what: str, ways_out: Sequence[ec2.CfnSecurityGroup.EgressProperty]
    ) -> ec2.ISecurityGroup:
        """A security group that lets nothing in and what is said out.

        The ways out stand in the group itself: EC2 opens a group that was made without any.
        """
        made = ec2.CfnSecurityGroup(
            scope,
            name,
            vpc_id=self.vpc.vpc_id,
            group_description=f"{PREFIX}: {what}",
            security_group_egress=list(ways_out) or [_NOWHERE],
        )
        return ec2.SecurityGroup.from_security_group_id(
            scope, f"{name}-group", made.attr_group_id, allow_all_outbound=False
        )

    def _vpc(self) -> ec2.Vpc:
        kind = ec2.SubnetType.PUBLIC if self.is_open else ec2.SubnetType.PRIVATE_ISOLATED
        return ec2.Vpc(
            self,
            "vpc",
            ip_addresses=ec2.IpAddresses.cidr(str(self._deployment.network.cidr)),
            availability_zones=list(self._deployment.availability_zones),
            nat_gateways=0,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name=TASKS, subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=TASKS_PREFIX
                ),
                ec2.SubnetConfiguration(
                    name=LOAD_BALANCER,
                    subnet_type=kind,
                    cidr_mask=LOAD_BALANCER_PREFIX,
                    **({"map_public_ip_on_launch": False} if self.is_open else {}),
                ),
            ],
        )

    def _add(self, endpoint: Endpoint) -> None:
        made: ec2.VpcEndpoint = (
            self.vpc.add_gateway_endpoint(
                f"{endpoint.service}-endpoint",
                service=ec2.GatewayVpcEndpointAwsService(endpoint.service),
                subnets=[self.task_subnets],
            )
            if endpoint.gateway
            else self._interface(self, endpoint.service)
        )
        for statement in endpoint.statements(self._deployment):
            made.add_to_policy(statement)

    def _interface(self, scope: Construct, service: str) -> ec2.InterfaceVpcEndpoint:
        zones = self._deployment.availability_zones[: self._deployment.network.endpoint_zones]
        return ec2.InterfaceVpcEndpoint(
            scope,
            f"{service}-endpoint",
            vpc=self.vpc,
            service=ec2.InterfaceVpcEndpointService(
                f"com.amazonaws.{self._deployment.region}.{service}", 443
            ),
            subnets=ec2.SubnetSelection(subnet_group_name=TASKS, availability_zones=list(zones)),
            security_groups=[self._endpoints_group],
            private_dns_enabled=True,
            open=False,
        )

    def _connect_clients(self) -> None:
        """The way from an internal load balancer to clients in other networks; tasks do not have it."""
        network = self._deployment.network
        if network.transit_gateway_id is None:
            return
        subnets = self.vpc.select_subnets(subnet_group_name=LOAD_BALANCER)
        attachment = ec2.CfnTransitGatewayAttachment(
            self,
            "clients",
            transit_gateway_id=network.transit_gateway_id,
            vpc_id=self.vpc.vpc_id,
            subnet_ids=subnets.subnet_ids,
        )
        addresses = () if self._deployment.oidc is None else self._deployment.oidc.addresses
        for at, subnet in enumerate(subnets.subnets):
            for there in dict.fromkeys((*network.clients, *addresses)):
                route = ec2.CfnRoute(
                    self,
                    f"to {there} from {at}",
                    route_table_id=subnet.route_table.route_table_id,
                    destination_cidr_block=str(there),
                    transit_gateway_id=network.transit_gateway_id,
                )
                route.node.add_dependency(attachment)

    def _resolve_aws_alone(self) -> None:
        """Names of AWS are resolved, all others are not: a query is a way out, whatever it is answered."""
        aws = resolver.CfnFirewallDomainList(self, "aws-names", domains=["*.amazonaws.com", "*.internal"])
        everything = resolver.CfnFirewallDomainList(self, "all-names", domains=["*"])
        rules = resolver.CfnFirewallRuleGroup(
            self,
            "names",
            firewall_rules=[
                {
                    "action": "ALLOW",
                    "priority": 1,
                    "firewallDomainListId": aws.attr_id,
                    "firewallDomainRedirectionAction": "TRUST_REDIRECTION_DOMAIN",
                },
                {
                    "action": "BLOCK",
                    "blockResponse": "NXDOMAIN",
                    "priority": 2,
                    "firewallDomainListId": everything.attr_id,
                },
            ],
        )
        resolver.CfnFirewallRuleGroupAssociation(
            self,
            "names-of-vpc",
            firewall_rule_group_id=rules.attr_id,
            vpc_id=self.vpc.vpc_id,
            priority=101,
        )


def way_out(port: int, why: str, **destination: str) -> ec2.CfnSecurityGroup.EgressProperty:
    """A rule of a security group: TCP to one port of one destination."""
    return ec2.CfnSecurityGroup.EgressProperty(
        ip_protocol="tcp", from_port=port, to_port=port, description=why, **destination
    )
