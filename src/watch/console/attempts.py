"""How often a client may try keys. Pure: the time is given.

A key has 256 bits, so nobody guesses one; the limit keeps guessing from costing us anything, and its traces
out of a log. What is remembered is bounded, and a full memory forgets the oldest.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

MOST: Final = 10
"""Attempts in a row, then one every `EVERY_S`."""
EVERY_S: Final = 6.0
_MOST_CLIENTS: Final = 1_000


@dataclass(slots=True)
class Attempts:
    """A bucket of attempts for each client, which time fills again."""

    _buckets: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict)
    """What is left, and when that was."""

    def wait_s(self, client: str, now_ns: int) -> int:
        """Seconds to wait before the next attempt; 0 where it may be made now."""
        left = self._left(client, now_ns)
        return 0 if left >= 1 else max(1, round((1 - left) * EVERY_S))

    def failed(self, client: str, now_ns: int) -> None:
        """Count an attempt that did not open anything."""
        self._buckets[client] = (max(0.0, self._left(client, now_ns) - 1), now_ns)
        self._buckets.move_to_end(client)
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)

    def _left(self, client: str, now_ns: int) -> float:
        left, at_ns = self._buckets.get(client, (float(MOST), now_ns))
        return min(float(MOST), left + (now_ns - at_ns) / 1e9 / EVERY_S)
