"""What a load balancer says of who signed in: `x-amzn-oidc-data`, verified. Pure.

An Application Load Balancer that authenticates users adds the identity provider's claims as a JWT of its
own: ES256, and in its header `kid`, `signer` (its ARN), `iss`, `client` and `exp` (User Guide, "Authenticate
users", User claims encoding and signature verification). Its parts keep their base64 padding, which the
signature covers. Anybody can send such a header past the load balancer, and any load balancer of any account
signs with the region's keys: so the signature says nothing without `signer`, and the header counts only where
a load balancer is configured. Where the keys come from is in `oidc_keys`.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import jwt

from llmplatform import ids
from llmplatform.errors import Forbidden, Unauthenticated
from llmplatform.ids import TenantId
from watch.console.viewer import Viewer

HEADER: Final = "x-amzn-oidc-data"
ALGORITHM: Final = "ES256"
_KID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MOST_CHARS: Final = 16_384
"""The load balancer sends up to 11 KB of claims."""
_NAME_CHARS: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcRules:
    """What is asked of the header, and which groups are which role."""

    signer: str
    issuer: str
    client_id: str | None = None
    name_claim: str = "sub"
    group_claim: str = "groups"
    operator_group: str | None = None
    billing_group: str | None = None
    tenant_group_prefix: str | None = None


def key_id(token: str, rules: OidcRules, now: datetime) -> str:
    """The id of the key that a token says it is signed with, if it is one to look at at all.

    Nothing here is verified yet: what is refused now costs no fetch of a key. Raises Unauthenticated.
    """
    if len(token) > _MOST_CHARS:
        raise _refused()
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise _refused() from None
    _check_header(header, rules, now)
    kid = header.get("kid")
    if not isinstance(kid, str) or _KID.fullmatch(kid) is None:
        raise _refused()
    return kid


def viewer_of(token: str, public_key: str, rules: OidcRules, now: datetime) -> Viewer:
    """Who signed in, without a CSRF token.

    `public_key` is PEM, of the key that `key_id` named. Raises Unauthenticated for a token that is not our
    load balancer's or has expired, Forbidden for a person in no group that sees anything.
    """
    try:
        whole = jwt.decode_complete(
            token,
            public_key,
            algorithms=[ALGORITHM],
            # Time is given, and the audience stands in the header, as `client`.
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False},
        )
    except (jwt.PyJWTError, ValueError):
        raise _refused() from None
    _check_header(whole["header"], rules, now)
    claims = whole["payload"]
    if "iss" in claims and claims["iss"] != rules.issuer:
        raise _refused()
    if "exp" in claims:
        _check_expiry(claims["exp"], now)
    return _viewer(claims, rules)


def _check_header(header: Mapping[str, Any], rules: OidcRules, now: datetime) -> None:
    if header.get("alg") != ALGORITHM:
        raise _refused()
    signer, issuer = header.get("signer"), header.get("iss")
    if not isinstance(signer, str) or not hmac.compare_digest(signer.encode(), rules.signer.encode()):
        raise _refused()
    if issuer != rules.issuer:
        raise _refused()
    if rules.client_id is not None and header.get("client") != rules.client_id:
        raise _refused()
    _check_expiry(header.get("exp"), now)


def _check_expiry(expires_s: object, now: datetime) -> None:
    try:
        expires_at = datetime.fromtimestamp(float(str(expires_s)), UTC)
    except (ValueError, OverflowError, OSError):
        raise _refused() from None
    if now >= expires_at:
        raise _refused()


def _viewer(claims: Mapping[str, Any], rules: OidcRules) -> Viewer:
    groups = _groups(claims.get(rules.group_claim))
    name = _name(claims, rules)
    if rules.operator_group and rules.operator_group in groups:
        return Viewer("operator", f"operator:oidc:{name}", way="oidc")
    if rules.billing_group and rules.billing_group in groups:
        return Viewer("billing", f"billing:oidc:{name}", way="oidc")
    tenants = _tenants(groups, rules.tenant_group_prefix)
    if len(tenants) == 1:
        return Viewer("tenant", f"tenant:{tenants[0]}:oidc:{name}", tenants[0], "oidc")
    if tenants:
        raise Forbidden("you are in the groups of several tenants, and the console shows one at a time")
    raise Forbidden("you are signed in, and in no group that may see the console")


def _tenants(groups: frozenset[str], prefix: str | None) -> list[TenantId]:
    if not prefix:
        return []
    named = (ids.tenant_id(group.removeprefix(prefix)) for group in groups if group.startswith(prefix))
    return sorted(tenant for tenant in named if tenant is not None)


def _groups(claim: object) -> frozenset[str]:
    if isinstance(claim, str):
        return frozenset(claim.replace(",", " ").split())
    return frozenset(str(group) for group in claim) if isinstance(claim, list) else frozenset()


def _name(claims: Mapping[str, Any], rules: OidcRules) -> str:
    name = claims.get(rules.name_claim) or claims.get("sub")
    if not isinstance(name, str):
        raise _refused()
    return "".join(character for character in name if character.isprintable())[:_NAME_CHARS]


def _refused() -> Unauthenticated:
    return Unauthenticated("the load balancer's header is not valid")
