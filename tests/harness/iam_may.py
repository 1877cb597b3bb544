"""Questions to a deployment's roles, as its templates have them: `may("gateway", "iam:PassRole", arn)`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from infra.app import Platform
from infra.layers import PREFIX
from infra.matrix import PEOPLE, resolved_of
from infra.permissions.account import Account
from infra.policy import Asked, Grant, allows, policies_of, roles_of
from infra.resolved import key_arn
from infra.roles import PROCESSES
from infra.settings import Deployment
from llmplatform.aws.tables import Table


@dataclass(frozen=True)
class May:
    """Questions to all roles."""

    account: Account
    roles: Mapping[str, Sequence[Grant]]

    @classmethod
    def of(cls, platform: Platform, deployment: Deployment) -> Self:
        """Of a platform's processes, of Grafana, and of people with its policies."""
        resolved = resolved_of(platform)
        people, roles = policies_of(resolved), roles_of(resolved)
        named = {one: roles[f"{PREFIX}-{one}"] for one in (*PROCESSES, "grafana")}
        return cls(Account(deployment, {}), named | {one: people[f"{PREFIX}-{one}"] for one in PEOPLE})

    def __call__(self, who: str, action: str, resource: str = "*", **context: Any) -> bool:
        """Whether a role may do this; names in `context` are the condition keys."""
        return allows(self.roles[who], Asked(action, resource, context))

    def any(self, who: str, actions: Iterable[str], resource: str, **context: Any) -> list[str]:
        """Those of the actions that a role may do."""
        return [action for action in actions if self(who, action, resource, **context)]

    def on(self, who: str, table: Table, operations: Iterable[str], **context: Any) -> list[str]:
        """Those operations that a role may do on rows of a table, or through its indexes."""
        places = [self.account.table(table), *(self.account.index(table, one) for one in table.indexes)]
        return [
            operation
            for operation in operations
            if any(self(who, f"dynamodb:{operation}", place, **context) for place in places)
        ]

    def key(self, who: str, action: str, data_class: str, service: str, **context: str) -> bool:
        """Whether a role may use a class's key through a service, with this encryption context."""
        named = {f"kms:EncryptionContext:{name}": value for name, value in context.items()}
        return self(
            who, action, key_arn(data_class), **{"kms:ViaService": self.account.via(service), **named}
        )

    def opens_table(self, who: str, table: Table) -> bool:
        """Whether DynamoDB may open a table's key for a role."""
        return self.key(
            who, "kms:Decrypt", table.key.data_class, "dynamodb", **{"aws:dynamodb:tableName": table.name}
        )

    def tenants_key(self, who: str, action: str, **context: Any) -> bool:
        """Whether a role may use a tenant's own key as this tenant's."""
        usual: dict[str, Any] = {
            "aws:ResourceTag/llm-platform:tenant": "acme",
            "kms:EncryptionContext:tenant_id": "acme",
            "kms:EncryptionContextKeys": ("tenant_id",),
        }
        given = {name: value for name, value in (usual | context).items() if value is not None}
        return self(who, action, self.account.arn("kms", "key/of-acme"), **given)
