"""The account of asking about one candidate: each call made, what it cost, and the record of it. Pure."""

from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Final

from evalworker.judging.judge import Bill, Candidate, Malformed, Outcome, Scored
from evalworker.judging.statuses import Failure, Rejection
from llmplatform.invocation import Attempt, InvocationRecord
from llmplatform.invocation import Outcome as CallOutcome
from llmplatform.judges import JudgeModel
from llmplatform.prices import Cost
from llmplatform.tracecontext import TraceContext
from llmplatform.usage import NO_USAGE, TokenUsage, UsageSource

UNTOLD: Final = TokenUsage(output_tokens=0)
"""Of a call that may be billed and told nothing: none of its answer came, and its input nobody knows. In the
ledger an attempt without any figure is one that was refused, and free."""

_CLASSES: Final = tuple(one.name for one in fields(TokenUsage))


@dataclass(slots=True)
class Asking:
    """What was done so far about one candidate."""

    candidate: Candidate
    model: JudgeModel
    request_id: str
    """Of the asking itself, as the ledger will have it."""
    span_id: str
    asked_at: datetime
    started_ns: int
    content_truncated: bool
    body: bytes = field(repr=False)
    attempts: list[Attempt] = field(default_factory=list)
    failures: int = 0
    malformed: int = 0
    _usage: TokenUsage = NO_USAGE
    _known_usd: Decimal = Decimal(0)
    _cost_known: bool = True
    _maybe_billed: bool = False

    def bill(self) -> Bill:
        """What it took so far."""
        cost = self._known_usd if self._cost_known else None
        return Bill(len(self.attempts), self._usage, cost, self._known_usd)

    def charge(self, usage: TokenUsage, cost: Cost) -> None:
        """Note that a call may be billed: an error never is; one that broke off may be."""
        self._maybe_billed = True
        self._usage = usage if self._usage is NO_USAGE else _sum(self._usage, usage)
        self._known_usd += cost.known_usd
        self._cost_known = self._cost_known and cost.amount_usd is not None

    def called(
        self,
        *,
        started_ns: int,
        ended_ns: int,
        usage: TokenUsage = NO_USAGE,
        failed: Failure | Rejection | None = None,
        error_type: str = "",
        upstream_request_id: str | None = None,
    ) -> None:
        """Note a call."""
        maybe_billed = failed.maybe_billed if isinstance(failed, Failure) else failed is None
        model_id = self.model.model_id
        self.attempts.append(
            Attempt(
                endpoint_type="bedrock",
                model_id=model_id,
                backend_model_id=model_id,
                endpoint_name=None,
                price_key=self.model.price_key,
                outcome=CallOutcome.COMPLETED if failed is None else CallOutcome.BACKEND_FAILED,
                reason="retry" if self.attempts else "requested",
                started_ms=(started_ns - self.started_ns) / 1e6,
                duration_ms=(ended_ns - started_ns) / 1e6,
                first_event_ms=None,
                usage=UNTOLD if maybe_billed and usage == NO_USAGE else usage,
                usage_source=UsageSource.UNKNOWN if usage == NO_USAGE else UsageSource.REPORTED,
                error_code=None if failed is None else failed.reason or "rejected",
                error_type=error_type or None,
                upstream_request_id=upstream_request_id,
            )
        )

    def record(self, outcome: Outcome | None, *, now: datetime, now_ns: int) -> InvocationRecord | None:
        """What the ledger is told, if anything can have cost money; no `outcome` is a cancellation."""
        if not self._maybe_billed:
            return None
        became, error_code = _became(outcome)
        model_id = self.model.model_id
        last = self.attempts[-1]
        return InvocationRecord(
            request_id=self.request_id,
            trace=TraceContext(self.candidate.trace_id, self.span_id, None, "x-trace-id"),
            tenant_id=self.candidate.tenant_id,
            origin="judge",
            surface="judge",
            outcome=became,
            http_status=None,
            error_code=error_code,
            received_at=self.asked_at,
            completed_at=now,
            total_latency_ms=(now_ns - self.started_ns) / 1e6,
            requested_model_id=model_id,
            model_id=model_id if became is CallOutcome.COMPLETED else None,
            backend_model_id=model_id,
            endpoint_type="bedrock",
            attempts=tuple(self.attempts),
            usage=last.usage,
            usage_source=last.usage_source,
        )


def _became(outcome: Outcome | None) -> tuple[CallOutcome, str | None]:
    match outcome:
        case None:
            return CallOutcome.CLIENT_CANCELLED, "cancelled"
        case Scored():
            return CallOutcome.COMPLETED, None
        case Malformed():
            return CallOutcome.BACKEND_FAILED, "malformed"
        case _:
            return CallOutcome.BACKEND_FAILED, outcome.reason


def _sum(one: TokenUsage, other: TokenUsage) -> TokenUsage:
    """Tokens of two calls together; what neither told is unknown."""
    return TokenUsage(**{name: _added(getattr(one, name), getattr(other, name)) for name in _CLASSES})


def _added(one: int | None, other: int | None) -> int | None:
    return other if one is None else one + (other or 0)
