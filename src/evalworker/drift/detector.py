"""Whether one series of scores has fallen: state, what a minute does to it, and what is worth an alarm. Pure.

    warming_up ──enough samples──▶ steady ──evidence of a fall──▶ fallen ──evidence of a rise──▶ steady
                                     ▲                               │
                                     └───────────── seven days at the new level ───────────────┘

Only falls alarm; a rise ends a fall and is nothing else. One fall is one event: while fallen, nothing is
sought but recovery, and deeper is not reported again. Evidence is that of `evidence.py`, against the
baseline of `baseline.py`. It has to reach `series * 43,200 / false_alarms_per_month`, so that over all
series of a tenant the expected number of false alarms in thirty days is at most `false_alarms_per_month`.

The same minutes give the same state, to the last bit, one at a time or all at once. Minutes that change
afterwards are the caller's: it goes back to a state that it kept and runs them again (`replay.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import log
from typing import Final, Literal, NamedTuple

import numpy as np

from evalworker.drift.baseline import Baseline, BaselineSettings, Span, WarmingUp
from evalworker.drift.evidence import (
    STAKES,
    Floats,
    advance,
    log_growth,
    log_payoffs,
    log_total,
    unit_values,
)
from llmplatform.eval_series import MinuteScores

Status = Literal["warming_up", "steady", "fallen"]

MINUTE: Final = timedelta(minutes=1)
MONTH_MINUTES: Final = 30 * 24 * 60
KEEP_EXCLUDED: Final = timedelta(days=30)
_EDGE = 1e-6
"""A reference is kept this far off both ends of the scale, where no bet is left to make."""


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """How rarely a detector may err, and what follows a fall."""

    series: int
    """How many series the tenant has: they share its false alarms."""
    false_alarms_per_month: float = 1.0
    """Of one tenant, over all its series, in thirty days, at most, expected."""
    accept_after: timedelta = timedelta(days=7)
    """A level that has lasted this long since its alarm is the normal one from then on."""
    baseline: BaselineSettings = field(default_factory=BaselineSettings)

    @property
    def log_threshold(self) -> float:
        """Natural logarithm of the evidence that is an event."""
        return log(max(self.series, 1) * MONTH_MINUTES / self.false_alarms_per_month)


@dataclass(frozen=True, slots=True)
class Fall:
    """A fall that was reported and has not ended. Values in points of the scale."""

    onset: datetime
    """About when it began: the first minute of the excursion that ended in the alarm."""
    alarmed_at: datetime
    baseline_mean: float
    level: float
    """Mean from onset to alarm; chance has a part in what raises an alarm, so the true fall is often less."""
    recovery_reference: float
    """Scores have to be proven above this: half way back, and never more than undoes the fall."""
    dispersion: float


@dataclass(frozen=True, slots=True)
class Excursion:
    """Minutes since the sum of scores last kept up with the reference: Page's CUSUM (1954) above 0."""

    onset: datetime
    n: int
    total: float
    shortfall: float
    """Points missing to the reference, over all `n` scores; points above it, while fallen."""

    def extended(self, n: int, total: float, shortfall: float) -> "Excursion | None":
        """With one more minute; None when that makes up for the shortfall."""
        shortfall += self.shortfall
        return Excursion(self.onset, self.n + n, self.total + total, shortfall) if shortfall > 0 else None


@dataclass(frozen=True, slots=True)
class DetectorState:
    """All that has to be kept of a series from one minute to the next."""

    warming: WarmingUp | None = None
    """What is missing for a baseline; None while there is one, or while fallen."""
    fall: Fall | None = None
    as_of: datetime | None = None
    """The last minute with scores that is in it."""
    log_evidence: tuple[float, ...] = ()
    """By stake; empty where nobody plays yet."""
    excursion: Excursion | None = None
    """What a change would consist of, if there was one."""
    excluded: tuple[Span, ...] = ()
    """Times of fallen scores, which no baseline may contain."""
    baseline_since: datetime | None = None
    """Since when the level that was last accepted has been there."""

    @property
    def status(self) -> Status:
        """The state in a word."""
        if self.fall is not None:
            return "fallen"
        return "steady" if self.warming is None and self.as_of is not None else "warming_up"


@dataclass(frozen=True, slots=True)
class Event:
    """A change of state that people should hear of: `fell` is the alarm, the others end it."""

    kind: Literal["fell", "recovered", "accepted"]
    at: datetime
    onset: datetime
    baseline_mean: float
    level: float


def run(
    state: DetectorState,
    minutes: Sequence[MinuteScores],
    baseline: Baseline | WarmingUp,
    bins: Sequence[float],
    settings: DetectorSettings,
) -> tuple[DetectorState, Event | None, int]:
    """The state after minutes under one baseline, up to and including the first event.

    Gives the state, the event, and how many minutes were taken in. Minutes rise; those without scores
    change nothing. A baseline that was taken with `state.excluded` and `state.baseline_since` is expected
    again after an event. Raises ValueError for a minute that is not later than those before.
    """
    taken = [at for at, minute in enumerate(minutes) if minute.n]
    kept = [minutes[at] for at in taken]
    for before, after in zip([state.as_of, *(minute.minute for minute in kept)], kept, strict=False):
        if before is not None and after.minute <= before:
            raise ValueError("minutes have to come in order")
    if not kept:
        return state, None, len(minutes)
    if state.fall is None and isinstance(baseline, WarmingUp):
        return _waiting(state, baseline, kept[-1].minute), None, len(minutes)
    state, event, count = _played(state, kept, baseline, bins, settings)
    return state, event, len(minutes) if event is None else taken[count - 1] + 1


def _waiting(state: DetectorState, missing: WarmingUp, minute: datetime) -> DetectorState:
    return DetectorState(
        warming=missing, as_of=minute, excluded=state.excluded, baseline_since=state.baseline_since
    )


def _played(
    state: DetectorState,
    minutes: Sequence[MinuteScores],
    baseline: Baseline | WarmingUp,
    bins: Sequence[float],
    settings: DetectorSettings,
) -> tuple[DetectorState, Event | None, int]:
    """`run` over minutes that all have scores, with something to bet against."""
    game = _game(state.fall, baseline, bins, settings)
    counts = np.array([minute.counts for minute in minutes], dtype=np.float64)
    growth = log_growth(counts, game.payoffs, game.dispersion)
    totals = (counts * np.asarray(bins)).sum(axis=1)
    shortfalls = game.direction * (totals - game.reference * counts.sum(axis=1))
    evidence = np.array(state.log_evidence or (-np.inf,) * STAKES.size)
    as_of, excursion = state.as_of, state.excursion
    rows = zip(minutes, growth, totals.tolist(), shortfalls.tolist(), strict=True)
    for taken, (minute, grown, total, shortfall) in enumerate(rows, start=1):
        if state.fall is not None and minute.minute - state.fall.alarmed_at >= settings.accept_after:
            return *_accepted(state.fall, minute.minute), taken
        entering = 1 if as_of is None else max((minute.minute - as_of) // MINUTE, 1)
        evidence = advance(evidence, log(entering), grown)
        as_of = minute.minute
        so_far = excursion or Excursion(as_of, 0, 0.0, 0.0)
        excursion = so_far.extended(minute.n, total, shortfall)
        if log_total(evidence) >= settings.log_threshold:
            last = excursion or Excursion(as_of, minute.n, total, shortfall)
            state, event = (
                _fallen(state, as_of, last, _known(baseline), game.reference)
                if state.fall is None
                else _recovered(state, state.fall, as_of, last)
            )
            return state, event, taken
    found = tuple(evidence.tolist())
    moved = replace(state, warming=None, as_of=as_of, log_evidence=found, excursion=excursion)
    return moved, None, len(minutes)


class _Game(NamedTuple):
    """What is played for: a fall below the reference, or a rise above it while fallen."""

    direction: int
    reference: float
    payoffs: Floats
    dispersion: Floats


def _game(
    fall: Fall | None, baseline: Baseline | WarmingUp, bins: Sequence[float], settings: DetectorSettings
) -> _Game:
    values = unit_values(bins)
    if fall is not None:
        reference, dispersion = fall.recovery_reference, fall.dispersion
    else:
        known = _known(baseline)
        reference, dispersion = known.reference(bins, settings.baseline), known.dispersion
    unit = np.clip(np.asarray((reference - bins[0]) / (bins[-1] - bins[0])), _EDGE, 1 - _EDGE)
    if fall is not None:
        return _Game(1, reference, log_payoffs(1 - unit, 1 - values), np.asarray(dispersion))
    return _Game(-1, reference, log_payoffs(unit, values), np.asarray(dispersion))


def _fallen(
    state: DetectorState, at: datetime, last: Excursion, known: Baseline, reference: float
) -> tuple[DetectorState, Event]:
    level = last.total / last.n
    half_way = min((known.binned_mean + level) / 2, reference)
    fall = Fall(last.onset, at, known.binned_mean, level, half_way, known.dispersion)
    fallen = replace(state, fall=fall, as_of=at, log_evidence=(), excursion=None)
    return fallen, Event("fell", at, last.onset, known.binned_mean, level)


def _recovered(
    state: DetectorState, fall: Fall, at: datetime, last: Excursion
) -> tuple[DetectorState, Event]:
    """Steady again, with the time between left out of baselines to come."""
    excluded = (*state.excluded, Span(fall.onset, at + MINUTE))
    kept = tuple(span for span in excluded if at - span.end < KEEP_EXCLUDED)
    steady = DetectorState(as_of=at, excluded=kept, baseline_since=state.baseline_since)
    return steady, Event("recovered", at, fall.onset, fall.baseline_mean, last.total / last.n)


def _accepted(fall: Fall, at: datetime) -> tuple[DetectorState, Event]:
    """A fallen level is taken for normal: what came before it is in no baseline any more."""
    fresh = DetectorState(as_of=at, baseline_since=fall.onset)
    return fresh, Event("accepted", at, fall.onset, fall.baseline_mean, fall.level)


def _known(baseline: Baseline | WarmingUp) -> Baseline:
    if isinstance(baseline, WarmingUp):
        raise TypeError("nothing to bet against while warming up")
    return baseline
