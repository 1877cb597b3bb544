"""The outermost layer: every request gets an id, the headers that guard it, and one line in the log.

Plain ASGI, so that no exception goes around it. The line names the route, not the path, and neither query
nor headers: a key or a trace id that is sent in the wrong place is not written down.
"""

import logging
import os
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmplatform import ids
from llmplatform.clock import Clock
from watch.console.viewer import Viewer
from watch.reading.aws_calls import AwsCalls, counted

logger = logging.getLogger("watch.console")

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_GUARDS: Final = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    # Not `no-referrer`, under which browsers send forms of ours with `Origin: null`.
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_NOT_STORED: Final = (b"cache-control", b"no-store")


@dataclass(slots=True)
class Observed:
    """What a request turns out to be, filled in by whoever finds out."""

    request_id: str
    viewer: Viewer | None = None
    status: int | None = None
    """None where the client did not wait for it."""
    aws_calls: AwsCalls = field(default_factory=AwsCalls)
    """Calls of AWS so far; what others had asked for just before is no call."""

    @property
    def tells_aws_calls(self) -> bool:
        """Whether they are told: a tenant would learn what others asked for, and how much there is of it."""
        return self.viewer is not None and self.viewer.sees_all


def observing(app: ASGIApp, clock: Clock, *, secure: bool) -> ASGIApp:
    """The application that the server runs; what `app` has to say is `observed_of(request)`."""
    guards = (*_GUARDS, (b"strict-transport-security", b"max-age=31536000")) if secure else _GUARDS

    async def observed_app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started_ns = clock.monotonic_ns()
        request_id = ids.request_id(int(clock.now().timestamp() * 1_000), os.urandom(10))
        observed = Observed(request_id)
        scope.setdefault("state", {})["observed"] = observed

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                observed.status = message["status"]
                headers = [*message.get("headers", ()), *guards, (b"x-request-id", request_id.encode())]
                if observed.tells_aws_calls:
                    headers.append((b"x-aws-calls", str(observed.aws_calls.count).encode()))
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append(_NOT_STORED)
                message["headers"] = headers
            await send(message)

        try:
            with counted(observed.aws_calls):
                await app(scope, receive, guarded_send)
        except Exception:  # answered as a 500 already, where an answer was still possible
            logger.exception("a request failed", extra={"request_id": request_id})
        finally:
            viewer = observed.viewer
            logger.info(
                "request",
                extra={
                    "request_id": request_id,
                    "method": scope["method"],
                    "route": getattr(scope.get("route"), "path", None),
                    "viewer": None if viewer is None else viewer.name,
                    "status": observed.status,
                    "duration_ms": round((clock.monotonic_ns() - started_ns) / 1e6, 1),
                    "aws_calls": observed.aws_calls.count,
                },
            )

    return observed_app


def observed_of(request: Request) -> Observed:
    """What is known of a request so far."""
    observed: Observed = request.scope["state"]["observed"]
    return observed


def log_content_read(request: Request, tenant_id: str, trace_id: str) -> None:
    """Write the one line that each showing of a prompt or an answer leaves: who, whose, which.

    To be called once, where the content is put into the page, after `Viewer.may_read_content`.
    """
    observed = observed_of(request)
    viewer = observed.viewer
    logger.info(
        "content_read",
        extra={
            "request_id": observed.request_id,
            "viewer": None if viewer is None else viewer.name,
            "tenant_id": tenant_id,
            "trace_id": trace_id,
        },
    )
