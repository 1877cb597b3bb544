"""SageMaker's runtime on the wire: invocations, their stream, and the OpenAI route.

The carrier only: what the model container reads and writes is in ``containers``, and may be cut
anywhere on its way into PayloadPart frames.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any
from urllib.parse import unquote

import msgspec
from aiohttp import web

from sandbox.calls import Call, CallLog, kept_headers
from sandbox.containers import Container, ContainerRefused, container_of
from sandbox.engines.engine import Batch, Generation, collect
from sandbox.eventstream import event_frame, exception_frame
from sandbox.exchange import recorded, send_stream, send_whole
from sandbox.faults import ContainerError, Cut, EndEarly, Stall, StreamException
from sandbox.native_metrics import MetricSink
from sandbox.refusals import Refusal
from sandbox.registry import Cast, Registry
from sandbox.signing import SignatureCheck

BODY_MAX_BYTES = 6_291_456
VARIANT = "AllTraffic"
_PATH = re.compile(
    r"/endpoints/(?P<endpoint>[^/]+)/"
    r"(?P<operation>invocations|invocations-response-stream|openai/v1/chat/completions)"
)
_OPENAI_ROUTE = "openai/v1/chat/completions"
_EVENT_STREAM = "application/vnd.amazon.eventstream"
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_HEADER_LIMITS = {
    "X-Amzn-SageMaker-Custom-Attributes": 1024,
    "X-Amzn-SageMaker-Inference-Id": 64,
    "X-Amzn-SageMaker-Inference-Component": 63,
    "X-Amzn-SageMaker-Target-Model": 1024,
    "X-Amzn-SageMaker-Target-Variant": 63,
    "X-Amzn-SageMaker-Session-Id": 256,
}
_BUSY = Refusal(503, "ServiceUnavailable", "The service is temporarily unavailable")


class SageMakerRuntime:
    """Answers everything under ``/endpoints/``."""

    def __init__(
        self, registry: Registry, calls: CallLog, signatures: SignatureCheck, metrics: MetricSink
    ) -> None:
        self._registry = registry
        self._calls = calls
        self._signatures = signatures
        self._metrics = metrics

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one call."""
        found = _PATH.fullmatch(request.raw_path.partition("?")[0])
        if found is None:
            raise web.HTTPNotFound
        content = await request.read()
        call = Call(
            request_id=str(uuid.uuid4()),
            service="sagemaker",
            operation=found["operation"],
            model=unquote(found["endpoint"]),
            headers=kept_headers(request.headers),
            signed="Authorization" in request.headers,
            body=_decoded(content),
        )
        self._calls.add(call)
        self._metrics.begin(call)

        async def work() -> web.StreamResponse:
            if call.operation == _OPENAI_ROUTE:
                _demand_bearer(request)
            else:
                self._signatures.demand(
                    service="sagemaker",
                    method=request.method,
                    raw_path=request.raw_path,
                    headers=request.headers,
                    body=content,
                )
            _demand_fitting(request, content)
            return await self._answer(request, call)

        try:
            return await recorded(
                request, call, work, message_key="Message", busy=_BUSY, refused=_container_refused
            )
        finally:
            self._metrics.observe(call)

    async def _answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        cast = self._registry.cast(call.model)
        cast.demand_accepted()
        container = container_of(cast.container)
        framed = call.operation.endswith("stream")
        asked_to_stream = isinstance(call.body, dict) and bool(call.body.get("stream"))
        stream = framed or (call.operation == _OPENAI_ROUTE and asked_to_stream)
        try:
            asked = container.request(call.model, call.body, stream=stream)
        except ContainerRefused as refusal:
            raise _container_refused(str(refusal)) from None
        generation = cast.engine.generate(asked)
        try:
            if not stream:
                return await self._whole(request, call, cast, container, generation)
            return await self._stream(request, call, cast, container, generation)
        finally:
            call.usage = generation.usage  # nothing is billed by the token

    async def _stream(
        self, request: web.Request, call: Call, cast: Cast, container: Container, generation: Generation
    ) -> web.StreamResponse:
        writer = container.writer(call.body, lambda: generation.usage)
        framed = call.operation != _OPENAI_ROUTE
        parts = _Parts(cast, container, framed=framed)
        headers = _headers(request, call)
        if framed:
            headers |= {
                "Content-Type": _EVENT_STREAM,
                "X-Amzn-SageMaker-Content-Type": container.stream_content_type,
            }
        else:
            headers |= {"Content-Type": container.stream_content_type}
            cast = _without_frames(cast)

        def encode(batch: Batch) -> Sequence[bytes]:
            return parts.of(writer.write(batch))

        return await send_stream(
            request,
            call,
            cast,
            generation,
            start=parts.of(writer.start()),
            encode=encode,
            headers=headers,
            encode_exception=_exception,
            engine_failed=lambda message: parts.of([container.failure(ContainerError(message=message))]),
        )

    async def _whole(
        self, request: web.Request, call: Call, cast: Cast, container: Container, generation: Generation
    ) -> web.StreamResponse:
        for fault in cast.faults:
            if isinstance(fault, ContainerError):
                raise _model_error(fault.code, fault.message)
        answer = await collect(generation)
        call.first_token_ms = answer.done().first_token_ms
        headers = _headers(request, call) | {"Content-Type": "application/json"}
        return await send_whole(request, call, cast, container.whole(call.body, answer), headers)


class _Parts:
    """The container's bytes, cut where the script says and framed; a container may fail on the way."""

    def __init__(self, cast: Cast, container: Container, *, framed: bool) -> None:
        self._framed = framed
        self._sizes: Iterator[int] | None = cycle(cast.script.part_sizes) if cast.script.part_sizes else None
        self._failure = next((fault for fault in cast.faults if isinstance(fault, ContainerError)), None)
        self._container = container
        self._written = 0
        self._failed = False

    def of(self, chunks: Sequence[bytes]) -> list[bytes]:
        """Frames of the chunks that the container has just written."""
        written: list[bytes] = []
        for chunk in chunks:
            if self._failed:
                break
            if self._failure is not None and self._written == self._failure.after_events:
                self._failed = True
                written.append(self._container.failure(self._failure))
                break
            written.append(chunk)
            self._written += 1
        pieces = written if self._sizes is None else list(self._cut(b"".join(written)))
        if not self._framed:
            return pieces
        return [
            event_frame("PayloadPart", piece, content_type="application/octet-stream") for piece in pieces
        ]

    def _cut(self, data: bytes) -> Iterator[bytes]:
        while data and self._sizes is not None:
            size = next(self._sizes)
            yield data[:size]
            data = data[size:]


def _without_frames(cast: Cast) -> Cast:
    """The cast less what can only happen to frames: the OpenAI route carries the bare bytes."""
    kept = tuple(fault for fault in cast.faults if isinstance(fault, Cut | EndEarly | Stall))
    return Cast(cast.engine, cast.container, cast.script, kept)


def _demand_bearer(request: web.Request) -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        raise Refusal(403, "MissingAuthenticationTokenException", "Missing Authentication Token")


def _demand_fitting(request: web.Request, content: bytes) -> None:
    if len(content) > BODY_MAX_BYTES:
        message = f"HTTP content length exceeded {BODY_MAX_BYTES} bytes."
        raise Refusal(413, "RequestEntityTooLarge", message)
    for name, limit in _HEADER_LIMITS.items():
        value = request.headers.get(name, "")
        if len(value) > limit or not _PRINTABLE.fullmatch(value):
            message = f"{name} must be at most {limit} visible ASCII characters"
            raise Refusal(400, "ValidationError", message)


def _decoded(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        return None


def _headers(request: web.Request, call: Call) -> dict[str, str]:
    variant = request.headers.get("X-Amzn-SageMaker-Target-Variant", VARIANT)
    headers = {"x-amzn-RequestId": call.request_id, "x-Amzn-Invoked-Production-Variant": variant}
    if (attributes := request.headers.get("X-Amzn-SageMaker-Custom-Attributes")) is not None:
        headers["X-Amzn-SageMaker-Custom-Attributes"] = attributes
    return headers


def _exception(fault: StreamException) -> bytes:
    payload = msgspec.json.encode({"Message": fault.message, **fault.fields})
    return exception_frame(fault.exception_type, payload)


def _container_refused(message: str) -> Refusal:
    return _model_error(400, message)


def _model_error(status: int, message: str) -> Refusal:
    whole = f'Received client error ({status}) from primary with message "{message}".'
    log = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/sagemaker/Endpoints/sandbox"
    fields = {"OriginalStatusCode": status, "OriginalMessage": message, "LogStreamArn": log}
    return Refusal(424, "ModelError", whole, fields=fields)
