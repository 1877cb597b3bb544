"""The drift job's story: what happens every minute, from top to bottom.

For each tenant: what was judged since the last run says which minutes of which series changed; these minutes
are made anew from all of their results; the detector takes in what is old enough, and goes back where a
minute changed that it had seen; what it says is kept and published. A run that is repeated writes the same,
and one that another has overtaken writes nothing.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from evalworker.drift.baseline import HOUR, hour_of
from evalworker.drift.fold import HourRow, SeriesFold, advanced, reach, refolded, with_minutes
from evalworker.drift.publish import current_epochs, missing_line, published_series, score_lines, statuses_of
from evalworker.drift.rows import TenantDrift, Watched, decode_tenant, encode_tenant, known_series
from evalworker.drift.series import Minutes, minutes_of, ranges_of, touched_by
from evalworker.drift.settings import DriftSettings
from evalworker.drift.store import DriftStore, Superseded
from evalworker.drift.traffic import TrafficReader
from evalworker.drift.watchdog import Traffic, expects_scores, stage_of
from llmplatform.aws.eval_reader import RETENTION, JudgedScores
from llmplatform.emf import encode_figures
from llmplatform.errors import TelemetryFault
from llmplatform.eval_series import MinuteScores, Series, encode_minute, minute_of
from llmplatform.metrics import AVAILABILITY, DRIFT, PIPELINE
from llmplatform.policy import TenantPolicy
from llmplatform.redaction import describe_fault
from llmplatform.sinks import Sink

logger = logging.getLogger(__name__)

COMPONENT: Final = DRIFT


@dataclass(frozen=True, slots=True)
class EpochBegun:
    """Scores of another judge or scorer began. They are not compared with those of the one before."""

    series: Series
    before: str
    """The epoch that scores came from until now."""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """A series is in another state than at the end of the last run."""

    series: Series
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class TenantReport:
    """What a run did for one tenant."""

    tenant_id: str
    outcome: Literal["done", "superseded", "failed"]
    judged: int = 0
    """Results read, those of the overlap among them."""
    caught_up: bool = True
    """False where there was more to read than one run reads."""
    minutes: int = 0
    """Rows of minutes written."""
    refolded: int = 0
    """Series that went back to an earlier hour."""
    series: int = 0
    """Series that are published."""
    unpublished: int = 0
    """Series over the limit."""
    changed: tuple[StateChanged, ...] = ()
    epochs: tuple[EpochBegun, ...] = ()
    missing: str | None = None
    """The stage at which scores get lost."""


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What a run did."""

    at: datetime
    tenants: tuple[TenantReport, ...]

    @property
    def complete(self) -> bool:
        """Whether every tenant was seen to, by this run or by one that overtook it."""
        return all(tenant.outcome != "failed" for tenant in self.tenants)

    @property
    def series(self) -> int:
        """How many series are published."""
        return sum(tenant.series for tenant in self.tenants)


@dataclass(frozen=True, slots=True)
class _Folded:
    """A series after a run."""

    series: Series
    fold: SeriesFold
    went_back: bool


def unavailable(now: datetime) -> bytes:
    """The line that says that nothing could be looked at."""
    return _availability(now, available=False)


def _availability(now: datetime, *, available: bool) -> bytes:
    return encode_figures(now, PIPELINE, {"component": COMPONENT}, {AVAILABILITY.name: int(available)})


async def run_once(
    store: DriftStore,
    traffic: TrafficReader,
    policies: Iterable[TenantPolicy],
    lines: Sink[bytes],
    *,
    now: datetime,
    settings: DriftSettings,
    rebuild: bool = False,
) -> DriftReport:
    """Bring every tenant's series up to `now` and publish how they stand.

    With `rebuild` every series is folded again from its first stored minute on. Never raises but for
    cancellation: a tenant that fails is in the report, and the others go on.
    """
    run = _Run(store, traffic, lines, now=now, settings=settings, rebuild=rebuild)
    places = asyncio.Semaphore(settings.tenants_at_once)

    async def in_turn(policy: TenantPolicy) -> TenantReport:
        async with places:
            return await run.guarded(policy)

    report = DriftReport(now, tuple(await asyncio.gather(*map(in_turn, policies))))
    lines.accept(_availability(now, available=report.complete))
    return report


class _Run:
    """One run over all tenants."""

    def __init__(
        self,
        store: DriftStore,
        traffic: TrafficReader,
        lines: Sink[bytes],
        *,
        now: datetime,
        settings: DriftSettings,
        rebuild: bool,
    ) -> None:
        self._store = store
        self._traffic = traffic
        self._lines = lines
        self._now = now
        self._settings = settings
        self._rebuild = rebuild
        self._closed = minute_of(now - settings.settle)
        """Minutes before this one are the detector's."""

    async def guarded(self, policy: TenantPolicy) -> TenantReport:
        """What was done for a tenant, whatever befell."""
        try:
            report = await self._tenant(policy)
        except Superseded:
            return TenantReport(policy.tenant_id, "superseded")
        except Exception as fault:  # noqa: BLE001  # whatever it is, the other tenants go on
            logger.error("drift of tenant %s: %s", policy.tenant_id, describe_fault(fault))  # noqa: TRY400
            return TenantReport(policy.tenant_id, "failed")
        _tell(report)
        return report

    async def _tenant(self, policy: TenantPolicy) -> TenantReport:
        tenant_id = policy.tenant_id
        claim = await self._store.claim(tenant_id)
        kept, known = self._kept(await self._store.tenant(tenant_id))
        judged, caught_up = await self._judged(tenant_id, kept)
        fresh = await self._made_anew(tenant_id, judged)
        written = await self._write(fresh)
        before = {Series.of(key): fold for key, fold in kept.folds.items()}
        folded = await self._folded(claim, before, fresh, known)
        folds = {
            one.series: one.fold for one in folded if self._now - one.fold.latest <= self._settings.keep_for
        }
        last_judged_at = max(
            [*(scores.judged_at for scores in judged), *_some(kept.last_judged_at)], default=None
        )
        watched = await self._watched(policy, last_judged_at, kept.watched)
        statuses = statuses_of(folds, self._closed, self._settings)
        drift = TenantDrift(
            judged_through=self._now if caught_up else judged[-1].judged_at,
            last_judged_at=last_judged_at,
            watched=watched,
            folds={series.key: fold for series, fold in folds.items()},
        )
        await self._store.put(encode_tenant(tenant_id, drift, statuses, claim, self._now), claim)

        epochs = self._epochs_begun(before, folds)
        published, unpublished = published_series(folds, self._now, self._settings)
        by_series = {status.series: status for status in statuses}
        begun = frozenset(epoch.series for epoch in epochs)
        for line in score_lines(self._now, by_series, published, begun):
            self._lines.accept(line)
        stage = watched.stage if watched is not None else None
        self._lines.accept(missing_line(self._now, tenant_id, stage))
        return TenantReport(
            tenant_id,
            "done",
            judged=len(judged),
            caught_up=caught_up,
            minutes=written,
            refolded=sum(one.went_back for one in folded),
            series=len(published),
            unpublished=unpublished,
            changed=_changes(before, folds),
            epochs=epochs,
            missing=stage,
        )

    def _kept(self, item: Mapping[str, Any] | None) -> tuple[TenantDrift, Sequence[Series]]:
        """What the last run kept, and the series to fold from the beginning."""
        if item is None:
            return TenantDrift(), ()
        if not self._rebuild:
            return decode_tenant(item), ()
        try:
            kept = decode_tenant(item)
        except TelemetryFault:  # of another version: all results are read again
            kept = TenantDrift()
        return replace(kept, folds={}), known_series(item)

    async def _judged(self, tenant_id: str, kept: TenantDrift) -> tuple[list[JudgedScores], bool]:
        """What was judged since the last run, a little of what it has seen among it."""
        overlap = self._settings.overlap
        through = kept.judged_through or self._now - RETENTION
        return await self._store.judged(
            tenant_id, through - overlap, at_most=self._settings.max_judged, past=through
        )

    async def _made_anew(self, tenant_id: str, judged: Sequence[JudgedScores]) -> Minutes:
        """All minutes that these results belong to, each from all of its results."""
        touched = touched_by(judged)
        made: dict[Series, dict[datetime, MinuteScores]] = {}
        for start, end in ranges_of(touched):
            results = [scores async for scores in self._store.results(tenant_id, start, end)]
            for series, minutes in minutes_of(results, touched).items():
                made.setdefault(series, {}).update(minutes)
        return made

    async def _write(self, fresh: Minutes) -> int:
        rows = [encode_minute(series, scores) for series, of in fresh.items() for scores in of.values()]
        await self._store.write_minutes(rows)
        return len(rows)

    async def _folded(
        self, claim: int, before: Mapping[Series, SeriesFold], fresh: Minutes, known: Iterable[Series]
    ) -> list[_Folded]:
        """Every series after this run."""
        return [
            await self._fold(claim, series, before.get(series), fresh.get(series, {}))
            for series in sorted({*before, *fresh, *known})
        ]

    async def _fold(
        self,
        claim: int,
        series: Series,
        kept: SeriesFold | None,
        fresh: Mapping[datetime, MinuteScores],
    ) -> _Folded:
        """One series: forward where that is all there is to do, else from an earlier hour."""
        fold, changed = with_minutes(kept or SeriesFold(began=self._now), fresh)
        if kept is not None and changed is None:
            forward = advanced(fold, self._closed, series.bins, self._settings)
            if forward is not None:
                return _Folded(series, forward, went_back=False)
        as_of = fold.state.as_of
        back_to = None if as_of is None else min(as_of, changed or as_of)
        found = await self._refolded(claim, series, fold, back_to)
        return _Folded(series, found, went_back=changed is not None)

    async def _refolded(
        self, claim: int, series: Series, fold: SeriesFold, back_to: datetime | None
    ) -> SeriesFold:
        """A series folded again from the hour of a minute on, or from its beginning; its hours are kept."""
        hours: list[HourRow] = []
        if back_to is not None:
            hours = await self._store.hours_before(
                series, hour_of(back_to), reach(self._settings.detector.baseline)
            )
        start = hours[-1].scores.hour + HOUR if hours else None
        minutes = await self._store.minutes(series, start, self._now)
        found = refolded(
            fold,
            hours,
            minutes,
            closed=self._closed,
            bins=series.bins,
            settings=self._settings,
        )
        await self._store.write_hours(series, found.hours, claim)
        return found.fold

    async def _watched(
        self, policy: TenantPolicy, last_judged_at: datetime | None, watched: Watched | None
    ) -> Watched | None:
        """What the watchdog says; None where there are scores. The ledger is read now and then only."""
        rules = self._settings.watchdog
        since = self._now - rules.window
        if not expects_scores(policy) or (last_judged_at is not None and last_judged_at >= since):
            return None
        if watched is not None and self._now - watched.checked_at < rules.check_every:
            return watched
        traffic = await self._traffic.traffic(policy.tenant_id, since, self._now - rules.grace)
        workers = () if traffic == Traffic() else await self._traffic.workers(self._now, within=rules.window)
        return Watched(self._now, stage_of(policy, traffic, workers, self._now, rules))

    def _epochs_begun(
        self, before: Mapping[Series, SeriesFold], after: Mapping[Series, SeriesFold]
    ) -> tuple[EpochBegun, ...]:
        """Epochs that have become the current one of a model and dimension that had another."""
        old = {
            (series.model_id, series.dimension): series.epoch
            for series in current_epochs(before, self._settings)
        }
        return tuple(
            EpochBegun(series, old[place])
            for series in sorted(current_epochs(after, self._settings))
            if old.get(place := (series.model_id, series.dimension), series.epoch) != series.epoch
        )


def _changes(
    before: Mapping[Series, SeriesFold], after: Mapping[Series, SeriesFold]
) -> tuple[StateChanged, ...]:
    return tuple(
        StateChanged(series, before[series].state.status, fold.state.status)
        for series, fold in sorted(after.items())
        if series in before and before[series].state.status != fold.state.status
    )


def _tell(report: TenantReport) -> None:
    """Log what people should hear of; no more than labels and states is in it."""
    for change in report.changed:
        told = logging.WARNING if change.after == "fallen" else logging.INFO
        logger.log(told, "scores %s: %s, was %s", change.series.key, change.after, change.before)
    for epoch in report.epochs:
        logger.warning(
            "scores %s: a new epoch; not compared with %s, its baseline starts anew",
            epoch.series.key,
            epoch.before,
        )
    if report.unpublished:
        logger.warning("tenant %s: %d series over the limit", report.tenant_id, report.unpublished)
    if report.missing is not None:
        logger.warning("tenant %s: scores missing, stage %s", report.tenant_id, report.missing)


def _some(moment: datetime | None) -> tuple[datetime, ...]:
    return () if moment is None else (moment,)
