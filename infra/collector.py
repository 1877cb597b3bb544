"""The OpenTelemetry collector beside the gateway: the gateway serves with it or without.

It is not essential, nothing waits for it, and nothing asks whether it is well: one that ends is started
again, and spans that find none are dropped and counted. Its image is AWS's distribution (ADOT), copied into
a repository of the account's own, since no task can reach another registry.
"""

from pathlib import Path
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs

from infra.process import FargateProcess, without_capabilities
from infra.settings import Deployment

CONFIG: Final = Path(__file__).with_name("collector.yaml")
ENDPOINT: Final = "http://127.0.0.1:4318"
"""Where the processes of its task find it."""
MEMORY_MIB: Final = 256


def add_collector(
    process: FargateProcess, deployment: Deployment, repository: ecr.IRepository, tag: str
) -> None:
    """Put it into a process's task."""
    process.task.add_container(
        "collector",
        image=ecs.ContainerImage.from_ecr_repository(repository, tag),
        essential=False,
        memory_limit_mib=MEMORY_MIB,
        environment={"AWS_REGION": deployment.region, "AOT_CONFIG_CONTENT": configuration(deployment)},
        readonly_root_filesystem=True,
        linux_parameters=without_capabilities(process, "collector-linux"),
        enable_restart_policy=True,
        restart_attempt_period=Duration.minutes(1),
        logging=process.log_driver("collector"),
    )


def configuration(deployment: Deployment) -> str:
    """The file with its region filled in: CloudFormation would take `${...}` for something of its own."""
    return CONFIG.read_text().replace("${env:AWS_REGION}", deployment.region)
