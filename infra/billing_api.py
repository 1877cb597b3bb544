"""The billing API as a service in the private subnets, and the one door to it: an HTTP API of API Gateway.

The door is public, as a billing system may be anywhere, and asks for nothing: the service behind it knows
keys and whose bills each may read. It speaks TLS, holds back who asks too often, and logs who asked for what,
without queries and without keys. It finds the tasks by name; there is no load balancer. An HTTP API has no
private form, no firewall and no list of clients, so `billing_api.public` leaves it open or shuts it.
"""

import json
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_servicediscovery as discovery
from constructs import Construct

from infra.layers import PREFIX
from infra.process import FargateProcess
from infra.reasons import explain
from infra.service import FargateService
from infra.settings import Deployment
from infra.stacks.data import DataStack
from infra.stacks.identity import IdentityStack
from infra.stacks.network import NetworkStack, way_out
from llmplatform.aws.tables import BILLING_API_LOGS

PORT: Final = 8090
REQUESTS_PER_S: Final = 50
BURST: Final = 100
"""The service answers some hundred a second on a core; a bill is asked for by programs, page by page."""
CPU_PERCENT: Final = 60
WAITED_FOR_S: Final = 29
"""For the service's answer; API Gateway can wait 30 s."""
LOGGED: Final = {
    "request_id": "$context.requestId",
    "time": "$context.requestTime",
    "source_ip": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "path": "$context.path",
    "status": "$context.status",
    "bytes": "$context.responseLength",
    "latency_ms": "$context.responseLatency",
    "error": "$context.error.messageString",
}
"""An access log's line; API Gateway's `path` has no query."""


class BillingApi(Construct):
    """Service and door; `url` is where bills are asked for, None while the door is shut."""

    def __init__(
        self,
        scope: Construct,
        deployment: Deployment,
        *,
        network: NetworkStack,
        data: DataStack,
        identity: IdentityStack,
    ) -> None:
        super().__init__(scope, "billing-api")
        group = data.log_groups[BILLING_API_LOGS.name]
        process = FargateProcess(
            self,
            "billing-api",
            deployment=deployment,
            repository=data.repository,
            role=identity.roles["billing-api"],
            log_group=group,
            command=["python", "-m", "costagg", "serve"],
            environment={"COST_API_HOST": "0.0.0.0", "COST_API_PORT": str(PORT)},
            cpu=deployment.billing_api.cpu,
            memory_mib=deployment.billing_api.memory_mib,
            port=PORT,
        )
        self.service = FargateService(
            self, "billing-api", process=process, network=network, tasks=deployment.billing_api
        )
        self.service.scaling.scale_on_cpu_utilization("cpu", target_utilization_percent=CPU_PERCENT)
        name = self._name(network)
        api = apigateway.HttpApi(
            self,
            "door",
            api_name=f"{PREFIX}-billing",
            description="Bills of tenants, for those who have a key",
            default_integration=integrations.HttpServiceDiscoveryIntegration(
                "service", name, vpc_link=self._link(network)
            ),
            create_default_stage=False,
            disable_execute_api_endpoint=not deployment.billing_api.public,
        )
        # The library takes a timeout for this kind of integration, and does not write it.
        route = api.node.find_child("DefaultRoute")
        route.node.find_child("service").node.default_child.add_property_override(
            "TimeoutInMillis", WAITED_FOR_S * 1_000
        )
        stage = apigateway.HttpStage(
            self,
            "stage",
            http_api=api,
            auto_deploy=True,
            throttle=apigateway.ThrottleSettings(rate_limit=REQUESTS_PER_S, burst_limit=BURST),
        )
        stage.node.default_child.access_log_settings = apigateway.CfnStage.AccessLogSettingsProperty(
            destination_arn=group.log_group_arn, format=json.dumps(LOGGED)
        )
        explain(api, {"AwsSolutions-APIG4": "the service asks for a key, and knows whose bills it opens"})
        self.url = api.api_endpoint if deployment.billing_api.public else None

    def _name(self, network: NetworkStack) -> discovery.IService:
        """Where API Gateway finds the tasks: it asks Cloud Map itself, and no name is resolved."""
        namespace = discovery.PrivateDnsNamespace(
            self, "names", name=f"{PREFIX}.internal", vpc=network.vpc, description="Tasks of the platform"
        )
        return self.service.service.enable_cloud_map(
            name="billing",
            cloud_map_namespace=namespace,
            dns_record_type=discovery.DnsRecordType.SRV,
            dns_ttl=Duration.seconds(10),
            container_port=PORT,
        )

    def _link(self, network: NetworkStack) -> apigateway.VpcLink:
        tasks = self.service.security_group
        port = ec2.Port.tcp(PORT)
        group = network.closed_group(
            self,
            "link",
            "the door of the billing API",
            [
                way_out(
                    PORT, "tasks of the billing API", destination_security_group_id=tasks.security_group_id
                )
            ],
        )
        tasks.connections.allow_from(group, port, "the door of the billing API")
        return apigateway.VpcLink(
            self,
            "vpc-link",
            vpc=network.vpc,
            vpc_link_name=f"{PREFIX}-billing",
            subnets=network.task_subnets,
            security_groups=[group],
        )
