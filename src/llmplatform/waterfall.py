"""What a request's life lasted, as bars on one time line: of X-Ray's spans, or of the ledger's row alone.

How a bar is drawn is for who draws it. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from llmplatform.invocation import Outcome
from llmplatform.ledger import LedgerRow

_TENANT: Final = ("tenant_id", "tenant.id")
"""How a document says whose it is: the daemon's, and OpenTelemetry's."""


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


def segments_of_tenant(documents: Iterable[dict[str, Any]], tenant_id: str) -> list[dict[str, Any]]:
    """Those of X-Ray's segment documents that are a tenant's: that say so, or stand under one that does.

    A client chooses its trace id and its parent, so several tenants may have spans under one trace, and one
    tenant's under another's.
    """
    found = list(documents)
    holders = {id_: document for document in found for id_ in _ids(document)}
    return [document for document in found if _owner(document, holders) == tenant_id]


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


def _owner(document: dict[str, Any], holders: Mapping[str, dict[str, Any]]) -> str | None:
    """The tenant that a document, or the nearest above it, names."""
    passed: set[str] = set()
    while True:
        annotations = document.get("annotations", {})
        for name in _TENANT:
            if name in annotations:
                return str(annotations[name])
        passed.add(str(document.get("id")))
        above = holders.get(str(document.get("parent_id")))
        if above is None or str(above.get("id")) in passed:
            return None
        document = above


def _ids(document: dict[str, Any]) -> Iterator[str]:
    yield str(document.get("id"))
    for inner in document.get("subsegments", ()):
        yield from _ids(inner)


def _start(document: dict[str, Any]) -> float:
    return float(document["start_time"])
