"""Who comes in by what: a load balancer's header, a key in `Authorization`, or a session's cookie.

A credential that is there and does not hold is refused; nothing else is tried in its place.
"""

import os
from dataclasses import replace
from typing import Final

from starlette.requests import Request

from llmplatform import ids
from llmplatform.apikeys import key_hash
from llmplatform.aws.parameters import NOT_LOADED_RETRY_AFTER_S
from llmplatform.errors import GatewayOverloaded, PlatformFault, Unauthenticated
from llmplatform.ids import TenantId
from watch.console import cookies, oidc
from watch.console.attempts import Attempts
from watch.console.parts import ConsoleParts
from watch.console.sessions import Session
from watch.console.viewer import Viewer, ViewerRole

_SHOWN_OF_KEY: Final = 12
"""As many digits of the hash as a key's id has in a listing."""
_MOST_KEY_CHARS: Final = 200
_ID_BYTES: Final = 16


class TooManyAttempts(PlatformFault):
    """Keys that open nothing came too often from one client."""

    code = "too_many_attempts"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many attempts: wait {retry_after_s} s, then try again")
        self.retry_after_s = retry_after_s


class Keys:
    """What credentials open."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts
        self._attempts = Attempts()

    async def viewer(self, request: Request) -> Viewer:
        """Who sends a request. Raises Unauthenticated, Forbidden, TooManyAttempts or GatewayOverloaded."""
        parts = self._parts
        if parts.policies.age_s is None:
            # Behind a load balancer somebody would be shown a platform without tenants.
            raise _not_loaded("tenants")
        claims = request.headers.getlist(oidc.HEADER)
        if parts.oidc is not None and parts.alb_keys is not None and claims:
            if len(claims) > 1:
                raise Unauthenticated("the load balancer's header is not valid")
            kid = oidc.key_id(claims[0], parts.oidc, parts.clock.now())
            key = await parts.alb_keys.key(kid)
            viewer = oidc.viewer_of(claims[0], key, parts.oidc, parts.clock.now())
            return replace(viewer, csrf_token=parts.seal.csrf_token(viewer.name))
        authorization = request.headers.getlist("authorization")
        if authorization:
            scheme, _, key = authorization[0].partition(" ")
            if len(authorization) > 1 or scheme.lower() != "bearer":
                raise Unauthenticated("send a key as `Authorization: Bearer ...`")
            session = await self.session(request, key.strip())
            return _viewer(session)
        return self._of_session(request)

    async def session(self, request: Request, key: str) -> Session:
        """The session that a key opens. Raises Unauthenticated, TooManyAttempts or GatewayOverloaded.

        A key that is known is let in however many others were tried: behind a proxy all share one address,
        and nobody guesses 256 bits.
        """
        parts, client = self._parts, _client(request, behind_alb=self._parts.oidc is not None)
        opens = len(key) <= _MOST_KEY_CHARS and key.isascii()
        if opens:
            if (role := parts.access.resolve(key)) is not None:
                return self._opened(key, role)
            if (tenant := parts.policies.resolve(key)) is not None:
                return self._opened(key, "tenant", tenant.tenant_id)
        wait_s = self._attempts.wait_s(client, parts.clock.monotonic_ns())
        if wait_s:
            raise TooManyAttempts(wait_s)
        if opens:
            if (role := await parts.access.resolve_unknown(key)) is not None:
                return self._opened(key, role)
            if (tenant := await parts.policies.resolve_unknown(key)) is not None:
                return self._opened(key, "tenant", tenant.tenant_id)
        self._attempts.failed(client, parts.clock.monotonic_ns())
        raise Unauthenticated("this key opens nothing: it is mistyped, expired or revoked")

    def _opened(self, key: str, role: ViewerRole, tenant_id: TenantId | None = None) -> Session:
        now_s = self._parts.clock.now().timestamp()
        return Session(
            id=os.urandom(_ID_BYTES).hex(),
            role=role,
            tenant_id=tenant_id,
            key_sha256=key_hash(key),
            expires_s=int(now_s + self._parts.settings.session_h * 3_600),
        )

    def _of_session(self, request: Request) -> Viewer:
        parts = self._parts
        value = cookies.session_in(request.headers, secure=parts.settings.secure)
        session = None if value is None else parts.seal.open(value, parts.clock.now())
        if session is None:
            raise Unauthenticated("nobody is signed in")
        if session.role == "tenant":
            held = session.tenant_id is not None and parts.policies.still_opens(
                session.tenant_id, session.key_sha256
            )
        else:
            if parts.access.age_s is None:  # which ends no session
                raise _not_loaded("roles")
            held = parts.access.still_opens(session.role, session.key_sha256)
        if not held:
            raise Unauthenticated("the key of this session has ended")
        return replace(_viewer(session), way="session", csrf_token=parts.seal.csrf_token(session.id))


def _not_loaded(what: str) -> GatewayOverloaded:
    return GatewayOverloaded(f"{what} are not loaded yet", retry_after_s=NOT_LOADED_RETRY_AFTER_S)


def _viewer(session: Session) -> Viewer:
    shown = session.key_sha256[:_SHOWN_OF_KEY]
    if session.role != "tenant":
        return Viewer(session.role, f"{session.role}:{shown}", way="bearer")
    tenant_id = ids.tenant_id(session.tenant_id or "")
    return Viewer("tenant", f"tenant:{tenant_id}:{shown}", tenant_id, "bearer")


def _client(request: Request, *, behind_alb: bool) -> str:
    """The address that attempts are counted by: behind a load balancer the one that it added, the last."""
    forwarded = request.headers.get("x-forwarded-for", "") if behind_alb else ""
    if forwarded:
        return forwarded.rpartition(",")[2].strip()
    return request.client.host if request.client is not None else ""
