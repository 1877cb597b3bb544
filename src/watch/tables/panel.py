"""What a panel is: readings that answer a question, and how they are shown. Pure.

The panels themselves are in `panels`.
"""

from dataclasses import dataclass
from typing import Literal

from watch.tables.readings import Reading
from watch.tables.rules import Threshold
from watch.tables.targets import Scope

Shown = Literal[
    "requests",
    "tokens",
    "share",
    "ms",
    "s",
    "usd",
    "percent",
    "tokens/s",
    "score",
    "state",
    "bytes",
    "units",
    "days",
]
"""What a value is, for its unit and format. A `share` is 0 to 1 and shown in percent."""

Drawn = Literal["lines", "stacked", "state"]
"""`stacked` adds up what is disjoint, `state` is 0 or 1 over time."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart."""

    key: str
    scope: Scope
    title: str
    question: str
    shown: Shown
    readings: tuple[Reading, ...]
    drawn: Drawn = "lines"
    thresholds: tuple[Threshold, ...] = ()
    scale: float = 1.0
    """What a value is multiplied by to be in the unit that is shown: 0.001 makes milliseconds of µs."""
    needs: Literal["", "bedrock", "sagemaker"] = ""
    """Models of the other kind have no such series."""
    sparse: bool = False
    """Published only when there is something: no data is good news."""

    @property
    def variables(self) -> frozenset[str]:
        """What must be filled in."""
        return frozenset().union(*(reading.variables for reading in self.readings))
