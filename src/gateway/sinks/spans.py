"""Makes the spans of a kept trace from its record and exports them by OTLP, in a thread.

One server span of the gateway, one client span below it for each attempt at a backend. Names are those of
OpenTelemetry's GenAI conventions (v0.1.0) where it has one, `llmplatform.*` where it has none. Its usage
totals include cached and reasoning tokens. Never content.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind

from llmplatform.errors import TelemetryFault
from llmplatform.invocation import Attempt, InvocationRecord, Outcome
from llmplatform.process.batching import BatchingSink, Limits, Receipt
from llmplatform.process.thread import DaemonThread
from llmplatform.process.tracing import EXPORT_TIMEOUT_S, AttributeValue, finished_span
from llmplatform.redaction import safe_label
from llmplatform.tracecontext import attempt_span_id
from llmplatform.usage import TokenUsage

# A queued record is a few kilobytes; bytes are counted as items here.
SPAN_LIMITS: Final = Limits(
    queued_items=2_000,
    queued_bytes=2_000,
    batch_items=128,
    batch_bytes=128,
    linger_s=1.0,
    tries=3,
    attempt_timeout_s=EXPORT_TIMEOUT_S + 1,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NS_PER_MS: Final = 1_000_000
_PROVIDERS: Final = {"bedrock": "aws.bedrock", "sagemaker": "aws.sagemaker"}
_SERVER_SPAN_NAMES: Final = {"chat_completions": "POST /v1/chat/completions"}
# X-Ray turns attributes into metadata, which cannot be searched for, unless they are named here.
_ANNOTATIONS: Final = ("tenant.id", "llmplatform.request_id", "llmplatform.model_id", "llmplatform.outcome")

Attributes = dict[str, AttributeValue | None]


def spans_of(record: InvocationRecord, resource: Resource) -> list[ReadableSpan]:
    """The server span of a request, then the client span of each attempt."""
    trace = record.trace
    arrived_ns = _ns(record.received_at)
    server = finished_span(
        _SERVER_SPAN_NAMES.get(record.surface, record.surface),
        trace_id=trace.trace_id,
        span_id=trace.span_id,
        parent_span_id=trace.parent_span_id,
        parent_is_remote=True,
        kind=SpanKind.SERVER,
        start_ns=arrived_ns,
        end_ns=arrived_ns + int(record.total_latency_ms * _NS_PER_MS),
        attributes=_known(_server_attributes(record)),
        failed=record.failed,
        resource=resource,
    )
    return [
        server,
        *(
            finished_span(
                f"chat {attempt.model_id}",
                trace_id=trace.trace_id,
                span_id=attempt_span_id(record.request_id, number),
                parent_span_id=trace.span_id,
                parent_is_remote=False,
                kind=SpanKind.CLIENT,
                start_ns=arrived_ns + int(attempt.started_ms * _NS_PER_MS),
                end_ns=arrived_ns + int((attempt.started_ms + attempt.duration_ms) * _NS_PER_MS),
                attributes=_known(_attempt_attributes(record, attempt)),
                failed=attempt.outcome is Outcome.BACKEND_FAILED,
                resource=resource,
            )
            for number, attempt in enumerate(record.attempts)
        ),
    ]


class SpanSink(BatchingSink[InvocationRecord, InvocationRecord]):
    """Takes the records of kept traces; building and sending their spans is the thread's work."""

    def __init__(
        self,
        exporter: OTLPSpanExporter,
        resource: Resource,
        *,
        limits: Limits = SPAN_LIMITS,
        name: str = "spans",
    ) -> None:
        super().__init__(name, limits)
        self._exporter = exporter
        self._resource = resource
        self._thread: DaemonThread | None = None

    def _encode(self, item: InvocationRecord) -> tuple[InvocationRecord, int]:
        return item, 1

    async def _open(self) -> None:
        self._thread = DaemonThread("span-exporter")

    async def _close(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # it ships none
        if self._thread is not None:
            self._thread.stop()

    async def _deliver(self, batch: Sequence[InvocationRecord]) -> Receipt[InvocationRecord]:
        if self._thread is None:
            raise TelemetryFault("the span sink is not started")
        return await self._thread.run(lambda: self._export(batch))

    def _export(self, batch: Sequence[InvocationRecord]) -> Receipt[InvocationRecord]:
        spans: list[ReadableSpan] = []
        refused = 0
        for record in batch:
            try:
                spans += spans_of(record, self._resource)
            except Exception:  # noqa: BLE001  # one record that makes no spans does not cost the others theirs
                refused += 1
        if spans and self._exporter.export(spans) is not SpanExportResult.SUCCESS:
            raise TelemetryFault("the collector did not take the spans")
        return Receipt(refused=refused)


def _server_attributes(record: InvocationRecord) -> Attributes:
    model_id, endpoint_type, endpoint_name = record.served_by
    return {
        "tenant.id": record.tenant_id,
        "http.response.status_code": record.http_status,
        "error.type": record.error_code,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(endpoint_type),
        "gen_ai.request.model": record.requested_model_id,
        "gen_ai.request.stream": record.stream,
        "gen_ai.response.model": record.model_id,
        "gen_ai.response.finish_reasons": (
            None if record.finish_reason is None else (safe_label(record.finish_reason),)
        ),
        "gen_ai.response.time_to_first_chunk": (
            record.time_to_first_token_ms / 1_000
            if record.stream and record.time_to_first_token_ms is not None
            else None
        ),
        **_usage_attributes(record.usage),
        "llmplatform.request_id": record.request_id,
        "llmplatform.model_id": model_id,
        "llmplatform.endpoint_name": endpoint_name,
        "llmplatform.outcome": record.outcome.value,
        "llmplatform.origin": record.origin,
        "llmplatform.surface": record.surface,
        "llmplatform.route_reason": record.route_reason,
        "llmplatform.trace_kept": record.trace_kept,
        "llmplatform.usage_source": record.usage_source.value,
        "llmplatform.gateway_overhead_ms": record.gateway_overhead_ms,
        "llmplatform.first_token_delivered_ms": record.first_token_delivered_ms,
        "llmplatform.prompt_sha256": record.prompt_sha256,
        "llmplatform.sampled": record.sampled,
        "aws.xray.annotations": _ANNOTATIONS,
    }


def _attempt_attributes(record: InvocationRecord, attempt: Attempt) -> Attributes:
    error_type = attempt.error_type or attempt.error_code
    first_chunk_ms = None if attempt.first_event_ms is None else attempt.first_event_ms - attempt.started_ms
    return {
        "tenant.id": record.tenant_id,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(attempt.endpoint_type, attempt.endpoint_type),
        "gen_ai.request.model": attempt.backend_model_id,
        "gen_ai.request.stream": record.stream,
        "gen_ai.response.model": attempt.backend_model_id,
        "gen_ai.response.time_to_first_chunk": (
            first_chunk_ms / 1_000 if record.stream and first_chunk_ms is not None else None
        ),
        **_usage_attributes(attempt.usage),
        "error.type": None if error_type is None else safe_label(error_type),
        "aws.request_id": (
            None if attempt.upstream_request_id is None else safe_label(attempt.upstream_request_id)
        ),
        "llmplatform.request_id": record.request_id,
        "llmplatform.model_id": attempt.model_id,
        "llmplatform.endpoint_name": attempt.endpoint_name,
        "llmplatform.attempt.reason": attempt.reason,
        "llmplatform.outcome": attempt.outcome.value,
        "llmplatform.error_code": attempt.error_code,
        "llmplatform.usage_source": attempt.usage_source.value,
        "llmplatform.upstream_latency_ms": attempt.upstream_latency_ms,
        "llmplatform.service_tier": None
        if attempt.service_tier is None
        else safe_label(attempt.service_tier),
    }


def _usage_attributes(usage: TokenUsage) -> Attributes:
    return {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
        "gen_ai.usage.cache_write.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }


def _known(attributes: Attributes) -> dict[str, AttributeValue]:
    return {name: value for name, value in attributes.items() if value is not None}


def _ns(moment: datetime) -> int:
    """Nanoseconds since the epoch, exactly: a float of seconds is off by hundreds of them."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000
