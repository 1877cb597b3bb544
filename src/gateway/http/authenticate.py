"""API key to tenant policy, once per request."""

from collections.abc import Mapping

from llmplatform import ids
from llmplatform.aws.parameters import PolicySource
from llmplatform.errors import Forbidden, Unauthenticated
from llmplatform.policy import TenantPolicy


async def authenticate(headers: Mapping[bytes, bytes], policies: PolicySource) -> TenantPolicy:
    """The policy of the tenant whose key the request carries.

    The answer comes from memory, but for a key that memory does not know: then the store is asked once,
    within a bound. Raises Unauthenticated.
    """
    scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key:
        raise Unauthenticated("an API key is needed: send `Authorization: Bearer <key>`")
    policy = policies.resolve(key) or await policies.resolve_unknown(key)
    if policy is None:
        raise Unauthenticated("the API key is not valid")
    return policy


def check_claim(headers: Mapping[bytes, bytes], policy: TenantPolicy) -> None:
    """Raise Forbidden when `x-tenant-id` names another tenant than `policy`'s.

    Apart from `authenticate`, so that the refusal is on the record of the tenant whose key it was.
    """
    claimed = headers.get(b"x-tenant-id")
    if claimed is not None and ids.tenant_id(claimed.decode("latin-1").strip()) != policy.tenant_id:
        raise Forbidden("x-tenant-id names another tenant than the API key's", code="tenant_mismatch")
