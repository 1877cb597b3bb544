"""Who may do what: one role a process, each with what that process needs and nothing else.

Every statement names its resources, and by condition what about them; docs/security.md has the matrix that
is made from these templates.
"""

from aws_cdk import App
from aws_cdk import aws_iam as iam

from infra.layers import PlatformStack
from infra.roles import PROCESSES, Process
from infra.settings import Deployment
from infra.stacks.data import DataStack


class IdentityStack(PlatformStack):
    """The roles of all processes."""

    def __init__(self, app: App, deployment: Deployment, *, data: DataStack) -> None:
        super().__init__(app, "identity", deployment, layer=None)
        self.add_dependency(data)
        self.roles: dict[Process, iam.Role] = {process: self._role(process) for process in PROCESSES}
        """The role that a process's own code has, by process."""

    def _role(self, process: Process) -> iam.Role:
        return iam.Role(
            self,
            process,
            role_name=f"llm-platform-{process}",
            assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"),
        )
