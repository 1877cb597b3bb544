"""Puts values into a series as its publisher would.

Ours go as lines of the product's encoder through the sandbox's intake, AWS's own by PutMetricData.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from llmplatform import metrics as ours
from llmplatform.emf import MAX_VALUES_PER_METRIC, encode_figures, encode_invocation
from llmplatform.invocation import Attempt, InvocationRecord, Outcome
from llmplatform.metrics import METRICS, Metric
from llmplatform.tracecontext import TraceContext
from llmplatform.usage import NO_USAGE, TokenUsage, UsageSource
from sandbox.emf_intake import EmfIntake
from watch.tables.readings import Series

_OBJECTIVE_MS: Final = 4_000
_TOKENS: Final = 101
_BROKEN: Final = {
    "EMFParsingErrors": b'{"_aws": {"Timestamp": 1, "CloudWatchMetrics": [',
    "EMFValidationErrors": (
        b'{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"","Dimensions":[[]],"Metrics":[]}]}}'
    ),
}
_PUT_AT_ONCE: Final = 500
_LINES_AT_ONCE: Final = 500


class AlarmFeed:
    """Gathers what comes in; `send` delivers it."""

    def __init__(self, intake: EmfIntake, cloudwatch: Any) -> None:
        self._intake = intake
        self._cloudwatch = cloudwatch
        self._sent_lines = 0
        self._native: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)

    async def put(self, series: Series, at: datetime, values: Sequence[float]) -> None:
        """Values of one moment."""
        metric = METRICS.get((series.namespace, series.name))
        if self._intake.lines - self._sent_lines > _LINES_AT_ONCE:
            await self._flush()
        if metric is None:
            self._put_native(series, at, values)
        elif metric.namespace == ours.INFERENCE and metric not in {ours.REQUEST_FAILED, ours.TTFT_SLOW}:
            for value in values:
                self._intake.accept_line(
                    encode_invocation(_request(metric, value, dict(series.dimensions), at))
                )
        else:
            for piece in _pieces(values):
                line = encode_figures(
                    at, series.namespace, dict(series.dimensions), {series.name: tuple(piece)}
                )
                self._intake.accept_line(line)

    async def send(self) -> None:
        """Deliver all of it; it can be read then."""
        await self._flush()
        for namespace, data in self._native.items():
            for at in range(0, len(data), _PUT_AT_ONCE):
                await self._cloudwatch.put_metric_data(
                    Namespace=namespace, MetricData=data[at : at + _PUT_AT_ONCE]
                )
        self._native.clear()

    async def _flush(self) -> None:
        """A put of many lines is larger than a client likes to send."""
        self._sent_lines = self._intake.lines
        await self._intake.flush()

    def _put_native(self, series: Series, at: datetime, values: Sequence[float]) -> None:
        if series.name in _BROKEN:
            for _ in values:
                self._intake.accept_line(_BROKEN[series.name])
            return
        if not values:
            return
        distinct = sorted(set(values))
        self._native[series.namespace].append(
            {
                "MetricName": series.name,
                "Dimensions": [{"Name": name, "Value": value} for name, value in series.dimensions],
                "Timestamp": at,
                "Values": distinct,
                "Counts": [float(list(values).count(value)) for value in distinct],
            }
        )


def _pieces(values: Sequence[float]) -> Iterable[Sequence[float]]:
    for at in range(0, len(values), MAX_VALUES_PER_METRIC):
        yield values[at : at + MAX_VALUES_PER_METRIC]


def _request(metric: Metric, value: float, dimensions: dict[str, str], at: datetime) -> InvocationRecord:
    """A finished request of which this metric has this value."""
    endpoint = dimensions.get("endpoint_name")
    record = InvocationRecord(
        request_id="01a20ba0-8fa8-7145-9f88-e62a42aad04e",
        trace=TraceContext("270503e1c46042a6954fe387a4508075", "954fe387a4508075", None, "minted"),
        tenant_id=dimensions.get("tenant_id", "somebody"),
        origin="client",
        surface="chat_completions",
        outcome=Outcome.COMPLETED,
        http_status=200,
        error_code=None,
        received_at=at,
        completed_at=at.astimezone(UTC),
        total_latency_ms=900.0,
        stream=True,
        model_id="small",
        endpoint_type="sagemaker" if endpoint else "bedrock",
        endpoint_name=endpoint,
    )
    if metric is ours.TIME_TO_FIRST_TOKEN:
        return replace(record, time_to_first_token_ms=value, ttft_objective_ms=_OBJECTIVE_MS)
    if metric is ours.TOTAL_LATENCY:
        return replace(record, total_latency_ms=value)
    if metric is ours.GATEWAY_OVERHEAD:
        return replace(record, gateway_overhead_ms=value)
    if metric is ours.OUTPUT_TOKENS_PER_SECOND:
        generating_ms = (_TOKENS - 1) * 1_000 / value
        return replace(
            record,
            usage=TokenUsage(output_tokens=_TOKENS),
            time_to_first_token_ms=100.0,
            total_latency_ms=100.0 + generating_ms,
        )
    if metric is ours.TRACE_PROPAGATED:
        return replace(record, attempts=(_attempt(trace_sent=bool(value)),))
    raise ValueError(f"no request is made for {metric.name}")


def _attempt(*, trace_sent: bool) -> Attempt:
    return Attempt(
        endpoint_type="bedrock",
        model_id="small",
        backend_model_id="sandbox.scripted-v1:0",
        endpoint_name=None,
        price_key="sandbox/scripted",
        outcome=Outcome.COMPLETED,
        reason="requested",
        started_ms=1.0,
        duration_ms=800.0,
        first_event_ms=100.0,
        usage=NO_USAGE,
        usage_source=UsageSource.UNKNOWN,
        trace_sent=trace_sent,
    )
