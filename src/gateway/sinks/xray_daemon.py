"""Sends kept traces to an X-Ray daemon over UDP, where there is no OTLP collector.

Segment documents are those of `aws-xray-sdk` (in maintenance). UDP acknowledges nothing: delivered is what
the kernel took.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from aws_xray_sdk.core import xray_recorder
from aws_xray_sdk.core.emitters.udp_emitter import (
    PROTOCOL_DELIMITER,
    PROTOCOL_HEADER,
    UDPEmitter,
)
from aws_xray_sdk.core.models.segment import Segment
from aws_xray_sdk.core.models.subsegment import Subsegment

from gateway.sinks.spans import SPAN_LIMITS
from llmplatform import ids
from llmplatform.errors import TelemetryFault
from llmplatform.invocation import Attempt, InvocationRecord, Outcome
from llmplatform.process.batching import BatchingSink, Limits, Receipt
from llmplatform.process.thread import DaemonThread
from llmplatform.redaction import safe_label
from llmplatform.tracecontext import attempt_span_id

# The SDK opens a socket for a recorder of its own as it is imported; ours is in the sink.
xray_recorder.emitter._socket.close()  # noqa: SLF001

SEGMENT_NAME: Final = "llm-platform-gateway"
MAX_DATAGRAM_BYTES: Final = 64_000

_THROTTLED: Final = 429
_CLIENT_ERRORS: Final = range(400, 500)


def segment_of(record: InvocationRecord) -> Any:
    """The segment of a request, with a subsegment for each attempt: an object of the X-Ray SDK."""
    arrived_s = _epoch_s(record.received_at)
    trace, status = record.trace, record.http_status
    segment = Segment(
        SEGMENT_NAME,
        entityid=trace.span_id,
        traceid=ids.as_xray(trace.trace_id),
        parent_id=trace.parent_span_id,
    )
    segment.start_time = arrived_s
    model_id, endpoint_type, _ = record.served_by
    annotations = {
        "tenant_id": record.tenant_id,
        "request_id": record.request_id,
        "model_id": model_id,
        "endpoint_type": endpoint_type,
        "outcome": record.outcome.value,
        "error_code": record.error_code,
        "trace_kept": record.trace_kept,
    }
    for key, value in annotations.items():
        if value is not None:
            segment.put_annotation(key, value)
    if status is not None:
        segment.put_http_meta("status", status)
    segment.fault = record.failed
    segment.error = status in _CLIENT_ERRORS
    segment.throttle = status == _THROTTLED
    segment.put_metadata(
        "invocation",
        {
            "usage": record.usage.known(),
            "usage_source": record.usage_source.value,
            "time_to_first_token_ms": record.time_to_first_token_ms,
            "gateway_overhead_ms": record.gateway_overhead_ms,
            "prompt_sha256": record.prompt_sha256,
        },
        "llmplatform",
    )
    for number, attempt in enumerate(record.attempts):
        _add_attempt(segment, attempt, attempt_span_id(record.request_id, number), arrived_s)
    segment.close(arrived_s + record.total_latency_ms / 1_000)
    return segment


class XrayDaemonSink(BatchingSink[InvocationRecord, InvocationRecord]):
    """Takes the records of kept traces; `address` is that of `AWS_XRAY_DAEMON_ADDRESS`, `host:port`."""

    def __init__(self, address: str, *, limits: Limits = SPAN_LIMITS, name: str = "spans") -> None:
        super().__init__(name, limits)
        self._address = address
        self._emitter: Any = None
        self._thread: DaemonThread | None = None

    def _encode(self, item: InvocationRecord) -> tuple[InvocationRecord, int]:
        return item, 1

    async def _open(self) -> None:
        self._emitter = UDPEmitter(self._address)
        self._thread = DaemonThread("xray-emitter")

    async def _close(self) -> None:
        if self._thread is not None:
            self._thread.stop()
        self._emitter._socket.close()  # noqa: SLF001  # the emitter has no close of its own

    async def _deliver(self, batch: Sequence[InvocationRecord]) -> Receipt[InvocationRecord]:
        if self._thread is None:
            raise TelemetryFault("the X-Ray sink is not started")
        return await self._thread.run(lambda: self._send(batch))

    def _send(self, batch: Sequence[InvocationRecord]) -> Receipt[InvocationRecord]:
        refused = 0
        for at, record in enumerate(batch):
            try:
                message = f"{PROTOCOL_HEADER}{PROTOCOL_DELIMITER}{segment_of(record).serialize()}"
            except Exception:  # noqa: BLE001  # one record that makes no segment does not cost the others theirs
                message = ""
            if not 0 < len(message) <= MAX_DATAGRAM_BYTES:
                refused += 1
                continue
            try:
                # `send_entity` would log a failure and hide it, and what is lost must be counted.
                self._emitter._send_data(message)  # noqa: SLF001
            except OSError:
                return Receipt(retry=batch[at:], refused=refused)
        return Receipt(refused=refused)


def _add_attempt(segment: Any, attempt: Attempt, span_id: str, arrived_s: float) -> None:
    name = "Bedrock" if attempt.endpoint_type == "bedrock" else "SageMaker"
    subsegment = Subsegment(name, "aws", segment)
    subsegment.id = span_id
    segment.add_subsegment(subsegment)
    subsegment.start_time = arrived_s + attempt.started_ms / 1_000
    subsegment.put_annotation("model_id", attempt.model_id)
    subsegment.put_annotation("outcome", attempt.outcome.value)
    if attempt.error_type is not None:
        subsegment.put_annotation("error_type", safe_label(attempt.error_type))
    subsegment.put_metadata("usage", attempt.usage.known(), "llmplatform")
    subsegment.fault = attempt.outcome is Outcome.BACKEND_FAILED
    subsegment.close(subsegment.start_time + attempt.duration_ms / 1_000)


def _epoch_s(moment: datetime) -> float:
    return moment.timestamp()
