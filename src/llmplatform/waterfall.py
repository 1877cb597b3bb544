"""What a request's life lasted, as bars on one time line: of X-Ray's spans, or of the ledger's row alone.

How a bar is drawn is for who draws it. Pure.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from llmplatform.invocation import Outcome
from llmplatform.ledger import LedgerRow


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a waterfall: something that lasted. Times in seconds since the epoch."""

    name: str
    start_s: float
    end_s: float
    depth: int = 0
    failed: bool = False


def bars_of_segments(documents: Iterable[dict[str, Any]]) -> tuple[Bar, ...]:
    """The spans of X-Ray segment documents, parents before children, in order of their start."""
    segments = {str(document.get("id")): document for document in documents}
    known = {id_ for document in segments.values() for id_ in _ids(document)}
    children: dict[str | None, list[dict[str, Any]]] = {}
    for document in segments.values():
        parent = document.get("parent_id")  # of another document, maybe of a subsegment in it
        children.setdefault(parent if parent in known else None, []).append(document)
    bars: list[Bar] = []

    def add(document: dict[str, Any], depth: int) -> None:
        start = float(document["start_time"])
        failed = bool(document.get("fault") or document.get("error"))
        bars.append(
            Bar(str(document.get("name")), start, float(document.get("end_time", start)), depth, failed)
        )
        nested = [*document.get("subsegments", ()), *children.get(str(document.get("id")), ())]
        for inner in sorted(nested, key=_start):
            add(inner, depth + 1)

    for root in sorted(children.get(None, ()), key=_start):
        add(root, 0)
    return tuple(bars)


def bars_of_row(row: LedgerRow) -> tuple[Bar, ...]:
    """The waterfall that the ledger alone can tell: the request and its attempts."""
    zero = row.received_at.timestamp()
    whole = Bar(
        "request", zero, zero + row.total_latency_ms / 1_000, 0, row.outcome is Outcome.BACKEND_FAILED
    )
    attempts = (
        Bar(
            attempt.model_id,
            zero + attempt.started_ms / 1_000,
            zero + (attempt.started_ms + attempt.duration_ms) / 1_000,
            1,
            attempt.outcome is Outcome.BACKEND_FAILED,
        )
        for attempt in row.attempts
    )
    return (whole, *attempts)


def _ids(document: dict[str, Any]) -> Iterator[str]:
    yield str(document.get("id"))
    for inner in document.get("subsegments", ()):
        yield from _ids(inner)


def _start(document: dict[str, Any]) -> float:
    return float(document["start_time"])
