"""An event loop whose time passes only while all wait: it leaps to what is due next.

For what depends on how long something takes, where the machine's own slowness is to count for nothing.
"""

import asyncio
import selectors
from typing import Any


class LeapingLoop(asyncio.SelectorEventLoop):
    """`with asyncio.Runner(loop_factory=LeapingLoop) as runner: runner.run(...)`."""

    def __init__(self) -> None:
        self._at_s = 0.0
        super().__init__(_Leaping(self))

    def time(self) -> float:
        """Seconds that were waited for."""
        return self._at_s

    def leap(self, s: float) -> None:
        """Let so much time have passed."""
        self._at_s += s


class _Leaping(selectors.SelectSelector):
    """Waits for nothing that comes by itself."""

    def __init__(self, loop: LeapingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            return super().select()
        found = super().select(0)
        if not found:
            self._loop.leap(timeout)
        return found
