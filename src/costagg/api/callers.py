"""Who asks, and what they may see: a tenant its own costs, the roles of the platform all of them.

No lookup stands between a tenant's key and the refusal of another's costs: what does not exist and what is
another's are one answer, in the same time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from llmplatform import apikeys, ids
from llmplatform.apikeys import Role
from llmplatform.aws.access import AccessSource
from llmplatform.aws.parameters import PolicySource
from llmplatform.costs import PLATFORM, UNUSED
from llmplatform.errors import ClientFault, Forbidden, Unauthenticated
from llmplatform.ids import TenantId


class NoSuchTenant(ClientFault):
    """There is no such tenant, or it is not the caller's."""

    code = "tenant_not_found"

    def __init__(self) -> None:
        super().__init__("there is no such tenant", param="tenant_id")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a tenant, or a role."""

    tenant_id: TenantId | None = None
    role: Role | None = None

    def __str__(self) -> str:
        """As the log names it."""
        return f"role:{self.role}" if self.role is not None else f"tenant:{self.tenant_id}"

    def check_sees(self, owner: str) -> None:
        """Raise NoSuchTenant where the caller may not see the costs of `owner`, whatever that text is."""
        if self.role is None and owner != self.tenant_id:
            raise NoSuchTenant
        if ids.tenant_id(owner) is None and owner not in {UNUSED, PLATFORM}:
            raise NoSuchTenant

    def check_sees_all(self) -> None:
        """Raise Forbidden where the caller is a tenant."""
        if self.role is None:
            raise Forbidden(
                "a tenant's key sees that tenant alone: GET /v1/tenants/{tenant_id}/costs with its own id"
            )


class Callers:
    """Who keys belong to."""

    def __init__(self, policies: PolicySource, access: AccessSource) -> None:
        self._policies = policies
        self._access = access

    async def of(self, authorization: Sequence[str]) -> Caller:
        """Who sent these `Authorization` headers. Raises Unauthenticated."""
        scheme, _, key = authorization[0].partition(" ") if len(authorization) == 1 else ("", "", "")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise Unauthenticated("a key is needed: send `Authorization: Bearer <key>`, once")
        if apikeys.role_of(key) is not None:
            role = self._access.resolve(key) or await self._access.resolve_unknown(key)
            if role is not None:
                return Caller(role=role)
        else:
            policy = self._policies.resolve(key) or await self._policies.resolve_unknown(key)
            if policy is not None:
                return Caller(tenant_id=policy.tenant_id)
        raise Unauthenticated("the key is not valid")

    def knows(self, owner: str) -> bool:
        """Whether there is such an owner now, with costs or without."""
        return owner in {UNUSED, PLATFORM} or self._policies.policy_of(owner) is not None
