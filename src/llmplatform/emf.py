"""CloudWatch Embedded Metric Format: one JSON line that is a log line and its metrics at once.

`encode_invocation` writes the one line of a request, `encode_figures` a line of any other metrics. Metric
values stand at the JSON root beside the properties; the `_aws` member says which of them are metrics. Pure.
Source: CloudWatch user guide, "Embedded metric format specification".
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

import orjson

from llmplatform import ids
from llmplatform.invocation import InvocationRecord, Outcome
from llmplatform.metrics import GATEWAY, HIGH, INFERENCE_METRICS, METRICS, Metric
from llmplatform.redaction import safe_label
from llmplatform.usage import UsageSource

# The limits of the format. What is over them vanishes without a word, so a line over one is not written.
MAX_METRICS_PER_DIRECTIVE: Final = 100
MAX_DIMENSIONS_PER_SET: Final = 30
MAX_VALUES_PER_METRIC: Final = 100
MAX_EVENT_BYTES: Final = 1_000_000
RESOLUTIONS_S: Final = (1, 60)

MetricValue = int | float

_REPORTED: Final = (UsageSource.REPORTED, UsageSource.DRAINED)
_BITS: Final = tuple((1 << at, metric.name) for at, metric in enumerate(INFERENCE_METRICS))


def directives(metrics: Iterable[Metric], dimensions: Iterable[str]) -> list[dict[str, object]]:
    """The `CloudWatchMetrics` member for metrics on a line that has these dimensions.

    A dimension set is used where the line has all of it. Metrics that have the same sets share a directive.
    """
    present = frozenset(dimensions)
    groups: dict[tuple[str, tuple[tuple[str, ...], ...]], list[Metric]] = {}
    for metric in metrics:
        sets = tuple(names for names in metric.dimension_sets if present.issuperset(names))
        if sets:
            groups.setdefault((metric.namespace, sets), []).append(metric)
    return [
        {
            "Namespace": namespace,
            "Dimensions": sets,
            "Metrics": [_definition(metric) for metric in carried[at : at + MAX_METRICS_PER_DIRECTIVE]],
        }
        for (namespace, sets), carried in groups.items()
        for at in range(0, len(carried), MAX_METRICS_PER_DIRECTIVE)
    ]


def _definition(metric: Metric) -> dict[str, object]:
    definition: dict[str, object] = {"Name": metric.name, "Unit": metric.unit}
    if metric.resolution_s == HIGH:
        definition["StorageResolution"] = HIGH
    return definition


def encode_invocation(record: InvocationRecord) -> bytes:
    """The one log line of a request, without a newline.

    A value that is unknown is absent. Names that a client may have invented are `_unknown`; what a backend
    named is there if it looks like a label.
    """
    usage, trace = record.usage, record.trace
    model_id, endpoint_type, endpoint_name = record.served_by
    fields: dict[str, object] = {
        "component": GATEWAY,
        "tenant_id": record.tenant_id,
        "model_id": model_id,
        "endpoint_type": endpoint_type,
        "endpoint_name": endpoint_name,
        "outcome": record.outcome,
        "trace_id": ids.as_uuid(trace.trace_id),
        "span_id": trace.span_id,
        "trace_origin": trace.origin,
        "trace_kept": record.trace_kept,
        "request_id": record.request_id,
        "origin": record.origin,
        "surface": record.surface,
        "stream": record.stream,
        "http_status": record.http_status,
        "error_code": record.error_code,
        "requested_model_id": record.requested_model_id,
        "backend_model_id": record.backend_model_id,
        "route_reason": record.route_reason,
        "attempts": len(record.attempts),
        "usage_source": record.usage_source,
        "reasoning_token_count": usage.reasoning_tokens,
        "counted_prompt_tokens": record.counted_prompt_tokens,
        "counted_prompt_exact": record.counted_prompt_exact,
        "first_token_delivered_ms": _rounded(record.first_token_delivered_ms),
        "elapsed_ms": _rounded(record.total_latency_ms),
        "output_chunks": record.output_chunks,
        "finish_reason": record.finish_reason and safe_label(record.finish_reason),
        "prompt_sha256": record.prompt_sha256,
        "sampled": record.sampled,
        "sample_rate": record.sampled_rate,
        "sample_reason": record.sample_reason,
        "received_at": record.received_at,
        "completed_at": record.completed_at,
    }
    if record.attempts and (error_type := record.attempts[-1].error_type) is not None:
        fields["error_type"] = safe_label(error_type)
    known = {name: value for name, value in fields.items() if value is not None}
    mask = 0
    for (bit, name), metric in zip(_BITS, _metric_values(record), strict=True):
        if metric is not None:
            known[name] = metric
            mask |= bit
    body = orjson.dumps(known, option=_OPTIONS)
    directive = _invocation_directive(mask, endpoint_name is not None)
    return _line(directive, record.completed_at, body)


def encode_figures(
    at: datetime,
    namespace: str,
    dimensions: Mapping[str, str],
    values: Mapping[str, MetricValue | Sequence[MetricValue] | None],
) -> bytes:
    """A line of metrics of one namespace by name; a value may be several readings; None is left out.

    Raises KeyError for a metric that the table does not have, ValueError for more readings than a line holds.
    """
    known = {name: value for name, value in values.items() if value is not None}
    for value in known.values():
        if isinstance(value, Sequence) and len(value) > MAX_VALUES_PER_METRIC:
            raise ValueError(f"at most {MAX_VALUES_PER_METRIC} readings of a metric go on a line")
    metrics = [METRICS[namespace, name] for name in known]
    return _line(orjson.dumps(directives(metrics, dimensions)), at, orjson.dumps({**dimensions, **known}))


_OPTIONS: Final = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


def _metric_values(record: InvocationRecord) -> tuple[MetricValue | None, ...]:
    """Values in the order of `INFERENCE_METRICS`."""
    usage, slow = record.usage, record.ttft_slow
    completed = record.outcome is Outcome.COMPLETED
    return (
        1,
        1 if record.failed else 0,
        None if record.trace_propagated is None else int(record.trace_propagated),
        round(record.total_latency_ms, 3) if completed else None,
        _rounded(record.time_to_first_token_ms),
        None if slow is None else int(slow),
        usage.prompt_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        _rounded(record.output_tokens_per_second),
        _rounded(record.gateway_overhead_ms),
        _count_difference_percent(record),
        record.skipped_events or None,
    )


def _count_difference_percent(record: InvocationRecord) -> float | None:
    ours, theirs = record.counted_prompt_tokens, record.usage.prompt_tokens
    if theirs is None or ours is None or not record.counted_prompt_exact:
        return None
    if record.usage_source not in _REPORTED:
        return None
    # A backend that says nothing was asked of it is off by all of our count.
    return round((ours - theirs) * 100 / max(theirs, 1), 3)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


@lru_cache(maxsize=1024)
def _invocation_directive(mask: int, has_endpoint_name: bool) -> bytes:  # noqa: FBT001  # a cache key
    """The encoded directive for the metrics whose bits are set: few combinations ever occur."""
    dimensions = ["component", "tenant_id", "model_id", "endpoint_type", "outcome"]
    if has_endpoint_name:
        dimensions.append("endpoint_name")
    return orjson.dumps(
        directives((metric for at, metric in enumerate(INFERENCE_METRICS) if mask >> at & 1), dimensions)
    )


def _line(directive: bytes, at: datetime, body: bytes) -> bytes:
    """Join the `_aws` member and an encoded, non-empty object."""
    timestamp_ms = int(at.timestamp() * 1_000)
    return b'{"_aws":{"Timestamp":%d,"CloudWatchMetrics":%b},%b' % (timestamp_ms, directive, body[1:])
