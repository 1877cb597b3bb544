"""Time as a value that is handed in, so that pure rooms never ask for it.

Durations come from `monotonic_ns`, moments from `now`: the wall clock may jump, a duration may not.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where a room gets the time from."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start; never goes back."""
        ...

    def now(self) -> datetime:
        """The moment, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    monotonic_ns = staticmethod(time.monotonic_ns)

    def now(self) -> datetime:
        """The moment, aware, in UTC."""
        return datetime.now(UTC)
