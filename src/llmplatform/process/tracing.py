"""Finished spans made from what was measured, and the exporter that sends them.

The platform decides at the end of a request whether its trace is kept, so spans are built from a record,
with given ids and times, and no tracer runs beside the work. What a span says is told by the process that
builds it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

AttributeValue = str | bool | int | float | Sequence[str]

EXPORT_TIMEOUT_S: Final = 5.0

_SCOPE: Final = InstrumentationScope("llm-platform")
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


def process_resource(service: str, *, version: str, instance_id: str) -> Resource:
    """Who the spans are from."""
    return Resource(
        {
            "service.name": service,
            "service.namespace": "llm-platform",
            "service.version": version,
            "service.instance.id": instance_id,
        }
    )


def finished_span(
    name: str,
    *,
    trace_id: str,
    span_id: str,
    parent_span_id: str | None,
    parent_is_remote: bool,
    kind: SpanKind,
    start_ns: int,
    end_ns: int,
    attributes: Mapping[str, AttributeValue],
    failed: bool,
    resource: Resource,
) -> ReadableSpan:
    """A span that is over; ids in hex, times in nanoseconds since the epoch."""
    trace = int(trace_id, 16)
    parent = (
        None
        if parent_span_id is None
        else SpanContext(trace, int(parent_span_id, 16), is_remote=parent_is_remote, trace_flags=_SAMPLED)
    )
    return ReadableSpan(
        name,
        context=SpanContext(trace, int(span_id, 16), is_remote=False, trace_flags=_SAMPLED),
        parent=parent,
        resource=resource,
        attributes=attributes,
        kind=kind,
        status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
        start_time=start_ns,
        end_time=end_ns,
        instrumentation_scope=_SCOPE,
    )


def otlp_exporter(endpoint: str, *, timeout_s: float = EXPORT_TIMEOUT_S) -> OTLPSpanExporter:
    """An exporter to a collector's base URL (`http://127.0.0.1:4318`). It blocks: use it from a thread."""
    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=timeout_s)
