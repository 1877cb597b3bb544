"""Who looks, and what of it all they may see. Pure.

Every page asks here and nowhere else. What a tenant may not see does not exist for it: NotThere, a 404.
"""

from dataclasses import dataclass
from typing import Final, Literal

from llmplatform.errors import ClientFault
from llmplatform.ids import TenantId
from llmplatform.policy import ContentMode, TenantPolicy

ViewerRole = Literal["operator", "billing", "tenant"]
Way = Literal["session", "bearer", "oidc"]
"""How they came in: by a cookie, a key in the header, or the load balancer."""

_CSRF_FREE: Final = "bearer"


class NotThere(ClientFault):
    """There is no such thing, or it is not the viewer's: which of them is not told."""

    code = "not_found"

    def __init__(self, what: str = "page") -> None:
        super().__init__(f"there is no such {what}, or it is not yours to see")


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks."""

    role: ViewerRole
    name: str
    """As the log names them: the role and the key's id, or what the identity provider calls them."""
    tenant_id: TenantId | None = None
    """The one tenant that a tenant's role sees; None for the roles that see all."""
    way: Way = "session"
    csrf_token: str = ""
    """What each form that changes anything sends along."""

    def __post_init__(self) -> None:
        """Refuse a tenant's role without a tenant, which would see nothing or all."""
        if (self.role == "tenant") != (self.tenant_id is not None):
            raise ValueError("a tenant's role has a tenant, no other has")

    @property
    def sees_all(self) -> bool:
        """Whether all tenants, and the platform itself, may be seen."""
        return self.role != "tenant"

    @property
    def needs_csrf_token(self) -> bool:
        """Whether a browser sends their credentials by itself, so that a form must prove its origin."""
        return self.way != _CSRF_FREE

    def may_see(self, tenant_id: str) -> bool:
        """Whether what belongs to a tenant may be seen."""
        return self.sees_all or tenant_id == self.tenant_id

    def check_sees(self, tenant_id: str) -> None:
        """Raise NotThere where it may not."""
        if not self.may_see(tenant_id):
            raise NotThere("tenant")

    def check_sees_all(self) -> None:
        """Raise NotThere on a page that shows the platform, for a tenant's role."""
        if not self.sees_all:
            raise NotThere

    def may_read_content(self, policy: TenantPolicy | None) -> bool:
        """Whether prompts and answers of the tenant with this policy may be shown; never without a policy.

        The billing role reads none. What `hash_only` never let out is shown to nobody, wherever it came from.
        """
        if policy is None or policy.content_mode is ContentMode.HASH_ONLY:
            return False
        return self.role == "operator" or policy.tenant_id == self.tenant_id
