"""Bars on a line of a thousand, for pages that draw them as attributes of SVG. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from llmplatform.waterfall import Bar
from watch.requests.timings import Timings

WIDTH: Final = 1_000
_LEAST: Final = 4
"""So wide is what took no time, that it can be seen."""
_MOST_DEPTH: Final = 6


@dataclass(frozen=True, slots=True)
class Drawn:
    """One bar. Times in milliseconds from the beginning of the line."""

    name: str
    kind: str
    """A class of its rectangle."""
    x: int
    width: int
    start_ms: float
    length_ms: float
    depth: int = 0
    failed: bool = False


def drawn_bars(bars: Sequence[Bar]) -> tuple[Drawn, ...]:
    """Spans on one line."""
    if not bars:
        return ()
    zero = min(bar.start_s for bar in bars)
    whole_ms = (max(bar.end_s for bar in bars) - zero) * 1_000
    found = []
    for bar in bars:
        start_ms, length_ms = (bar.start_s - zero) * 1_000, max(bar.end_s - bar.start_s, 0) * 1_000
        x, width = _placed(start_ms, length_ms, whole_ms)
        kind = "failed" if bar.failed else "span"
        depth = min(bar.depth, _MOST_DEPTH)
        found.append(Drawn(bar.name, kind, x, width, start_ms, length_ms, depth, bar.failed))
    return tuple(found)


def drawn_parts(timings: Timings) -> tuple[Drawn, ...]:
    """The parts of a request on the line of its total."""
    found = []
    for part in timings.parts:
        x, width = _placed(float(part.start_ms), float(part.length_ms), float(timings.total_ms))
        failed = part.kind == "failed"
        found.append(
            Drawn(part.name, part.kind, x, width, float(part.start_ms), float(part.length_ms), 0, failed)
        )
    return tuple(found)


def place_of(ms: float | None, timings: Timings) -> int | None:
    """Where a moment is on the line of a request's total; None where there is none."""
    if ms is None or not timings.total_ms:
        return None
    return min(WIDTH, round(ms / float(timings.total_ms) * WIDTH))


def _placed(start_ms: float, length_ms: float, whole_ms: float) -> tuple[int, int]:
    whole_ms = max(whole_ms, 1e-6)
    x = min(WIDTH - _LEAST, round(start_ms / whole_ms * WIDTH))
    return x, max(_LEAST, min(WIDTH - x, round(length_ms / whole_ms * WIDTH)))
