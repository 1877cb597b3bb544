"""The outermost layer: every request gets an id, the headers that guard it, and one line in the log.

Plain ASGI, so that no exception goes around it. The line names the route, not the path, and neither query
nor headers: a key that is sent in the wrong place is not written down.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from llmplatform import ids
from llmplatform.clock import Clock

logger = logging.getLogger("costagg.api")

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY: Final = (
    b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page of the documentation needs, and nothing from elsewhere."""
_GUARDS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", _POLICY),
)
_NOT_STORED: Final = (b"cache-control", b"no-store")


@dataclass(slots=True)
class Observed:
    """What a request turns out to be, filled in by whoever finds out."""

    request_id: str
    caller: str | None = None
    owner: str | None = None
    """Whose costs were asked for, once that was allowed."""
    status: int | None = None
    """None where the client did not wait for it."""


def observing(app: AsgiApp, clock: Clock) -> AsgiApp:
    """The application that the server runs; what `app` has to say is in `scope["state"]["observed"]`."""

    async def observed_app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started_ns = clock.monotonic_ns()
        request_id = ids.request_id(int(clock.now().timestamp() * 1_000), os.urandom(10))
        observed = Observed(request_id)
        scope.setdefault("state", {})["observed"] = observed
        try:
            await _while_wanted(app, scope, receive, _guarding(send, observed), observed)
        except Exception:  # answered as a 500 already, where an answer was still possible
            logger.exception("a request failed", extra={"request_id": request_id})
        finally:
            route = scope.get("route")
            logger.info(
                "request",
                extra={
                    "request_id": request_id,
                    "method": scope["method"],
                    "route": getattr(route, "path", None),
                    "caller": observed.caller,
                    "owner": observed.owner,
                    "status": observed.status,
                    "duration_ms": round((clock.monotonic_ns() - started_ns) / 1e6, 1),
                },
            )

    return observed_app


async def _while_wanted(app: AsgiApp, scope: Scope, receive: Receive, send: Send, observed: Observed) -> None:
    """Run the application; stop it where the client hangs up before it has an answer.

    Else a client that gives up early and asks again would wait for all that it no longer wants.
    """
    answering = asyncio.ensure_future(app(scope, receive, send))
    watching = asyncio.ensure_future(_hung_up(receive))
    try:
        await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
        if answering.done() or observed.status is not None:
            await answering
    finally:
        answering.cancel()
        watching.cancel()
        await asyncio.gather(answering, watching, return_exceptions=True)


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        """A body, which no route here reads."""


def _guarding(send: Send, observed: Observed) -> Send:
    async def guarded_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            observed.status = message["status"]
            headers = [*message.get("headers", ()), *_GUARDS]
            headers.append((b"x-request-id", observed.request_id.encode()))
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append(_NOT_STORED)
            message["headers"] = headers
        await send(message)

    return guarded_send
