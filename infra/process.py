"""A process of the platform on Fargate: its task definition, alike for services and scheduled tasks.

The image is the one image; the command picks the process. The root file system is read-only, the user is
not root, standard output goes to the process's log group without ever holding the process up.
"""

from collections.abc import Mapping, Sequence

from aws_cdk import Size
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.settings import Deployment

LOG_BUFFER_MIB = 16


class FargateProcess(Construct):
    """The task definition of one process, and its container."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        deployment: Deployment,
        repository: ecr.IRepository,
        role: iam.IRole,
        log_group: logs.ILogGroup,
        command: Sequence[str],
        environment: Mapping[str, str],
        cpu: int,
        memory_mib: int,
        port: int | None = None,
    ) -> None:
        super().__init__(scope, name)
        self.task = ecs.FargateTaskDefinition(
            self,
            "task",
            family=f"llm-platform-{name}",
            cpu=cpu,
            memory_limit_mib=memory_mib,
            task_role=role,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.X86_64,
                operating_system_family=ecs.OperatingSystemFamily.LINUX,
            ),
        )
        self.container = self.task.add_container(
            name,
            image=ecs.ContainerImage.from_ecr_repository(repository, deployment.image_tag),
            command=list(command),
            environment={"AWS_REGION": deployment.region, **environment},
            readonly_root_filesystem=True,
            user="10001",
            logging=ecs.LogDriver.aws_logs(
                log_group=log_group,
                stream_prefix=name,
                mode=ecs.AwsLogDriverMode.NON_BLOCKING,
                max_buffer_size=Size.mebibytes(LOG_BUFFER_MIB),
            ),
        )
        if port is not None:
            self.container.add_port_mappings(ecs.PortMapping(container_port=port))
