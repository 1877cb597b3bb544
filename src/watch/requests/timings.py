"""Where a request's time went: parts that stand one after another and add up to the total, exactly. Pure.

Borders, not lengths, are rounded to tenths of a millisecond, so that what is shown adds up as shown. What the
gateway calls its own overhead (`InvocationRecord.gateway_overhead_ms`) is in it: the time from the request's
body being there until the first call, and from the first token until it was handed on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, Literal

from llmplatform.invocation import Attempt
from llmplatform.ledger import LedgerRow

PartKind = Literal["client", "gateway", "waiting", "answering", "failed"]
"""Who was at work: the client sending, the gateway, a model before its first token, one that answers, one
that failed."""

_TENTH: Final = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a request's time, in milliseconds from its arrival."""

    name: str
    kind: PartKind
    start_ms: Decimal
    end_ms: Decimal
    overhead: bool = False
    """Whether it counts as the gateway's own overhead."""

    @property
    def length_ms(self) -> Decimal:
        """How long it lasted."""
        return self.end_ms - self.start_ms


@dataclass(frozen=True, slots=True)
class Timings:
    """A request's time in parts, in order."""

    parts: tuple[Part, ...]
    total_ms: Decimal
    ttft_ms: Decimal | None
    delivered_ms: Decimal | None
    overhead_ms: Decimal | None
    """As the gateway measured it."""
    read_on_ms: Decimal | None = None
    """How much longer than the request a backend was read, for its bill; not a part of the request."""

    @property
    def sum_ms(self) -> Decimal:
        """Of all parts: the total."""
        return sum((part.length_ms for part in self.parts), Decimal(0))


def timings_of(row: LedgerRow) -> Timings:
    """Where the time of a request went."""
    total = _tenths(row.total_latency_ms)
    edges = _Edges(total)
    ends = [attempt.started_ms + attempt.duration_ms for attempt in row.attempts]
    late = max((_tenths(end) for end in ends), default=Decimal(0)) - total
    return Timings(
        parts=tuple(part for part in _parts(row, edges) if part.length_ms > 0),
        total_ms=total,
        ttft_ms=_known(row.time_to_first_token_ms),
        delivered_ms=_known(row.first_token_delivered_ms),
        overhead_ms=_known(row.gateway_overhead_ms),
        read_on_ms=late if late > 0 else None,
    )


class _Edges:
    """Goes through a request's time and never back, whatever the figures say."""

    def __init__(self, total: Decimal) -> None:
        self._total = total
        self._at = Decimal(0)

    def until(
        self, moment_ms: float | None, name: str, kind: PartKind, *, overhead: bool = False
    ) -> Iterator[Part]:
        """The part from where we are to this moment; None is the end."""
        moment = self._total if moment_ms is None else min(_tenths(moment_ms), self._total)
        if moment > self._at:
            yield Part(name, kind, self._at, moment, overhead)
            self._at = moment


def _parts(row: LedgerRow, edges: _Edges) -> Iterator[Part]:
    if not row.attempts:
        yield from edges.until(None, "Gateway alone: no model was called", "gateway")
        return
    yield from _before(row, edges)
    for number, attempt in enumerate(row.attempts, start=1):
        yield from edges.until(attempt.started_ms, "Gateway, between calls", "gateway")
        answered = number == len(row.attempts)
        yield from _attempt(row, attempt, edges, f"Call {number}", answered=answered)
    yield from edges.until(None, "Gateway, ending the answer", "gateway")


def _before(row: LedgerRow, edges: _Edges) -> Iterator[Part]:
    """Until the first call: what of it was the client still sending, the overhead tells."""
    first = row.attempts[0].started_ms
    if row.gateway_overhead_ms is not None:
        ours = row.gateway_overhead_ms - (_handing_on_ms(row) or 0.0)
        yield from edges.until(first - ours, "Client, sending its request", "client")
        yield from edges.until(first, "Gateway, before the first call", "gateway", overhead=True)
    else:
        yield from edges.until(first, "Before the first call", "gateway")


def _attempt(row: LedgerRow, attempt: Attempt, edges: _Edges, name: str, *, answered: bool) -> Iterator[Part]:
    end = attempt.started_ms + attempt.duration_ms
    ttft = row.time_to_first_token_ms
    if not answered or ttft is None:
        yield from edges.until(
            end, f"{name}: {_ended(attempt)}", "failed" if attempt.error_code else "answering"
        )
        return
    yield from edges.until(ttft, f"{name}: until its first token", "waiting")
    if _handing_on_ms(row) is not None:
        yield from edges.until(
            row.first_token_delivered_ms, "Gateway, handing on the first token", "gateway", overhead=True
        )
    yield from edges.until(end, f"{name}: the rest of the answer", "answering")


def _handing_on_ms(row: LedgerRow) -> float | None:
    ttft, delivered = row.time_to_first_token_ms, row.first_token_delivered_ms
    return None if ttft is None or delivered is None else delivered - ttft


def _ended(attempt: Attempt) -> str:
    return "failed" if attempt.error_code else "without a token"


def _known(ms: float | None) -> Decimal | None:
    return None if ms is None else _tenths(ms)


def _tenths(ms: float) -> Decimal:
    return max(Decimal(str(ms)).quantize(_TENTH, ROUND_HALF_EVEN), Decimal(0))
