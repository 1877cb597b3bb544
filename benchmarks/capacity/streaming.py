"""Streams at once, and how unevenly a load balancer gives them to tasks."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.capacity.day import MINUTE, SECONDS, Counts, Day, Floats

SPREAD: Final = 0.8
"""Sigma of the lognormal that a reply's tokens are drawn from."""


@dataclass(frozen=True)
class Streams:
    """What a day's streams come to."""

    most: int
    """At once, in any second."""
    busiest_minute: float
    """At once in the mean of the busiest minute."""
    busiest_task: int
    """At once at one task, in any second, where each new stream goes to the next one in turn."""


def streamed(
    day: Day,
    *,
    first_token_s: float,
    output_tokens: float,
    tokens_per_s: float,
    tasks: int,
    chance: np.random.Generator,
) -> Streams:
    """Every request of a day as a stream of its own length."""
    second = np.repeat(np.arange(SECONDS), day.by_second)
    starts = np.sort(second + chance.uniform(size=len(second)))
    tokens = chance.lognormal(np.log(output_tokens) - SPREAD**2 / 2, SPREAD, len(starts))
    ends = starts + first_token_s + tokens / tokens_per_s
    together = _at_once(starts, ends)
    by_task = [_at_once(starts[task::tasks], ends[task::tasks]).max() for task in range(tasks)]
    by_minute = together[: SECONDS // MINUTE * MINUTE].reshape(-1, MINUTE).mean(axis=1)
    return Streams(int(together.max()), float(by_minute.max()), int(max(by_task)))


def _at_once(starts: Floats, ends: Floats) -> Counts:
    """Of each second of the day."""
    began = np.bincount(starts.astype(np.int64), minlength=SECONDS)[:SECONDS]
    ended = np.bincount(np.minimum(ends, SECONDS).astype(np.int64), minlength=SECONDS + 1)[:SECONDS]
    at_once: Counts = np.cumsum(began - ended)
    return at_once
