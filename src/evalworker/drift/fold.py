"""What is kept of one series between two runs, and how minutes get into it. Pure.

Usually a run brings a few minutes of the hour at hand: they go through the detector under the baseline that
was kept, and nothing is read. Where an hour is over, a state changed or a late result changed a minute that
the detector has seen, the series goes back to the last hour before that was kept and runs from there; what
comes out is what a run over all minutes from the first one would give, to the last bit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby

from evalworker.drift.baseline import (
    HOUR,
    Baseline,
    BaselineSettings,
    HourScores,
    HourTable,
    Span,
    WarmingUp,
    baseline_at,
    hour_of,
    hours_of,
    tabulated,
)
from evalworker.drift.detector import DetectorState, run
from evalworker.drift.drop import DropSettings, window_before
from evalworker.drift.replay import replayed
from evalworker.drift.settings import DriftSettings
from llmplatform.eval_series import MinuteScores


@dataclass(frozen=True, slots=True)
class SeriesFold:
    """One series between two runs."""

    began: datetime
    """The first minute with scores."""
    state: DetectorState = field(default_factory=DetectorState)
    recent: tuple[MinuteScores, ...] = ()
    """Minutes with scores, rising: those a drop is told from, and those the detector has not seen yet."""
    baseline: Baseline | None = None
    warming: WarmingUp | None = None
    """What is missing where there is no baseline."""
    baseline_hour: datetime | None = None
    """The hour that these two are for; None where nothing was folded yet."""

    @property
    def latest(self) -> datetime:
        """The last minute with scores."""
        last = self.recent[-1].minute if self.recent else self.began
        return max(last, self.state.as_of or last)


@dataclass(frozen=True, slots=True)
class HourRow:
    """An hour that is over, and the detector's state at its end."""

    scores: HourScores
    state: DetectorState


@dataclass(frozen=True, slots=True)
class Refolded:
    """A series after a run from an earlier hour, and the hours on the way that are over."""

    fold: SeriesFold
    hours: tuple[HourRow, ...]


def with_minutes(
    fold: SeriesFold, fresh: Mapping[datetime, MinuteScores]
) -> tuple[SeriesFold, datetime | None]:
    """The series with minutes made anew, and the earliest that changed after the detector had seen it."""
    known = {minute.minute: minute for minute in fold.recent}
    as_of = fold.state.as_of
    changed = [
        at for at, scores in fresh.items() if as_of is not None and at <= as_of and known.get(at) != scores
    ]
    moved = replace(fold, began=min([fold.began, *fresh]), recent=_joined(fold.recent, fresh.values()))
    return moved, min(changed, default=None)


def advanced(
    fold: SeriesFold, closed: datetime, bins: Sequence[float], settings: DriftSettings
) -> SeriesFold | None:
    """The series after its minutes before `closed`; None where that takes hours that were kept elsewhere."""
    as_of = fold.state.as_of
    waiting = [
        minute
        for minute in fold.recent
        if minute.minute < closed and (as_of is None or minute.minute > as_of)
    ]
    if any(hour_of(minute.minute) != fold.baseline_hour for minute in waiting):
        return None
    known = fold.baseline or fold.warming
    if not waiting or known is None:
        return _trimmed(fold, closed, settings.drop)
    state, event, _ = run(fold.state, waiting, known, bins, settings.detector)
    return _trimmed(replace(fold, state=state), closed, settings.drop) if event is None else None


def refolded(
    fold: SeriesFold,
    before: Sequence[HourRow],
    minutes: Sequence[MinuteScores],
    *,
    closed: datetime,
    bins: Sequence[float],
    settings: DriftSettings,
) -> Refolded:
    """The series run again from the last of the hours `before`, through all `minutes` since that hour's end.

    `before` rise and hold all hours that a baseline of the first minute may use; `minutes` rise, and those
    from `closed` on wait for a later run.
    """
    baseline = settings.detector.baseline
    state = before[-1].state if before else DetectorState()
    hours = [row.scores for row in before]
    done: list[HourRow] = []
    seen = [minute for minute in minutes if minute.n and minute.minute < closed]
    for _, group in groupby(seen, key=lambda minute: hour_of(minute.minute)):
        of_hour = list(group)
        state, _ = replayed(state, of_hour, _table(hours, baseline), bins, settings.detector)
        done += [HourRow(scores, state) for scores in hours_of(of_hour, bins)]
        hours.append(done[-1].scores)
    known_from = [row.scores.hour for row in before[:1]] + [minute.minute for minute in minutes[:1]]
    fold = replace(
        fold,
        began=min([fold.began, *known_from]),
        state=state,
        recent=_joined(fold.recent, minutes),
    )
    if state.as_of is not None:
        fold = _with_baseline(fold, _table(hours, baseline), hour_of(state.as_of), baseline)
    return Refolded(_trimmed(fold, closed, settings.drop), tuple(done[:-1]))


def reach(settings: BaselineSettings) -> timedelta:
    """How far before a minute's hour the hours of its baseline reach."""
    return timedelta(days=settings.days) + max(settings.gaps_hours) * HOUR


def _table(hours: Sequence[HourScores], settings: BaselineSettings) -> HourTable:
    return tabulated(hours[-(reach(settings) // HOUR + 1) :])


def _with_baseline(
    fold: SeriesFold, hours: HourTable, hour: datetime, settings: BaselineSettings
) -> SeriesFold:
    """The series with the baseline of an hour; a fall that goes on is no part of what it is held against."""
    state = fold.state
    excluded = state.excluded
    if state.fall is not None:
        excluded = (*excluded, Span(state.fall.onset, hour + HOUR))
    found = baseline_at(hour, hours, settings, excluded=excluded, since=state.baseline_since)
    if isinstance(found, WarmingUp):
        return replace(fold, baseline=None, warming=found, baseline_hour=hour)
    return replace(fold, baseline=found, warming=None, baseline_hour=hour)


def _joined(known: Iterable[MinuteScores], fresh: Iterable[MinuteScores]) -> tuple[MinuteScores, ...]:
    """Minutes with scores, rising; of one that is in both, the fresh one."""
    joined = {minute.minute: minute for minute in (*known, *fresh) if minute.n}
    return tuple(joined[at] for at in sorted(joined))


def _trimmed(fold: SeriesFold, closed: datetime, settings: DropSettings) -> SeriesFold:
    """The series without minutes that no drop will be told from any more."""
    window = window_before(closed, fold.recent, settings)
    first = window[0].minute if window else closed - timedelta(minutes=settings.max_minutes)
    return replace(fold, recent=tuple(minute for minute in fold.recent if minute.minute >= first))
