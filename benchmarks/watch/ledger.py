"""The rows of a million requests and their scores, made when they are asked for.

Rows are what the ledger's and the evaluation's own code encodes, for some kinds of requests; of one that is
asked for only ids, times and tenant are put in, as bytes.
"""

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import orjson
from world import JUDGE, SAMPLED_EVERY, TENANTS, Place, Requests, catalogue, models_of

from llmplatform import ids
from llmplatform.aws.tables import LEDGER_SHARDS
from llmplatform.evaluations import (
    JUDGE_DIMENSIONS,
    EvalContent,
    EvalResult,
    Judge,
    encode_result,
    moment_text,
)
from llmplatform.invocation import Attempt, InvocationRecord, Outcome
from llmplatform.ledger import encode_item, partition_key
from llmplatform.tracecontext import TraceContext
from llmplatform.usage import NO_USAGE, TokenUsage, UsageSource

KINDS: Final = 64
_RECEIVED: Final = datetime(2101, 1, 1, 1, 1, 1, 111_111, UTC)
_COMPLETED: Final = datetime(2102, 2, 2, 2, 2, 2, 222_222, UTC)
_ID: Final = "11111111-1111-7111-8111-111111111111"
_TRACE: Final = "22222222222242228222222222222222"


@dataclass(frozen=True, slots=True)
class Kind:
    """What requests of a kind have in common."""

    record: InvocationRecord
    row: bytes
    result: bytes


class LedgerRows:
    """Rows by place, as JSON."""

    def __init__(self, requests: Requests) -> None:
        self.requests = requests
        self._scored: dict[tuple[int, int], list[dict[str, Any]]] = {}

    def kind(self, place: Place) -> Kind:
        """What a request is like: of a tenant's models, one in 16 with a fallback, one in 64 failed."""
        tenant = TENANTS[place.tenant]
        model = models_of(tenant)[place.number % len(models_of(tenant))]
        return _kind(
            tenant, model, (place.number * LEDGER_SHARDS + place.shard) % KINDS, sampled=place.sampled
        )

    def completed_at(self, place: Place) -> datetime:
        """When a request was over."""
        latency = timedelta(milliseconds=self.kind(place).record.total_latency_ms)
        return _moment(self.requests.arrival_ms(place)) + latency

    def row(self, place: Place) -> bytes:
        """The ledger's row."""
        request_id, completed_at = self.requests.request_id(place), self.completed_at(place)
        received_at = _moment(self.requests.arrival_ms(place))
        return (
            self.kind(place)
            .row.replace(
                partition_key(TENANTS[place.tenant], _COMPLETED, _ID).encode(),
                partition_key(TENANTS[place.tenant], completed_at, request_id).encode(),
            )
            .replace(_ID.encode(), request_id.encode())
            .replace(ids.as_uuid(_TRACE).encode(), ids.as_uuid(place.trace_id).encode())
            .replace(_RECEIVED.isoformat().encode(), received_at.isoformat().encode())
            .replace(_COMPLETED.isoformat().encode(), completed_at.isoformat().encode())
        )

    def result(self, place: Place) -> bytes:
        """The row of its scores."""
        request_id, completed_at = self.requests.request_id(place), self.completed_at(place)
        judged_at = completed_at + timedelta(seconds=30)
        return (
            self.kind(place)
            .result.replace(_ID.encode(), request_id.encode())
            .replace(ids.as_uuid(_TRACE).encode(), ids.as_uuid(place.trace_id).encode())
            .replace(moment_text(_RECEIVED).encode(), moment_text(judged_at).encode())
            .replace(moment_text(_COMPLETED).encode(), moment_text(completed_at).encode())
        )

    def scored(self, tenant: int, hour: int) -> list[dict[str, Any]]:
        """The rows of an hour's scores, the newest first, those that are not there yet included."""
        known = self._scored.get((tenant, hour))
        if known is None:
            places = (
                Place(tenant, hour, shard, number)
                for number in range(0, self.requests.count(tenant, hour), SAMPLED_EVERY)
                for shard in range(LEDGER_SHARDS)
            )
            rows = [orjson.loads(self.result(place)) for place in places]
            known = sorted(rows, key=lambda row: row["result_key"]["S"], reverse=True)
            self._scored[tenant, hour] = known
        return known

    def spans(self, place: Place) -> list[dict[str, Any]]:
        """The segment documents of its trace: the request, counting and each attempt."""
        record, start_s = self.kind(place).record, self.requests.arrival_ms(place) / 1_000
        trace_id = ids.as_xray(place.trace_id)
        root = f"{place.number:015x}0"[-16:]
        spans = [(root, None, "chat", 0.0, record.total_latency_ms)]
        spans += [
            (f"{place.number:014x}{at:02x}"[-16:], root, one.model_id, one.started_ms, one.duration_ms)
            for at, one in enumerate(record.attempts, 1)
        ]
        return [
            {
                "id": id_,
                "trace_id": trace_id,
                **({"parent_id": parent} if parent else {}),
                "name": name,
                "start_time": start_s + start_ms / 1_000,
                "end_time": start_s + (start_ms + lasted_ms) / 1_000,
                "annotations": {"tenant_id": TENANTS[place.tenant]},
            }
            for id_, parent, name, start_ms, lasted_ms in spans
        ]


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)


@cache
def _kind(tenant: str, model: str, kind: int, *, sampled: bool) -> Kind:
    chance = random.Random(f"{tenant} {model} {kind}")
    record = replace(_record(tenant, model, kind, chance), sampled=sampled)
    return Kind(
        record, orjson.dumps(encode_item(record)), orjson.dumps(encode_result(_result(record, chance)))
    )


def _record(tenant: str, model: str, kind: int, chance: random.Random) -> InvocationRecord:
    failed, fell_back = kind == 1, kind % 16 == 2  # noqa: PLR2004
    latency_ms = chance.uniform(800, 9_000)
    attempts = [
        _attempt(model, "requested", 1.2, latency_ms / (2 if fell_back else 1), failed=failed or fell_back)
    ]
    if fell_back:
        other = models_of(tenant)[0 if models_of(tenant)[0] != model else 1]
        attempts.append(_attempt(other, "fallback", latency_ms / 2, latency_ms / 2, failed=False))
    answered = None if failed else attempts[-1]
    return InvocationRecord(
        request_id=_ID,
        trace=TraceContext(_TRACE, f"{chance.getrandbits(64):016x}", None, "minted"),
        tenant_id=tenant,
        origin="client",
        surface="chat_completions",
        outcome=Outcome.BACKEND_FAILED if failed else Outcome.COMPLETED,
        http_status=502 if failed else 200,
        error_code="backend_failed" if failed else None,
        received_at=_RECEIVED,
        completed_at=_COMPLETED,
        total_latency_ms=latency_ms,
        stream=chance.random() < 0.7,  # noqa: PLR2004
        requested_model_id=model,
        model_id=answered.model_id if answered else None,
        backend_model_id=answered.backend_model_id if answered else None,
        endpoint_type=answered.endpoint_type if answered else None,
        endpoint_name=answered.endpoint_name if answered else None,
        route_reason=answered.reason if answered else None,
        attempts=tuple(attempts),
        usage=answered.usage if answered else NO_USAGE,
        usage_source=answered.usage_source if answered else UsageSource.UNKNOWN,
        counted_prompt_tokens=chance.randrange(50, 4_000),
        time_to_first_token_ms=latency_ms / 4 if answered else None,
        first_token_delivered_ms=latency_ms / 4 + 0.4 if answered else None,
        gateway_overhead_ms=chance.uniform(0.5, 3),
        finish_reason="end_turn" if answered else None,
        prompt_sha256=f"{chance.getrandbits(256):064x}",
        sampled_rate=0.05,
        sample_reason="rate",
        trace_kept="head" if kind % 8 == 0 else None,
    )


def _attempt(model_id: str, reason: str, started_ms: float, lasted_ms: float, *, failed: bool) -> Attempt:
    model = catalogue().models[model_id]
    return Attempt(
        endpoint_type=model.endpoint_type,
        model_id=model_id,
        backend_model_id=model.backend_model_id,
        endpoint_name=model.endpoint_name,
        price_key=model.price_key,
        outcome=Outcome.BACKEND_FAILED if failed else Outcome.COMPLETED,
        reason=reason,
        started_ms=started_ms,
        duration_ms=lasted_ms,
        first_event_ms=None if failed else lasted_ms / 2,
        usage=NO_USAGE
        if failed
        else TokenUsage(input_tokens=1_200, output_tokens=340, cache_read_tokens=800),
        usage_source=UsageSource.UNKNOWN if failed else UsageSource.REPORTED,
        error_code="backend_throttled" if failed else None,
        upstream_request_id="0b1c2d3e-0000-4000-8000-000000000000",
        upstream_latency_ms=round(lasted_ms),
        service_tier="default",
    )


def _result(record: InvocationRecord, chance: random.Random) -> EvalResult:
    reasons = dict.fromkeys(JUDGE_DIMENSIONS, "It answers what was asked, in order, and adds nothing to it.")
    return EvalResult(
        tenant_id=record.tenant_id,
        request_id=_ID,
        trace_id=ids.as_uuid(_TRACE),
        event_at=_COMPLETED,
        judged_at=_RECEIVED,
        model_id=record.model_id or record.requested_model_id or "",
        endpoint_type=record.endpoint_type or "bedrock",
        sample_rate=0.05,
        sample_reason="rate",
        judge=Judge(JUDGE, "us.anthropic.claude-haiku-4-5-20251001-v1:0", "answers", "3"),
        scores={name: chance.choice((2, 3, 4, 4, 5, 5)) for name in JUDGE_DIMENSIONS},
        content_truncated=False,
        judge_usage=TokenUsage(input_tokens=1_500, output_tokens=160),
        judge_latency_ms=900.0,
        content=EvalContent(
            prompt="What is it? " * 60, completion="This is what it is. " * 40, reasons=reasons
        ),
    )
