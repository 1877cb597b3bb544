"""A process of the platform on Fargate: its task definition, alike for services and scheduled tasks.

The image is the one image; the command picks the process. The root file system is read-only, the user is
not root and has no capability, standard output goes to the process's log group without ever holding the
process up. What restarts, scales and rolls it out is in `infra.service`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from aws_cdk import Duration, RemovalPolicy, Size
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.layers import PREFIX
from infra.reasons import explain
from infra.settings import Deployment

LOG_BUFFER_MIB: Final = 16
"""What may wait in memory while CloudWatch Logs takes nothing: ten minutes of a task that answers ten
requests a second with a line of 2.5 KB each. What comes on top is lost, and no request waits."""
USER: Final = "10001"
"""The image's own."""
DATA_FOLDER: Final = "/etc/llm-platform"
"""Where the deployment's own catalogue and prices lie in its image; see `infra/image`."""
HEALTH_CHECK: Final = ("CMD", "python", "-m", "llmplatform.process.health")
"""ECS reads no health check from an image."""
MOST_STOP_TIMEOUT_S: Final = 120
"""Fargate's own limit (ECS, ContainerDefinition, stopTimeout)."""
DEFAULT_STOP_TIMEOUT_S: Final = 30


class FargateProcess(Construct):
    """The task definition of one process, and its container.

    `environment` is the process's own; region, catalogue and prices are every process's and are added.
    `secrets` are read when a task starts: whoever changes one starts the tasks anew.
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
        command: Sequence[str],
        environment: Mapping[str, str],
        cpu: int,
        memory_mib: int,
        port: int | None = None,
        secrets: Mapping[str, ecs.Secret] | None = None,
        stop_timeout_s: int = DEFAULT_STOP_TIMEOUT_S,
    ) -> None:
        super().__init__(scope, name)
        self._log_group = log_group
        self.task = ecs.FargateTaskDefinition(
            self,
            "task",
            family=f"{PREFIX}-{name}",
            cpu=cpu,
            memory_limit_mib=memory_mib,
            task_role=role,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.X86_64,
                operating_system_family=ecs.OperatingSystemFamily.LINUX,
            ),
            volumes=[ecs.Volume(name="tmp")],
        )
        self.container = self.task.add_container(
            name,
            image=ecs.ContainerImage.from_ecr_repository(repository, deployment.image_tag),
            command=list(command),
            environment={"AWS_REGION": deployment.region, **_files_in_image(deployment), **environment},
            secrets=dict(secrets or {}),
            readonly_root_filesystem=True,
            user=USER,
            linux_parameters=without_capabilities(self, "linux"),
            stop_timeout=Duration.seconds(stop_timeout_s),
            health_check=ecs.HealthCheck(
                command=list(HEALTH_CHECK),
                interval=Duration.seconds(30),
                timeout=Duration.seconds(10),
                retries=3,
                start_period=Duration.seconds(60),
            ),
            logging=self.log_driver(name),
        )
        # The one place that can be written to; the image makes it everybody's.
        self.container.add_mount_points(
            ecs.MountPoint(source_volume="tmp", container_path="/tmp", read_only=False)  # noqa: S108
        )
        if port is not None:
            self.container.add_port_mappings(ecs.PortMapping(container_port=port))
        explain(
            self.task,
            {
                "AwsSolutions-ECS2": "plain settings; what is secret comes from Secrets Manager",
                "AwsSolutions-IAM5[Resource::*]": "ecr:GetAuthorizationToken has no resource to name",
            },
        )

    def log_driver(self, prefix: str) -> ecs.LogDriver:
        """Where a container of this task writes: its streams begin with `prefix`."""
        return ecs.LogDriver.aws_logs(
            log_group=self._log_group,
            stream_prefix=prefix,
            mode=ecs.AwsLogDriverMode.NON_BLOCKING,
            max_buffer_size=Size.mebibytes(LOG_BUFFER_MIB),
        )


def drawn_secret(scope: Construct, name: str, what: str, *, never_rotated: str) -> ecs.Secret:
    """A secret that is drawn when it is made and that nobody has seen; `never_rotated` says why it stays."""
    made = secretsmanager.Secret(
        scope,
        name,
        description=what,
        generate_secret_string=secretsmanager.SecretStringGenerator(
            password_length=64, exclude_punctuation=True
        ),
        removal_policy=RemovalPolicy.DESTROY,
    )
    explain(made, {"AwsSolutions-SMG4": never_rotated})
    return ecs.Secret.from_secrets_manager(made)


def without_capabilities(scope: Construct, name: str) -> ecs.LinuxParameters:
    """What a container may ask of the kernel: nothing beyond what every process may."""
    linux = ecs.LinuxParameters(scope, name)
    linux.drop_capabilities(ecs.Capability.ALL)
    return linux


def data_files(deployment: Deployment) -> dict[str, Path | None]:
    """The deployment's own data files by the variables that name them; None: the platform's own is read."""
    return {
        "LLM_PLATFORM_CATALOGUE": deployment.files.catalogue,
        "LLM_PLATFORM_PRICES": deployment.files.prices,
        "EVAL_JUDGES": deployment.files.judges,
    }


def _files_in_image(deployment: Deployment) -> dict[str, str]:
    files = data_files(deployment)
    return {name: f"{DATA_FOLDER}/{path.name}" for name, path in files.items() if path is not None}
