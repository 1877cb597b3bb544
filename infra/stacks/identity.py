"""Who may do what: one role a process, each with what that process needs and nothing else.

What that is stands in `infra.permissions`, statement by statement; here it becomes policies. Nothing in
another stack adds to a role: whoever needs more says so there. docs/security.md has the matrix that is made
from these templates.
"""

from collections.abc import Iterable

from aws_cdk import App
from aws_cdk import aws_iam as iam

from infra.layers import PREFIX, PlatformStack
from infra.permissions.account import Account
from infra.permissions.guard import guard
from infra.permissions.operators import erasure, tenants
from infra.permissions.statement import Statement
from infra.reasons import explain
from infra.roles import PERMISSIONS, PROCESSES, Host, Process, host_of
from infra.settings import Deployment
from infra.stacks.data import DataStack


class IdentityStack(PlatformStack):
    """The roles of all processes, and the policies for people."""

    def __init__(self, app: App, deployment: Deployment, *, data: DataStack) -> None:
        super().__init__(app, "identity", deployment, layer=None)
        account = Account(deployment, {name: key.key_arn for name, key in data.keys.items()})
        self._guard = iam.ManagedPolicy(
            self,
            "guard",
            managed_policy_name=f"{PREFIX}-guard",
            description="What no process of the platform may ever do.",
            statements=[_policy_statement(guard())],
        )
        self.roles: dict[Process, iam.IRole] = {
            process: self._role(process, PERMISSIONS[process](account)) for process in PROCESSES
        }
        """The role that a process's own code has, by process. What CDK would add to one from elsewhere is
        left out."""
        self._for_people("tenants", tenants(account), "Adds, changes and removes tenants and keys.")
        self._for_people("erasure", erasure(account), "Erases tenants, with the policy of tenants beside it.")

    def _role(self, process: Process, statements: Iterable[Statement]) -> iam.IRole:
        statements = tuple(statements)
        role = iam.Role(
            self,
            process,
            role_name=f"{PREFIX}-{process}",
            assumed_by=_host(host_of(process), self.account, self.region),
            inline_policies={process: _document(statements)},
            managed_policies=[self._guard],
        )
        _explain(role, statements)
        return role.without_policy_updates()

    def _for_people(self, name: str, statements: Iterable[Statement], description: str) -> None:
        statements = tuple(statements)
        policy = iam.ManagedPolicy(
            self,
            f"people-{name}",
            managed_policy_name=f"{PREFIX}-{name}",
            description=description,
            document=_document(statements),
        )
        _explain(policy, statements)


def _host(host: Host, account: str, region: str) -> iam.ServicePrincipal:
    """What runs the process takes on its role, for this account alone."""
    conditions: dict[str, dict[str, str]] = {"StringEquals": {"aws:SourceAccount": account}}
    if host == "ecs-tasks":
        conditions["ArnLike"] = {"aws:SourceArn": f"arn:aws:ecs:{region}:{account}:*"}
    return iam.ServicePrincipal(f"{host}.amazonaws.com", conditions=conditions)


def _document(statements: Iterable[Statement]) -> iam.PolicyDocument:
    return iam.PolicyDocument(statements=[_policy_statement(one) for one in statements])


def _policy_statement(statement: Statement) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid=statement.sid,
        effect=iam.Effect(statement.effect.upper()),
        actions=list(statement.actions),
        resources=list(statement.resources),
        conditions={
            operator: {key: _values(values) for key, values in keys.items()}
            for operator, keys in statement.conditions.items()
        },
    )


def _values(values: tuple[str, ...]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)


def _explain(construct: iam.Role | iam.ManagedPolicy, statements: Iterable[Statement]) -> None:
    """Tell cdk-nag of each pattern among the resources why it stands."""
    reasons: dict[str, list[str]] = {}
    for statement in statements:
        for pattern in statement.wildcards:
            reasons.setdefault(f"AwsSolutions-IAM5[Resource::{pattern}]", []).append(
                f"{statement.sid}: {statement.because}"
            )
    explain(construct, {rule: "; ".join(why) for rule, why in reasons.items()})
