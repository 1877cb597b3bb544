"""A series run after run, as the job does it, against one run over all that was stored."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np

from evalworker.drift.baseline import HOUR, hour_of
from evalworker.drift.fold import HourRow, SeriesFold, advanced, reach, refolded, with_minutes
from evalworker.drift.settings import DriftSettings
from harness.score_series import DAY, at_minute, series
from llmplatform.eval_series import JUDGE_BINS, MinuteScores

SETTINGS = DriftSettings()
NEVER = at_minute(1_000 * DAY)


@dataclass
class Kept:
    """One series and its rows, in memory."""

    fold: SeriesFold | None = None
    minutes: dict[datetime, MinuteScores] = field(default_factory=dict)
    hours: dict[datetime, HourRow] = field(default_factory=dict)
    went_back: int = 0
    read: int = 0

    def run(self, fresh: Iterable[MinuteScores], closed: datetime) -> None:
        """What the job does in a run."""
        brought = {minute.minute: minute for minute in fresh}
        self.minutes |= brought
        if self.fold is None and not brought:
            return
        fold, changed = with_minutes(self.fold or SeriesFold(began=NEVER), brought)
        if self.fold is not None and changed is None:
            forward = advanced(fold, closed, JUDGE_BINS, SETTINGS)
            if forward is not None:
                self.fold = forward
                return
        self.read += 1
        self.went_back += changed is not None
        as_of = fold.state.as_of
        self._refold(fold, None if as_of is None else min(as_of, changed or as_of), closed)

    def rebuilt(self, closed: datetime) -> "Kept":
        """The same from the first stored minute on."""
        fresh = Kept(minutes=self.minutes)
        fresh._refold(SeriesFold(began=NEVER), None, closed)
        return fresh

    def _refold(self, fold: SeriesFold, back_to: datetime | None, closed: datetime) -> None:
        before: Sequence[HourRow] = []
        if back_to is not None:
            hour = hour_of(back_to)
            first = hour - reach(SETTINGS.detector.baseline)
            before = [self.hours[at] for at in sorted(self.hours) if first <= at < hour]
            before = before or [self.hours[at] for at in sorted(self.hours) if at < hour][-1:]
        start = before[-1].scores.hour + HOUR if before else None
        minutes = [self.minutes[at] for at in sorted(self.minutes) if start is None or at >= start]
        found = refolded(fold, before, minutes, closed=closed, bins=JUDGE_BINS, settings=SETTINGS)
        self.fold = found.fold
        self.hours |= {row.scores.hour: row for row in found.hours}


def assert_same(one: Kept, other: Kept) -> None:
    assert one.fold is not None
    assert other.fold is not None
    assert one.fold.state == other.fold.state
    assert (one.fold.baseline, one.fold.warming) == (other.fold.baseline, other.fold.warming)
    assert one.fold.recent == other.fold.recent
    # an hour that is over but after which nothing was folded has no row yet, in neither
    assert one.hours == other.hours


def every(minutes: Sequence[MinuteScores], step: int) -> Iterable[tuple[list[MinuteScores], datetime]]:
    for at in range(0, len(minutes), step):
        yield list(minutes[at : at + step]), at_minute(at + step)


def partly(minute: MinuteScores, of: int) -> MinuteScores:
    """The minute before the last of its results had come."""
    counts = list(minute.counts)
    counts[next(at for at, count in enumerate(counts) if count)] -= 1
    left = sum(counts) / of
    return replace(minute, n=sum(counts), counts=tuple(counts), weight=minute.weight * left)


def test_a_fall_run_by_run_is_the_state_of_one_run_over_all() -> None:
    kept = Kept()
    minutes = series(9 * DAY, 2_000, fall=lambda index: 1.0 if index > 8 * DAY + 90 else 0.0)
    statuses = []
    for fresh, closed in every(minutes, 7):
        kept.run(fresh, closed)
        assert kept.fold is not None
        statuses.append(kept.fold.state.status)
    changes = [after for before, after in pairwise(statuses) if before != after]
    assert changes == ["steady", "fallen"]
    assert kept.went_back == 0
    assert_same(kept, kept.rebuilt(at_minute(len(minutes) // 7 * 7 + 7)))


def test_most_runs_need_nothing_that_was_stored() -> None:
    kept = Kept()
    minutes = series(2 * DAY, 2_000)
    for fresh, closed in every(minutes, 1):
        kept.run(fresh, closed)
    assert kept.read <= 2 * 24 + 3


def test_late_results_lead_to_the_state_of_one_run_over_all() -> None:
    rng = np.random.default_rng(5)
    minutes = series(8 * DAY, 4_000, fall=lambda index: 1.2 if index > 7 * DAY + 600 else 0.0)
    kept, late = Kept(), []
    for fresh, closed in every(minutes, 11):
        brought = []
        for minute in fresh:
            lag = int(rng.integers(2, 3_000))
            if minute.n > 1 and rng.random() < 0.004:  # the rest of it comes later
                late.append((minute.minute + timedelta(minutes=lag), minute))
                brought.append(partly(minute, minute.n))
            elif minute.n and rng.random() < 0.004:  # all of it does
                late.append((minute.minute + timedelta(minutes=lag), minute))
            else:
                brought.append(minute)
        brought += [minute for at, minute in late if at < closed]
        late = [(at, minute) for at, minute in late if at >= closed]
        kept.run(brought, closed)
    assert kept.went_back > 25
    end = at_minute(len(minutes) + 11)
    kept.run([minute for _, minute in late], end)
    assert kept.fold is not None
    assert kept.fold.state.status == "fallen"
    assert_same(kept, kept.rebuilt(end))
    complete = Kept(minutes={minute.minute: minute for minute in minutes if minute.n})
    assert_same(kept, complete.rebuilt(end))


def test_what_is_brought_again_unchanged_changes_nothing() -> None:
    kept = Kept()
    minutes = series(DAY, 4_000)
    for fresh, closed in every(minutes, 5):
        kept.run(fresh, closed)
    before = kept.fold
    kept.run([minute for minute in minutes[-30:] if minute.n], at_minute(DAY))
    assert kept.fold == before
    assert kept.went_back == 0


def test_minutes_that_may_not_be_complete_yet_wait() -> None:
    kept = Kept()
    minutes = [minute for minute in series(60, 100_000) if minute.n]
    kept.run(minutes, at_minute(30))
    assert kept.fold is not None
    assert kept.fold.state.as_of == at_minute(29)
    assert kept.fold.latest == at_minute(59)
    kept.run([], at_minute(60))
    assert kept.fold.state.as_of == at_minute(59)


def test_a_pause_of_weeks_is_no_different_from_one_run_over_all() -> None:
    kept = Kept()
    first = series(3 * DAY, 2_000)
    for fresh, closed in every(first, 30):
        kept.run(fresh, closed)
    later = [
        replace(minute, minute=minute.minute + timedelta(days=20)) for minute in series(DAY, 2_000, seed=2)
    ]
    for at in range(0, len(later), 30):
        kept.run(later[at : at + 30], later[min(at + 30, len(later) - 1)].minute)
    end = later[-1].minute + timedelta(minutes=1)
    kept.run([], end)
    assert_same(kept, kept.rebuilt(end))
