"""The request ledger's row: key, encoding and decoding, for every process that writes or reads it.

One row per request, the truth for money and for "find this trace". Its key is `tenant_id#hour#shard` and
the request id, hour being UTC of completion: a repeated write lands on the same row. No content: of a
prompt there is its SHA-256. Pure; the table itself is defined in `llmplatform.aws.tables`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, cast
from zlib import crc32

from llmplatform import ids
from llmplatform.aws.tables import LEDGER_SHARDS, REQUEST_LEDGER
from llmplatform.errors import TelemetryFault
from llmplatform.invocation import Attempt, InvocationRecord, Origin, Outcome
from llmplatform.redaction import safe_label
from llmplatform.usage import NO_USAGE, TokenUsage, UsageSource

SCHEMA_VERSION: Final = 1

Item = dict[str, dict[str, Any]]
"""An item in DynamoDB's JSON: attribute name to `{type: value}`."""

_KEY: Final = REQUEST_LEDGER.partition_key.name
_TTL: Final = REQUEST_LEDGER.ttl_attribute
_RETENTION_S: Final = REQUEST_LEDGER.retention_days * 86_400


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One request as the ledger has it. None is unknown."""

    schema_version: int
    request_id: str
    trace_id: str
    """32 hex digits."""
    tenant_id: str
    origin: Origin
    surface: str
    outcome: Outcome
    received_at: datetime
    completed_at: datetime
    expires_at: datetime
    total_latency_ms: float
    stream: bool
    attempts: tuple[Attempt, ...]
    usage: TokenUsage
    usage_source: UsageSource
    http_status: int | None = None
    error_code: str | None = None
    requested_model_id: str | None = None
    model_id: str | None = None
    backend_model_id: str | None = None
    endpoint_type: str | None = None
    endpoint_name: str | None = None
    route_reason: str | None = None
    counted_prompt_tokens: int | None = None
    time_to_first_token_ms: float | None = None
    first_token_delivered_ms: float | None = None
    gateway_overhead_ms: float | None = None
    finish_reason: str | None = None
    prompt_sha256: str | None = None
    sampled_rate: float | None = None
    sampled: bool = False
    sample_reason: str | None = None
    trace_kept: str | None = None


def hour_of(moment: datetime) -> str:
    """The UTC hour of a moment as keys have it: `2026-11-23T20`."""
    return _hour_text(int(moment.timestamp()) // 3_600)


@lru_cache(maxsize=64)
def _hour_text(hours_since_epoch: int) -> str:
    return datetime.fromtimestamp(hours_since_epoch * 3_600, UTC).isoformat()[:13]


def shard_of(request_id: str) -> int:
    """Which of its hour's partitions a request is in."""
    return crc32(request_id.encode()) % LEDGER_SHARDS


def partition_key(tenant_id: str, completed_at: datetime, request_id: str) -> str:
    """Partition key of one request's row."""
    return f"{tenant_id}#{hour_of(completed_at)}#{shard_of(request_id)}"


def partition_keys(tenant_id: str, hour: datetime) -> tuple[str, ...]:
    """All partitions of a tenant's hour: who reads an hour reads all of them."""
    return tuple(f"{tenant_id}#{hour_of(hour)}#{shard}" for shard in range(LEDGER_SHARDS))


def trace_key(trace_id: str) -> str:
    """The value by which the trace index is asked: a trace id of 32 digits in the form of `x-trace-id`."""
    return ids.as_uuid(trace_id)


def encode_item(record: InvocationRecord) -> Item:
    """The row of a finished request, in DynamoDB's JSON; what is unknown is absent."""
    request_id = record.request_id
    item: Item = {
        _KEY: {"S": partition_key(record.tenant_id, record.completed_at, request_id)},
        "request_id": {"S": request_id},
        "trace_id": {"S": trace_key(record.trace.trace_id)},
        _TTL: {"N": str(int(record.completed_at.timestamp()) + _RETENTION_S)},
        "schema_version": {"N": str(SCHEMA_VERSION)},
        "tenant_id": {"S": record.tenant_id},
        "origin": {"S": record.origin},
        "surface": {"S": record.surface},
        "outcome": {"S": record.outcome.value},
        "received_at": {"S": record.received_at.isoformat()},
        "completed_at": {"S": record.completed_at.isoformat()},
        "total_latency_ms": {"N": f"{record.total_latency_ms:.3f}"},
        "stream": {"BOOL": record.stream},
        "usage": {"M": _usage_item(record.usage)},
        "usage_source": {"S": record.usage_source.value},
        "attempts": {"L": [{"M": _attempt_item(attempt)} for attempt in record.attempts]},
        "sampled": {"BOOL": record.sampled},
        "sampled_rate": {"N": f"{record.sampled_rate:.6f}"},
    }
    for name, text in zip(_OPTIONAL_TEXT, _texts_of(record), strict=True):
        if text is not None:
            item[name] = {"S": text}
    for name, count in zip(_OPTIONAL_COUNTS, _counts_of(record), strict=True):
        if count is not None:
            item[name] = {"N": str(count)}
    for name, ms in zip(_OPTIONAL_TIMES, _times_of(record), strict=True):
        if ms is not None:
            item[name] = {"N": f"{ms:.3f}"}
    if record.finish_reason is not None:
        item["finish_reason"] = {"S": safe_label(record.finish_reason)}
    return item


def decode_item(item: Mapping[str, Mapping[str, Any]]) -> LedgerRow:
    """The row that an item holds; attributes of a newer schema are ignored.

    Raises TelemetryFault when it is no ledger row, naming what is missing and quoting nothing.
    """
    try:
        row = {name: _plain(value) for name, value in item.items()}
        optional: dict[str, Any] = {
            name: row[name] for name in (*_OPTIONAL_TEXT, "finish_reason") if name in row
        }
        optional |= {name: int(row[name]) for name in _OPTIONAL_COUNTS if name in row}
        optional |= {name: float(row[name]) for name in _OPTIONAL_TIMES if name in row}
        return LedgerRow(
            schema_version=int(row["schema_version"]),
            request_id=row["request_id"],
            trace_id=row["trace_id"].replace("-", ""),
            tenant_id=row["tenant_id"],
            origin=cast("Origin", row["origin"]),
            surface=row["surface"],
            outcome=Outcome(row["outcome"]),
            received_at=datetime.fromisoformat(row["received_at"]),
            completed_at=datetime.fromisoformat(row["completed_at"]),
            expires_at=datetime.fromtimestamp(int(row[_TTL]), UTC),
            total_latency_ms=float(row["total_latency_ms"]),
            stream=row["stream"],
            attempts=tuple(_attempt(attempt) for attempt in row["attempts"]),
            usage=_usage(row["usage"]),
            usage_source=UsageSource(row["usage_source"]),
            sampled=row["sampled"],
            sampled_rate=float(row["sampled_rate"]),
            **optional,
        )
    except KeyError as error:
        raise TelemetryFault(f"not a ledger row: no {error.args[0]}") from None
    except (AttributeError, TypeError, ValueError):
        raise TelemetryFault("not a ledger row: an attribute of another type") from None


_OPTIONAL_TEXT: Final = (
    "error_code",
    "requested_model_id",
    "model_id",
    "backend_model_id",
    "endpoint_type",
    "endpoint_name",
    "route_reason",
    "prompt_sha256",
    "sample_reason",
    "trace_kept",
)
_OPTIONAL_COUNTS: Final = ("http_status", "counted_prompt_tokens")
_OPTIONAL_TIMES: Final = ("time_to_first_token_ms", "first_token_delivered_ms", "gateway_overhead_ms")

# One call in C for all of a kind.
_texts_of: Final = attrgetter(*_OPTIONAL_TEXT)
_counts_of: Final = attrgetter(*_OPTIONAL_COUNTS)
_times_of: Final = attrgetter(*_OPTIONAL_TIMES)

_ATTEMPT_TEXT: Final = ("endpoint_name", "error_code")
_ATTEMPT_LABELS: Final = ("error_type", "upstream_request_id", "service_tier")


def _usage_item(usage: TokenUsage) -> Item:
    if usage is NO_USAGE:
        return {}
    return {name: {"N": str(value)} for name, value in usage.known().items()}


def _attempt_item(attempt: Attempt) -> Item:
    item: Item = {
        "endpoint_type": {"S": attempt.endpoint_type},
        "model_id": {"S": attempt.model_id},
        "backend_model_id": {"S": attempt.backend_model_id},
        "price_key": {"S": attempt.price_key},
        "outcome": {"S": attempt.outcome.value},
        "reason": {"S": attempt.reason},
        "started_ms": {"N": f"{attempt.started_ms:.3f}"},
        "duration_ms": {"N": f"{attempt.duration_ms:.3f}"},
        "usage": {"M": _usage_item(attempt.usage)},
        "usage_source": {"S": attempt.usage_source.value},
    }
    if attempt.first_event_ms is not None:
        item["first_event_ms"] = {"N": f"{attempt.first_event_ms:.3f}"}
    if attempt.upstream_latency_ms is not None:
        item["upstream_latency_ms"] = {"N": str(attempt.upstream_latency_ms)}
    for name in _ATTEMPT_TEXT:
        if (text := getattr(attempt, name)) is not None:
            item[name] = {"S": text}
    for name in _ATTEMPT_LABELS:
        if (label := getattr(attempt, name)) is not None:
            item[name] = {"S": safe_label(label)}
    return item


def _attempt(row: Mapping[str, Any]) -> Attempt:
    return Attempt(
        endpoint_type=row["endpoint_type"],
        model_id=row["model_id"],
        backend_model_id=row["backend_model_id"],
        endpoint_name=row.get("endpoint_name"),
        price_key=row["price_key"],
        outcome=Outcome(row["outcome"]),
        reason=row["reason"],
        started_ms=float(row["started_ms"]),
        duration_ms=float(row["duration_ms"]),
        first_event_ms=float(row["first_event_ms"]) if "first_event_ms" in row else None,
        usage=_usage(row["usage"]),
        usage_source=UsageSource(row["usage_source"]),
        error_code=row.get("error_code"),
        error_type=row.get("error_type"),
        upstream_request_id=row.get("upstream_request_id"),
        upstream_latency_ms=int(row["upstream_latency_ms"]) if "upstream_latency_ms" in row else None,
        service_tier=row.get("service_tier"),
    )


def _usage(row: Mapping[str, str]) -> TokenUsage:
    known = TokenUsage.__slots__
    return TokenUsage(**{name: int(count) for name, count in row.items() if name in known})


def _plain(value: Mapping[str, Any]) -> Any:
    """A value without its DynamoDB type; numbers stay text, since a reader knows which kind it wants."""
    ((kind, content),) = value.items()
    if kind == "M":
        return {name: _plain(inner) for name, inner in content.items()}
    if kind == "L":
        return [_plain(inner) for inner in content]
    return content
