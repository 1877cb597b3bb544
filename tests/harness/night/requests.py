"""The requests of a day and a night, until a minute ago, as the gateway would have recorded them.

The last hour has one a minute, what was before ever fewer. What went wrong is among them: a request that was
retried and fell back (`Requests.complaint`), and an endpoint that has been slow for twenty minutes.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from harness.night.account import ACME, ENDPOINT, GLOBEX, HAIKU, INITECH, LLAMA, SONNET
from llmplatform import ids
from llmplatform.invocation import Attempt, InvocationRecord, Outcome
from llmplatform.tracecontext import TraceContext
from llmplatform.usage import NO_USAGE, TokenUsage, UsageSource

LONG: Final = timedelta(hours=24)
SLOW_FOR: Final = timedelta(minutes=20)
"""How long the endpoint has been slow."""
COMPLAINT: Final = "7d3c1a52-94e8-4f60-8b1d-2c5ae0f9b637"
"""The trace id that the tenant tells."""
COMPLAINT_SECONDS: Final = 14.2
_TRAFFIC: Final = ((ACME, HAIKU, 1), (ACME, LLAMA, 1), (GLOBEX, SONNET, 2), (INITECH, HAIKU, 3))
"""Who asks which model, every how many moments."""
_STEPS: Final = (
    (timedelta(hours=1), timedelta(minutes=1)),
    (timedelta(hours=3), timedelta(minutes=5)),
    (LONG, timedelta(minutes=15)),
)
"""How far back, and how often."""
_ATTEMPTS: Final[dict[str, dict[str, Any]]] = {
    HAIKU: {
        "endpoint_type": "bedrock",
        "backend_model_id": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "endpoint_name": None,
        "price_key": "anthropic.claude-haiku-4-5/geo",
    },
    SONNET: {
        "endpoint_type": "bedrock",
        "backend_model_id": "us.anthropic.claude-sonnet-4-6",
        "endpoint_name": None,
        "price_key": "anthropic.claude-sonnet-4-6/geo",
    },
    LLAMA: {
        "endpoint_type": "sagemaker",
        "backend_model_id": "llama-3-8b-support",
        "endpoint_name": ENDPOINT,
        "price_key": "sagemaker/llama-3-8b-support",
    },
}
_TTFT_MS: Final = {HAIKU: 420.0, SONNET: 690.0, LLAMA: 310.0}
_TOKENS_PER_SECOND: Final = {HAIKU: 92.0, SONNET: 61.0, LLAMA: 74.0}
_SLOW_TOKENS_PER_SECOND: Final = 21.0
_RATES: Final[dict[str, float]] = {ACME: 0.5, GLOBEX: 0.0, INITECH: 1.0}


@dataclass(frozen=True, slots=True)
class Requests:
    """All of them, rising by time."""

    all: tuple[InvocationRecord, ...]
    complaint: InvocationRecord


def requests_until(now: datetime) -> Requests:
    """What was until `now`, a whole minute."""
    made = Made()
    records = [
        made.request(at + timedelta(seconds=5 + 7 * number), tenant, model, slow=slow)
        for index, at in enumerate(moments_until(now))
        for number, (tenant, model, every) in enumerate(_TRAFFIC)
        if index % every == 0
        for slow in (model == LLAMA and now - at <= SLOW_FOR,)
    ]
    complaint = made.complaint(now - timedelta(minutes=9, seconds=13))
    return Requests(tuple(sorted([*records, complaint], key=lambda one: one.completed_at)), complaint)


def moments_until(now: datetime) -> Iterator[datetime]:
    """Whole minutes of the day and the night, one a minute in the last hour."""
    at = now - LONG
    while at < now:
        yield at
        at += next(step for back, step in _STEPS if now - at <= back)


class Made:
    """Makes requests, each another, the same ones in every run but for their times."""

    def __init__(self, seed: int = 7) -> None:
        self._random = random.Random(seed)
        self._number = 0

    def request(
        self, at: datetime, tenant: str, model: str, *, slow: bool = False, **fields: Any
    ) -> InvocationRecord:
        """A streamed request that was answered, completed at `at`, but for `fields`."""
        chance = self._random
        usage = TokenUsage(
            input_tokens=chance.randint(500, 1_600),
            output_tokens=chance.randint(90, 320),
            cache_read_tokens=chance.choice((0, 1_024)) if model != LLAMA else None,
        )
        ttft = chance.uniform(5_200, 7_400) if slow else _TTFT_MS[model] * chance.lognormvariate(0, 0.22)
        speed = _SLOW_TOKENS_PER_SECOND if slow else _TOKENS_PER_SECOND[model] * chance.uniform(0.9, 1.1)
        total = ttft + (usage.output_tokens or 0) * 1_000 / speed
        attempt = Attempt(
            **_ATTEMPTS[model],
            model_id=model,
            outcome=Outcome.COMPLETED,
            reason="requested",
            started_ms=1.4,
            duration_ms=total - 1.8,
            first_event_ms=ttft - 2,
            usage=usage,
            usage_source=UsageSource.REPORTED,
            upstream_latency_ms=int(total) - 12,
        )
        sampled = chance.random() < _RATES.get(tenant, 1.0)
        return self._record(
            at,
            total,
            **{
                "tenant_id": tenant,
                "requested_model_id": model,
                "model_id": model,
                "backend_model_id": attempt.backend_model_id,
                "endpoint_type": attempt.endpoint_type,
                "endpoint_name": attempt.endpoint_name,
                "attempts": (attempt,),
                "usage": usage,
                "time_to_first_token_ms": ttft,
                "first_token_delivered_ms": ttft + 0.4,
                "sampled": sampled,
                "sampled_rate": _RATES.get(tenant, 1.0),
                "sample_reason": "rate" if sampled else None,
                "trace_kept": "evaluated" if sampled else "slow" if slow else None,
                **fields,
            },
        )

    def complaint(self, at: datetime) -> InvocationRecord:
        """What the tenant complains of: two calls of the endpoint failed, another model answered."""
        total = COMPLAINT_SECONDS * 1_000
        usage = TokenUsage(input_tokens=1_840, output_tokens=212, cache_read_tokens=1_024)
        timed_out = Attempt(
            **_ATTEMPTS[LLAMA],
            model_id=LLAMA,
            outcome=Outcome.BACKEND_FAILED,
            reason="requested",
            started_ms=1.6,
            duration_ms=8_000.0,
            first_event_ms=None,
            usage=NO_USAGE,
            usage_source=UsageSource.UNKNOWN,
            error_code="backend_timeout",
            error_type="ReadTimeout",
        )
        failed = Attempt(
            **_ATTEMPTS[LLAMA],
            model_id=LLAMA,
            outcome=Outcome.BACKEND_FAILED,
            reason="retry",
            started_ms=8_110.0,
            duration_ms=2_450.0,
            first_event_ms=None,
            usage=NO_USAGE,
            usage_source=UsageSource.UNKNOWN,
            error_code="backend_failed",
            error_type="ModelError",
        )
        answered = Attempt(
            **_ATTEMPTS[HAIKU],
            model_id=HAIKU,
            outcome=Outcome.COMPLETED,
            reason="fallback",
            started_ms=10_562.0,
            duration_ms=total - 10_562.0 - 1,
            first_event_ms=10_990.0,
            usage=usage,
            usage_source=UsageSource.REPORTED,
            upstream_latency_ms=3_610,
            upstream_request_id="b1946ac9-2cd2-4f9a-9d55-0c7b3d1f5a11",
        )
        return self._record(
            at,
            total,
            trace=TraceContext(COMPLAINT.replace("-", ""), "954fe387a4508075", None, "minted"),
            tenant_id=ACME,
            requested_model_id=LLAMA,
            model_id=HAIKU,
            backend_model_id=answered.backend_model_id,
            endpoint_type="bedrock",
            attempts=(timed_out, failed, answered),
            route_reason="fallback",
            usage=usage,
            time_to_first_token_ms=11_002.0,
            first_token_delivered_ms=11_002.5,
            sampled=True,
            sampled_rate=_RATES[ACME],
            sample_reason="rate",
            trace_kept="slow",
        )

    def _record(self, at: datetime, total_ms: float, **fields: Any) -> InvocationRecord:
        self._number += 1
        received_at = at - timedelta(milliseconds=total_ms)
        number = self._number.to_bytes(4, "big") + self._random.randbytes(6)
        trace = TraceContext(
            ids.uuid4_hex(self._random.randbytes(16)), self._random.randbytes(8).hex(), None, "minted"
        )
        given: dict[str, Any] = {
            "request_id": ids.request_id(int(received_at.timestamp() * 1_000), number),
            "trace": trace,
            "origin": "client",
            "surface": "chat_completions",
            "outcome": Outcome.COMPLETED,
            "http_status": 200,
            "error_code": None,
            "received_at": received_at,
            "completed_at": at,
            "total_latency_ms": total_ms,
            "stream": True,
            "route_reason": "requested",
            "usage_source": UsageSource.REPORTED,
            "gateway_overhead_ms": self._random.uniform(1.2, 2.4),
            "output_chunks": 40,
            "finish_reason": "stop",
            "prompt_sha256": self._random.randbytes(32).hex(),
            "counted_prompt_tokens": 1_201,
            "ttft_objective_ms": 4_000,
            "latency_objective_ms": 60_000,
        }
        return InvocationRecord(**(given | fields))
