"""The outermost layer: every request gets its ids, and every inference request leaves one record.

Plain ASGI. An inference route goes from here straight to `Serving`; everything else goes to the FastAPI
application. The record is closed here exactly once, with exactly one outcome, because this is the one place
that no disconnect and no exception can go around.
"""

import os
from collections.abc import Mapping
from typing import Protocol

from gateway.emission import Emission
from gateway.http.asgi import AsgiApp, Message, Receive, Scope, Send
from gateway.invocation import Invocation, KeepTrace
from gateway.prompt_study import turns
from gateway.surfaces.surface import Surface
from llmplatform import ids
from llmplatform.clock import Clock
from llmplatform.errors import GatewayOverloaded
from llmplatform.invocation import Outcome
from llmplatform.tracecontext import TraceContext, adopt_trace


class Serves(Protocol):
    """What answers inference requests; `gateway.serving.Serving` in production."""

    async def serve(
        self, scope: Scope, receive: Receive, send: Send, surface: Surface, invocation: Invocation
    ) -> None:
        """Answer one request and leave its outcome on `invocation`."""
        ...


class Observe:
    """The application that the server runs."""

    def __init__(
        self,
        *,
        app: AsgiApp,
        serving: Serves,
        surfaces: Mapping[str, Surface],
        emission: Emission,
        keep_trace: KeepTrace,
        clock: Clock,
    ) -> None:
        """`surfaces` are the inference routes, POST each, by path; `app` answers all others."""
        self._app = app
        self._serving = serving
        self._surfaces = surfaces
        self._emission = emission
        self._keep_trace = keep_trace
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrived_ns = self._clock.monotonic_ns()
        received_at = self._clock.now()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        entropy = os.urandom(34)
        trace = adopt_trace(_text(headers, b"traceparent"), _text(headers, b"x-trace-id"), entropy[:24])
        request_id = ids.request_id(int(received_at.timestamp() * 1_000), entropy[24:])
        surface = self._surfaces.get(scope["path"]) if scope["method"] == "POST" else None
        if surface is None:
            scope.setdefault("state", {})["trace_id"] = trace.trace_id
            await self._app(scope, receive, _stamping(send, trace, request_id, None))
            return
        invocation = Invocation(
            request_id=request_id,
            trace=trace,
            surface=surface.name,
            received_at=received_at,
            arrived_ns=arrived_ns,
        )
        try:
            stamped = _stamping(send, trace, request_id, invocation)
            await self._serving.serve(scope, receive, stamped, surface, invocation)
        finally:
            if invocation.outcome is None:
                # Cancelled from outside: the server's own deadline at shutdown.
                invocation.error = GatewayOverloaded("the gateway is shutting down", retry_after_s=1)
                invocation.outcome = Outcome.BACKEND_FAILED
            self._emit(invocation)

    def _emit(self, invocation: Invocation) -> None:
        record = invocation.finish(
            completed_at=self._clock.now(),
            now_ns=self._clock.monotonic_ns(),
            keep_trace=self._keep_trace,
        )
        self._emission.emit(record, invocation.policy, invocation.content(turns))


def _stamping(send: Send, trace: TraceContext, request_id: str, invocation: Invocation | None) -> Send:
    stamps = ((b"x-trace-id", ids.as_uuid(trace.trace_id).encode()), (b"x-request-id", request_id.encode()))

    async def stamped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *stamps]
            if invocation is not None:
                invocation.http_status = message["status"]
        await send(message)

    return stamped


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")
