"""Which requests somebody asks for. Pure: a row is asked whether it is one of them.

How the ledger is asked the same is in `watch.reading.requests`; what it answers is held to this once more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from llmplatform import ids
from llmplatform.errors import MalformedRequest
from llmplatform.evaluations import DIMENSIONS, MAX_SCORE
from llmplatform.invocation import Outcome
from llmplatform.ledger import LedgerRow
from llmplatform.policy import Objectives, TenantPolicy

_LONGEST_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Slow:
    """What counts as slow: the first token later than, or all of it longer than, so many milliseconds."""

    ttft_ms: float
    total_ms: float

    @classmethod
    def by(cls, objectives: Objectives) -> Self:
        """Over what a tenant's requests are held to at their slowest percent."""
        return cls(objectives.ttft_p99_ms, objectives.total_latency_p99_ms)


@dataclass(frozen=True, slots=True)
class LowScore:
    """A score of at most so much, in one dimension or in any."""

    at_most: float
    dimension: str | None = None

    def matches(self, scores: Mapping[str, float]) -> bool:
        """Whether scores by dimension have one so low."""
        asked = scores if self.dimension is None else (self.dimension,)
        return any(scores[name] <= self.at_most for name in asked if name in scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What is asked for; None leaves it open. `slow` without `slow_ms` is by each tenant's own objective."""

    tenant: str | None = None
    model: str | None = None
    """Asked for or served."""
    outcome: Outcome | None = None
    error: str | None = None
    origin: str | None = None
    slow: bool = False
    slow_ms: float | None = None
    low: LowScore | None = None

    @classmethod
    def asked(cls, query: Mapping[str, str]) -> Self:
        """What a URL asks for. Raises MalformedRequest that names the parameter."""
        low = None
        if query.get("score"):
            dimension = query.get("dimension") or None
            if dimension is not None and dimension not in DIMENSIONS:
                raise MalformedRequest("dimension: there is none of this name", param="dimension")
            low = LowScore(_number(query["score"], "score", most=MAX_SCORE), dimension)
        slow_ms = _number(query["slow_ms"], "slow_ms", most=_LONGEST_MS) if query.get("slow_ms") else None
        return cls(
            tenant=_tenant(query.get("tenant", "")),
            model=_label(query.get("model", ""), "model"),
            outcome=_outcome(query.get("outcome", "")),
            error=_label(query.get("error", ""), "error"),
            origin=_origin(query.get("origin", "")),
            slow=bool(query.get("slow")) or slow_ms is not None,
            slow_ms=slow_ms,
            low=low,
        )

    @property
    def narrow(self) -> bool:
        """Whether rows are left out, so that more are read than are shown."""
        return (
            any(one is not None for one in (self.model, self.outcome, self.error, self.origin)) or self.slow
        )

    def slow_of(self, policy: TenantPolicy | None) -> Slow | None:
        """What counts as slow for a tenant; None where that is not asked."""
        if not self.slow:
            return None
        if self.slow_ms is not None:
            return Slow(self.slow_ms, self.slow_ms)
        return Slow.by(policy.objectives if policy is not None else Objectives())

    def matches(self, row: LedgerRow, slow: Slow | None) -> bool:
        """Whether a row is asked for, but for its time and its scores."""
        return (
            (self.tenant is None or row.tenant_id == self.tenant)
            and (self.model is None or self.model in {row.model_id, row.requested_model_id})
            and (self.outcome is None or row.outcome is self.outcome)
            and (self.error is None or row.error_code == self.error)
            and (self.origin is None or row.origin == self.origin)
            and (slow is None or is_slow(row, slow))
        )


def is_slow(row: LedgerRow, slow: Slow) -> bool:
    """Whether a request was."""
    late = row.time_to_first_token_ms is not None and row.time_to_first_token_ms > slow.ttft_ms
    return late or row.total_latency_ms > slow.total_ms


def completed_within(row: LedgerRow, start: datetime, end: datetime) -> bool:
    """Whether a request was completed from `start` until before `end`."""
    return start <= row.completed_at < end


def _tenant(text: str) -> str | None:
    if not text:
        return None
    tenant = text if text == ids.UNKNOWN else ids.tenant_id(text)
    if tenant is None:
        raise MalformedRequest("tenant: no tenant's id looks like this", param="tenant")
    return tenant


def _outcome(text: str) -> Outcome | None:
    try:
        return Outcome(text) if text else None
    except ValueError:
        raise MalformedRequest(f"outcome: must be one of {', '.join(Outcome)}", param="outcome") from None


def _origin(text: str) -> str | None:
    if text not in {"", "client", "judge"}:
        raise MalformedRequest("origin: must be client or judge", param="origin")
    return text or None


def _label(text: str, parameter: str) -> str | None:
    """A name as rows have it."""
    if len(text) > _LONGEST_LABEL:
        raise MalformedRequest(f"{parameter}: is longer than any", param=parameter)
    return text.strip() or None


def _number(text: str, parameter: str, *, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise MalformedRequest(f"{parameter}: must be a number from 0 to {most:,}", param=parameter)
    return number


_LONGEST_LABEL = 256
