"""A stretch of minutes run through the detector, each under the baseline of its hour. Pure.

This is how state is recomputed: from a state that was kept and the minutes since, however often. What is
recomputed equals what was computed minute by minute.
"""

from collections.abc import Sequence
from itertools import groupby

from evalworker.drift.baseline import HourTable, baseline_at, hour_of
from evalworker.drift.detector import DetectorSettings, DetectorState, Event, run
from llmplatform.eval_series import MinuteScores


def replayed(
    state: DetectorState,
    minutes: Sequence[MinuteScores],
    hours: HourTable,
    bins: Sequence[float],
    settings: DetectorSettings,
) -> tuple[DetectorState, list[Event]]:
    """The state after `minutes`, which are later than `state.as_of` and rise, and the events among them.

    `hours` reach from the baseline's days and longest gap before the first minute up to the last one; of
    each, a minute uses only what its baseline may hold. Raises ValueError for minutes out of order.
    """
    events: list[Event] = []
    for hour, group in groupby(minutes, key=lambda minute: hour_of(minute.minute)):
        left = list(group)
        while left:
            baseline = baseline_at(
                hour, hours, settings.baseline, excluded=state.excluded, since=state.baseline_since
            )
            state, event, taken = run(state, left, baseline, bins, settings)
            left = left[taken:]
            if event is not None:
                events.append(event)
    return state, events
