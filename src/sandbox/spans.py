"""Spans as they come by OTLP, and as the X-Ray segment documents that they become.

Pure. The shapes are those of opentelemetry-proto 1.x and of "AWS X-Ray segment documents"; which span
becomes a segment and which a subsegment follows the OpenTelemetry collector's X-Ray exporter.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

AttributeValue = str | bool | int | float | bytes | list[Any] | dict[str, Any] | None
Document = dict[str, Any]

MAX_ANNOTATIONS: Final = 50
MAX_NAME_CHARS: Final = 200
ANNOTATIONS_ATTRIBUTE: Final = "aws.xray.annotations"

_NOT_IN_NAME: Final = re.compile(r"[^\w\s.:/%&#=+\-@]", re.ASCII)
_NOT_IN_KEY: Final = re.compile(r"[^\w.]", re.ASCII)
_CLIENT_ERRORS: Final = range(400, 500)
_SERVER_FAULTS: Final = range(500, 600)
_THROTTLED: Final = 429
_ID_FIELDS: Final = ("traceId", "spanId", "parentSpanId")


class MalformedExportError(Exception):
    """A body that is no ExportTraceServiceRequest."""


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened at one moment of a span."""

    name: str
    timestamp_ns: int
    attributes: Mapping[str, AttributeValue]


@dataclass(frozen=True, slots=True)
class Span:
    """A span as its process told it. Ids are lower-case hex; `parent_id` is None at the root.

    `kind` is `SERVER`, `CLIENT`, `INTERNAL`, ...; `status` is `UNSET`, `OK` or `ERROR`; `resource` are
    the attributes of the process that made it.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    start_ns: int
    end_ns: int
    status: str
    status_message: str
    attributes: Mapping[str, AttributeValue]
    events: tuple[SpanEvent, ...]
    resource: Mapping[str, AttributeValue]
    scope: str


def spans_of_protobuf(body: bytes) -> list[Span]:
    """Read an OTLP request in protobuf. Raises MalformedExportError."""
    try:
        return list(_spans(ExportTraceServiceRequest.FromString(body)))
    except DecodeError as error:
        raise MalformedExportError("not an ExportTraceServiceRequest in protobuf") from error


def spans_of_json(body: bytes) -> list[Span]:
    """Read an OTLP request in JSON, where ids are hex (and not base64 as protobuf's own JSON has them).

    Raises MalformedExportError.
    """
    try:
        document = orjson.loads(body)
        for span in _json_spans(document):
            for holder in (span, *span.get("links", ())):
                for field in _ID_FIELDS:
                    if holder.get(field):
                        holder[field] = base64.b64encode(bytes.fromhex(holder[field])).decode()
        request = ExportTraceServiceRequest()
        json_format.ParseDict(document, request, ignore_unknown_fields=True)
    except (ValueError, TypeError, AttributeError, json_format.ParseError) as error:
        raise MalformedExportError("not an ExportTraceServiceRequest in JSON") from error
    return list(_spans(request))


def _json_spans(document: Any) -> Iterator[Any]:
    for resource in document.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            yield from scope.get("spans", ())


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for of_resource in request.resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield Span(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex() or None,
                    name=span.name,
                    kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    status=trace_pb2.Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
                    status_message=span.status.message,
                    attributes=_attributes(span.attributes),
                    events=tuple(
                        SpanEvent(event.name, event.time_unix_nano, _attributes(event.attributes))
                        for event in span.events
                    ),
                    resource=resource,
                    scope=of_scope.scope.name,
                )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, AttributeValue]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> AttributeValue:
    match value.WhichOneof("value"):
        case "array_value":
            return [_value(one) for one in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case None:
            return None
        case field:
            plain: AttributeValue = getattr(value, field)
            return plain


def xray_trace_id(trace_id: str) -> str:
    """Write a trace id of 32 hex digits the X-Ray way, `1-8hex-24hex`. One that is so already stays."""
    return trace_id if "-" in trace_id else f"1-{trace_id[:8]}-{trace_id[8:]}"


def hex_trace_id(trace_id: str) -> str:
    """Write a trace id as 32 hex digits, whichever way it came."""
    return trace_id.removeprefix("1-").replace("-", "").lower()


def segment_document(span: Span) -> Document:
    """Write a span as an X-Ray segment document.

    Roots and the serving side of a call are segments, the rest subsegments that travel alone. Attributes
    named in `aws.xray.annotations` become annotations, which X-Ray indexes; the others are metadata.
    """
    document: Document = {
        "id": span.span_id,
        "trace_id": xray_trace_id(span.trace_id),
        "name": _NOT_IN_NAME.sub("", span.name)[:MAX_NAME_CHARS] or "span",
        "start_time": _epoch_s(span.start_ns),
        "end_time": _epoch_s(span.end_ns),
        "metadata": {"default": _readable(span.attributes), "resource": _readable(span.resource)},
    }
    if span.parent_id is not None:
        document["parent_id"] = span.parent_id
        if span.kind not in {"SERVER", "CONSUMER"}:
            document["type"] = "subsegment"
    if span.kind in {"CLIENT", "PRODUCER"}:
        document["namespace"] = "remote"
    document |= _annotations(span) | _http(span) | _failure(span)
    return document


def _epoch_s(moment_ns: int) -> float:
    """Epoch seconds to the microsecond: a float holds no more of them."""
    return moment_ns // 1_000 / 1e6


def _annotations(span: Span) -> Document:
    listed = span.attributes.get(ANNOTATIONS_ATTRIBUTE)
    names = listed if isinstance(listed, list) else []
    annotations = {
        _NOT_IN_KEY.sub("_", name): value
        for name in names[:MAX_ANNOTATIONS]
        if isinstance(value := span.attributes.get(name), str | bool | int | float)
    }
    return {"annotations": annotations} if annotations else {}


def _http(span: Span) -> Document:
    """The `http` block, from OpenTelemetry's names for HTTP."""
    request = {
        "method": span.attributes.get("http.request.method"),
        "url": span.attributes.get("url.full") or span.attributes.get("url.path"),
        "user_agent": span.attributes.get("user_agent.original"),
        "client_ip": span.attributes.get("client.address"),
    }
    blocks = {
        "request": {name: value for name, value in request.items() if value is not None},
        "response": {"status": status} if (status := _status(span)) is not None else {},
    }
    http = {name: block for name, block in blocks.items() if block}
    return {"http": http} if http else {}


def _failure(span: Span) -> Document:
    """What failed and whose fault it was: `error` the caller's, `throttle` too many calls, `fault` ours."""
    status = _status(span)
    failure: Document = {}
    if status is not None and status in _CLIENT_ERRORS:
        failure["error"] = True
        if status == _THROTTLED:
            failure["throttle"] = True
    elif span.status == "ERROR" or (status is not None and status in _SERVER_FAULTS):
        failure["fault"] = True
    exceptions = [
        {
            "id": f"{index:016x}",
            "type": event.attributes.get("exception.type", "exception"),
            "message": event.attributes.get("exception.message", ""),
        }
        for index, event in enumerate(span.events, start=1)
        if event.name == "exception"
    ]
    if failure and (exceptions or span.status_message):
        told = exceptions or [{"id": "1".zfill(16), "type": "error", "message": span.status_message}]
        failure["cause"] = {"exceptions": told}
    return failure


def _status(span: Span) -> int | None:
    status = span.attributes.get("http.response.status_code")
    return status if isinstance(status, int) else None


def _readable(attributes: Mapping[str, AttributeValue]) -> Document:
    """Attributes as JSON can hold them."""
    return {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in attributes.items()
    }
