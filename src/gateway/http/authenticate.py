"""API key to tenant policy, once per request."""

from collections.abc import Iterable

from llmplatform import ids
from llmplatform.aws.parameters import PolicySource
from llmplatform.errors import Forbidden, Unauthenticated
from llmplatform.policy import TenantPolicy

Headers = Iterable[tuple[bytes, bytes]]
"""As they came, names in lower case: what is sent twice is there twice."""


async def authenticate(headers: Headers, policies: PolicySource) -> TenantPolicy:
    """The policy of the tenant whose key the request carries.

    The answer comes from memory, but for a key that memory does not know: then the store is asked once,
    within a bound. Raises Unauthenticated, also for two keys: whoever stands before us may have read the
    other one.
    """
    sent = [value for name, value in headers if name == b"authorization"]
    scheme, _, key = sent[0].decode("latin-1").partition(" ") if len(sent) == 1 else ("", "", "")
    key = key.strip()
    if scheme.lower() != "bearer" or not key:
        raise Unauthenticated("an API key is needed: send `Authorization: Bearer <key>`, once")
    policy = policies.resolve(key) or await policies.resolve_unknown(key)
    if policy is None:
        raise Unauthenticated("the API key is not valid")
    return policy


def check_claim(headers: Headers, policy: TenantPolicy) -> None:
    """Raise Forbidden when an `x-tenant-id` names another tenant than `policy`'s.

    Apart from `authenticate`, so that the refusal is on the record of the tenant whose key it was.
    """
    claimed = (value.decode("latin-1").strip() for name, value in headers if name == b"x-tenant-id")
    if any(ids.tenant_id(claim) != policy.tenant_id for claim in claimed):
        raise Forbidden("x-tenant-id names another tenant than the API key's", code="tenant_mismatch")
