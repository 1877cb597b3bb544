"""Where the processes run: private subnets without a way out, the endpoints of AWS services, the cluster."""

from aws_cdk import App
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs

from infra.layers import PlatformStack
from infra.settings import Deployment


class NetworkStack(PlatformStack):
    """The VPC, its endpoints and the cluster."""

    def __init__(self, app: App, deployment: Deployment) -> None:
        super().__init__(app, "network", deployment, layer=None)
        self.vpc = ec2.Vpc(
            self,
            "vpc",
            availability_zones=list(deployment.availability_zones),
            nat_gateways=0,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="tasks", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            ],
        )
        self.cluster = ecs.Cluster(self, "cluster", vpc=self.vpc)
