"""Bedrock's runtime on the wire: converse, invoke, their streams, and count-tokens.

Bodies are translated next door (``converse_request``, ``converse_response``, ``invoke_wire``); here
are paths, signatures, statuses and who is billed.
"""

from __future__ import annotations

import re
import uuid
from base64 import b64decode
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import msgspec
from aiohttp import web

from sandbox.calls import Call, CallLog, kept_headers
from sandbox.converse_request import converse_request, invalid
from sandbox.converse_response import ConverseStreamEncoder, converse_response
from sandbox.engines.engine import Generation, GenerationRequest, collect
from sandbox.eventstream import exception_frame
from sandbox.exchange import recorded, send_stream, send_whole
from sandbox.faults import Omit, StreamException
from sandbox.invoke_wire import InvokeStreamEncoder, family_of
from sandbox.native_metrics import MetricSink
from sandbox.refusals import Refusal
from sandbox.registry import Cast, Registry
from sandbox.signing import SignatureCheck

_PATH = re.compile(
    r"/model/(?P<model>.+)/"
    r"(?P<operation>converse|converse-stream|invoke|invoke-with-response-stream|count-tokens)"
)
_EVENT_STREAM = "application/vnd.amazon.eventstream"
_BUSY = Refusal(429, "ModelNotReadyException", "The model is not ready to serve this request")


class BedrockRuntime:
    """Answers everything under ``/model/``."""

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
            service="bedrock",
            operation=found["operation"],
            model=unquote(found["model"]),
            headers=kept_headers(request.headers),
            signed="Authorization" in request.headers,
            body=_decoded(content),
        )
        self._calls.add(call)
        self._metrics.begin(call)

        async def work() -> web.StreamResponse:
            self._signatures.demand(
                service="bedrock",
                method=request.method,
                raw_path=request.raw_path,
                headers=request.headers,
                body=content,
            )
            return await self._answer(request, call)

        try:
            return await recorded(
                request, call, work, message_key="message", busy=_BUSY, refused=_engine_refused
            )
        finally:
            self._metrics.observe(call)

    async def _answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        cast = self._registry.cast(call.model)
        if call.operation == "count-tokens":
            cast.demand_accepted()
            asked = _count_request(call.model, call.body)
            counted = {"inputTokens": await cast.engine.count_tokens(asked)}
            return await send_whole(request, call, cast, msgspec.json.encode(counted), _headers(call))
        stream = call.operation.endswith("stream")
        converse = call.operation.startswith("converse")
        if converse:
            asked = converse_request(call.model, call.body, stream=stream)
        else:
            asked = family_of(call.model).request(call.model, call.body, stream=stream)
        cast.demand_accepted()
        generation = cast.engine.generate(asked)
        try:
            if stream:
                return await self._stream(request, call, cast, generation, converse=converse)
            return await self._whole(request, call, cast, generation, converse=converse)
        finally:
            # Bedrock is reported to bill the whole generation, also when the client has left.
            call.usage = call.billed = generation.usage

    async def _stream(
        self, request: web.Request, call: Call, cast: Cast, generation: Generation, *, converse: bool
    ) -> web.StreamResponse:
        omitted = [name for fault in cast.faults if isinstance(fault, Omit) for name in fault.event_types]
        encoder: ConverseStreamEncoder | InvokeStreamEncoder
        if converse:
            encoder = ConverseStreamEncoder(paths=_paths(call.body), omitted=omitted)
            headers = _headers(call, _EVENT_STREAM)
        else:
            encoder = InvokeStreamEncoder(family_of(call.model), lambda: generation.usage)
            headers = _headers(call, _EVENT_STREAM) | {"X-Amzn-Bedrock-Content-Type": "application/json"}
        return await send_stream(
            request,
            call,
            cast,
            generation,
            start=encoder.start(),
            encode=encoder.encode,
            headers=headers,
            encode_exception=_exception,
            engine_failed=_engine_failed,
        )

    async def _whole(
        self, request: web.Request, call: Call, cast: Cast, generation: Generation, *, converse: bool
    ) -> web.StreamResponse:
        answer = await collect(generation)
        finished = answer.done()
        call.first_token_ms = finished.first_token_ms
        headers = _headers(call)
        if converse:
            body = converse_response(answer, _paths(call.body))
        else:
            body = msgspec.json.encode(family_of(call.model).response(answer))
            usage = finished.usage
            headers |= {
                "X-Amzn-Bedrock-Input-Token-Count": str(usage.input_tokens),
                "X-Amzn-Bedrock-Output-Token-Count": str(usage.output_tokens),
                "X-Amzn-Bedrock-Invocation-Latency": str(finished.latency_ms),
            }
        return await send_whole(request, call, cast, body, headers)


def _decoded(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        return None


def _count_request(model: str, body: Any) -> GenerationRequest:
    match body:
        case {"input": {"converse": dict(converse)}}:
            return converse_request(model, converse, stream=False)
        case {"input": {"invokeModel": {"body": str(encoded)}}}:
            return family_of(model).request(model, _decoded(b64decode(encoded)), stream=False)
        case _:
            raise invalid("input must have exactly one of converse, invokeModel")


def _paths(body: Any) -> Sequence[str]:
    return body.get("additionalModelResponseFieldPaths") or ()


def _headers(call: Call, content_type: str = "application/json") -> dict[str, str]:
    return {"x-amzn-RequestId": call.request_id, "Content-Type": content_type}


def _exception(fault: StreamException) -> bytes:
    payload = msgspec.json.encode({"message": fault.message, **fault.fields})
    return exception_frame(fault.exception_type, payload)


def _engine_refused(message: str) -> Refusal:
    return invalid(message)


def _engine_failed(message: str) -> Sequence[bytes]:
    fields = {"originalStatusCode": 400, "originalMessage": message}
    fault = StreamException(exception_type="modelStreamErrorException", message=message, fields=fields)
    return [_exception(fault)]
