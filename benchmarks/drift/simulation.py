"""Watchers put into worlds: how often they ring without a fall, and how long after one."""

from collections.abc import Callable, Sequence

import numpy as np
from watchers import Watcher
from world import Conditions, Floats, World

LEARNT_HOURS = 8 * 24
NULL_HOURS = 30 * 24
HORIZON_HOURS = 7 * 24

Kinds = Sequence[Callable[[int], Watcher]]


def false_alarms(
    conditions: Conditions, per_day: float, *, series: int, seed: int, kinds: Kinds
) -> list[int]:
    """Alarms in 30 days without a change, of each kind of watcher, over all series."""
    world, watchers = _taught(conditions, per_day, series=series, seed=seed, kinds=kinds)
    alarms = [0] * len(watchers)
    for hour in range(LEARNT_HOURS, LEARNT_HOURS + NULL_HOURS):
        counts = world.hour(hour)
        for at, watcher in enumerate(watchers):
            alarms[at] += int(watcher.watch(counts).sum())
    return alarms


def delays(
    conditions: Conditions, per_day: float, fall: float, *, series: int, seed: int, kinds: Kinds
) -> Floats:
    """Minutes from a fall to the first alarm after it, (kinds, series); infinite where a week was too short.

    The fall, in points, begins for each series at a random minute of the day after those learnt from.
    """
    world, watchers = _taught(conditions, per_day, series=series, seed=seed, kinds=kinds)
    begins = np.random.default_rng(seed).integers(0, 24 * 60, series)
    found = np.full((len(watchers), series), np.inf)
    for hour in range(24 + HORIZON_HOURS):
        minute = hour * 60 + np.arange(60)[:, None]
        fallen = minute >= begins
        counts = world.hour(LEARNT_HOURS + hour, np.where(fallen, fall, 0.0))
        for at, watcher in enumerate(watchers):
            rings = watcher.watch(counts) & fallen
            first = rings.any(axis=0) & np.isinf(found[at])
            found[at][first] = (hour * 60 + rings.argmax(axis=0) + 1 - begins)[first]
        if np.isfinite(found).all():
            break
    return found


def _taught(
    conditions: Conditions, per_day: float, *, series: int, seed: int, kinds: Kinds
) -> tuple[World, list[Watcher]]:
    """A world, and watchers that have seen eight days of it."""
    world, watchers = World(conditions, per_day, series, seed), [kind(series) for kind in kinds]
    for hour in range(LEARNT_HOURS):
        counts = world.hour(hour)
        for watcher in watchers:
            watcher.learn(counts)
    return world, watchers
