"""SageMaker endpoints as a backend: InvokeEndpoint and InvokeEndpointWithResponseStream.

The container's bytes come in payload parts that end anywhere; what they say is the dialect's. SageMaker
strips all headers but its own, so who calls travels in `Inference-Id` (the trace id, which data capture
keeps) and in `Custom-Attributes`, which reach the container.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from urllib.parse import quote

import aiohttp

from gateway.backends.aws import AwsRuntime
from gateway.backends.backend import BackendCall, BackendReply
from gateway.backends.http import HttpCall, WholeReply, exchange
from gateway.chat import ChatEvent, EventSkipped, StreamFailed
from gateway.dialects.dialect import CallIdentity, Dialect, StreamDecoder
from gateway.dialects.faults import aws_fault, corrupt, stream_fault
from gateway.wire.eventstream import Frame, FrameDecoder
from llmplatform.catalogue import DialectName
from llmplatform.errors import BackendFault, BackendProtocolCorrupt


class SageMakerBackend:
    """The endpoints of SageMaker's runtime, their inference components and multi-model targets."""

    name = "sagemaker"
    sends_trace = True  # in Inference-Id and Custom-Attributes

    def __init__(
        self,
        session: aiohttp.ClientSession,
        runtime: AwsRuntime,
        dialects: Mapping[DialectName, Dialect],
    ) -> None:
        self._session = session
        self._runtime = runtime
        self._dialects = dialects

    def open(self, call: BackendCall) -> AbstractAsyncContextManager[BackendReply]:
        """Send the call and wait for the reply's head; see `backend.Backend`."""
        model = call.model
        dialect = self._dialects[model.dialect]
        encoded = dialect.encode(call.request, model, call.identity)
        streamed = call.request.stream and model.streaming
        path = _path(model.backend_model_id, streamed=streamed)
        headers = {
            "Content-Type": encoded.content_type,
            "X-Amzn-SageMaker-Accept" if streamed else "Accept": encoded.accept,
            "X-Amzn-SageMaker-Inference-Id": call.identity.trace_id,
            "X-Amzn-SageMaker-Custom-Attributes": _custom_attributes(call.identity),
        }
        if model.inference_component is not None:
            headers["X-Amzn-SageMaker-Inference-Component"] = model.inference_component
        if model.target_model is not None:
            headers["X-Amzn-SageMaker-Target-Model"] = model.target_model
        return exchange(
            self._session,
            HttpCall(
                self._runtime.url(path),
                self._runtime.signed(path, headers, encoded.body),
                encoded.body,
                model.timeouts,
                streamed,
            ),
            PayloadPartDecoder(dialect.stream_decoder()) if streamed else WholeReply(dialect),
        )


class PayloadPartDecoder:
    """Takes the container's bytes out of SageMaker's response stream and hands them to a dialect."""

    __slots__ = ("_failed", "_frames", "_inner")

    def __init__(self, inner: StreamDecoder) -> None:
        self._inner = inner
        self._frames = FrameDecoder()
        self._failed = False

    def feed(self, data: bytes) -> Sequence[ChatEvent]:
        """The events that `data` completes."""
        if self._failed:
            return ()
        try:
            events = self._take(self._frames.feed(data))
        except BackendProtocolCorrupt as damage:
            return self._fail([], damage)
        if not self._failed:
            try:
                self._frames.pending  # noqa: B018  # raises when the frames were followed by a damaged one
            except BackendProtocolCorrupt as damage:
                return self._fail([*events], damage)
        return events

    def finish(self) -> Sequence[ChatEvent]:
        """Nothing when the container's reply was complete and no frame is unfinished, else StreamFailed."""
        if self._failed:
            return ()
        try:
            unfinished = self._frames.pending
        except BackendProtocolCorrupt as damage:
            return self._fail([], damage)
        if unfinished:
            return self._fail([], corrupt("SageMaker stream: ended inside a frame"))
        return self._inner.finish()

    def _take(self, frames: Sequence[Frame]) -> Sequence[ChatEvent]:
        if len(frames) == 1 and frames[0].headers.event_type == "PayloadPart":
            return self._feed_inner(frames[0].payload)
        events: list[ChatEvent] = []
        parts: list[bytes] = []
        failure: BackendFault | None = None
        for frame in frames:
            if frame.headers.message_type != "event":
                failure = _fault(frame)
                break
            if frame.headers.event_type == "PayloadPart":
                parts.append(frame.payload)
            else:
                events.append(EventSkipped(frame.headers.event_type or "unnamed"))
        if parts:
            events += self._feed_inner(b"".join(parts))
        return events if failure is None or self._failed else self._fail(events, failure)

    def _feed_inner(self, part: bytes) -> Sequence[ChatEvent]:
        events = self._inner.feed(part)
        self._failed = bool(events) and type(events[-1]) is StreamFailed
        return events

    def _fail(self, events: list[ChatEvent], fault: BackendFault) -> list[ChatEvent]:
        self._failed = True
        events.append(StreamFailed(fault))
        return events


def _fault(frame: Frame) -> BackendFault:
    headers = frame.headers
    if headers.message_type == "error":
        return aws_fault(headers.error_code, detail=headers.error_message)
    return stream_fault(headers.exception_type, frame.payload)


def _custom_attributes(identity: CallIdentity) -> str:
    """Who calls, in visible ASCII: ids only, a tenth of the 1,024 characters that are allowed."""
    return (
        f"traceparent=00-{identity.trace_id}-{identity.span_id}-01;"
        f"tenant_id={identity.tenant_id};request_id={identity.request_id}"
    )


@lru_cache(maxsize=1024)
def _path(endpoint: str, *, streamed: bool) -> str:
    operation = "invocations-response-stream" if streamed else "invocations"
    return f"/endpoints/{quote(endpoint, safe='')}/{operation}"
