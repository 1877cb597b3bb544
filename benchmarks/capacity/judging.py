"""How much one evaluation worker judges: a batch of a shard ends before its next begins, calls are bounded.

As `evalworker` does it: a shard is read once a second at most and 200 records at a time, all of a batch are
finished before the shard is read again, and the calls of all shards of a process share its slots.
"""

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

BATCH: Final = 200
READ_EVERY_S: Final = 1.0
SPREAD: Final = 0.5
"""Sigma of the lognormal that a call's length is drawn from."""
_ARRIVED, _READ, _ANSWERED = range(3)


@dataclass
class _Shard:
    waiting: deque[float] = field(default_factory=deque)
    unfinished: int = 0
    read_at: float = -READ_EVERY_S


@dataclass(frozen=True)
class Judged:
    """What became of the samples."""

    per_s: float
    """Verdicts, after a beginning that does not count."""
    slots_used: float
    """Of the calls that there may be at once, in the mean."""
    waited_s: float
    """From a sample's arrival to its verdict: of 99 in 100 no longer."""


def judged(
    *,
    samples_per_s: float,
    shards: int,
    slots: int,
    call_s: float,
    seconds: float,
    chance: np.random.Generator,
) -> Judged:
    """A worker's work on samples that arrive by chance."""
    number = int(samples_per_s * seconds)
    arrivals = np.sort(chance.uniform(0, seconds, number))
    homes = chance.integers(shards, size=number)
    lengths = iter(chance.lognormal(np.log(call_s) - SPREAD**2 / 2, SPREAD, number))
    events = [(float(at), _ARRIVED, int(home)) for at, home in zip(arrivals, homes, strict=True)]
    heapq.heapify(events)
    places = [_Shard() for _ in range(shards)]
    queued: deque[tuple[float, int]] = deque()
    in_flight: dict[int, tuple[float, int]] = {}
    free, calls, busy_s, waits, from_s = slots, 0, 0.0, [], seconds / 4
    while events:
        now, kind, what = heapq.heappop(events)
        if now > seconds:
            break
        if kind == _ANSWERED:
            arrived, home = in_flight.pop(what)
            free += 1
            places[home].unfinished -= 1
            if now >= from_s:
                waits.append(now - arrived)
        else:
            home = what
            if kind == _ARRIVED:
                places[home].waiting.append(now)
        shard = places[home]
        if not shard.unfinished and shard.waiting:
            if now < shard.read_at + READ_EVERY_S:
                heapq.heappush(events, (shard.read_at + READ_EVERY_S, _READ, home))
            else:
                shard.read_at = now
                taken = min(BATCH, len(shard.waiting))
                shard.unfinished = taken
                queued.extend((shard.waiting.popleft(), home) for _ in range(taken))
        while free and queued:
            free -= 1
            calls += 1
            in_flight[calls] = queued.popleft()
            length = float(next(lengths))
            if now >= from_s:
                busy_s += min(length, seconds - now)
            heapq.heappush(events, (now + length, _ANSWERED, calls))
    span = seconds - from_s
    return Judged(
        per_s=len(waits) / span,
        slots_used=busy_s / (slots * span),
        waited_s=float(np.quantile(waits, 0.99)) if waits else float("nan"),
    )
