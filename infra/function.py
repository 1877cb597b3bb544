"""A process of the platform on AWS Lambda: the one image, under Lambda's own runtime client.

For what is short and comes by itself: each minute, or with a message. What goes on for long, or serves, is on
Fargate (`infra.process`). It is invoked without waiting, so what it raises is tried again and then lies in
the dead letters.
"""

from collections.abc import Mapping

from aws_cdk import Duration
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.layers import PREFIX
from infra.settings import Deployment
from infra.stacks.network import NetworkStack


class FunctionProcess(Construct):
    """The function of one process; in the private subnets where `network` is given.

    `handler` is a module and a function. `attempts` are those beside the first, of what it raised.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        deployment: Deployment,
        repository: ecr.IRepository,
        role: iam.IRole,
        log_group: logs.ILogGroup,
        handler: str,
        environment: Mapping[str, str],
        memory_mib: int,
        timeout_s: int,
        attempts: int,
        dead_letters: sqs.IQueue,
        network: NetworkStack | None = None,
    ) -> None:
        super().__init__(scope, name)
        inside = (
            {}
            if network is None
            else {
                "vpc": network.vpc,
                "vpc_subnets": network.task_subnets,
                "security_groups": [network.task_security_group(self, name)],
            }
        )
        self.function = lambda_.DockerImageFunction(
            self,
            "function",
            function_name=f"{PREFIX}-{name}",
            code=lambda_.DockerImageCode.from_ecr(
                repository,
                tag_or_digest=deployment.image_tag,
                entrypoint=["python", "-m", "awslambdaric"],
                cmd=[handler],
            ),
            architecture=lambda_.Architecture.X86_64,
            role=role,
            environment=dict(environment),
            memory_size=memory_mib,
            timeout=Duration.seconds(timeout_s),
            retry_attempts=attempts,
            log_group=log_group,
            dead_letter_queue=dead_letters,
            **inside,
        )
