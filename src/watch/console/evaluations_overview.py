"""Evaluations of all tenants as tables: how scores stand by tenant and model, workers, what is parked. Pure.

Means are of the minutes that the drift job keeps, weighted as they are there. Over a long time, or for very
many series, that would be too much to read for a page: then they are CloudWatch's, which are not weighted and
do not tell judges apart, and the table says so.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote, urlencode

from llmplatform import metrics as ours
from llmplatform.eval_heartbeat import SILENT_AFTER, Heartbeat
from llmplatform.eval_series import Series
from llmplatform.eval_status import Look, SeriesStatus
from llmplatform.evaluations import BERTSCORE, DIMENSIONS, JUDGE_DIMENSIONS
from llmplatform.policy import TenantPolicy
from watch.console.panel_charts import whole_of
from watch.console.tables import Cell, Column, Row, State, Table
from watch.console.timerange import TimeRange
from watch.evaluations.reaches import Reach, reaches_of, total
from watch.evaluations.standing import NoScores, Word, lacking, told_of, worst_of
from watch.metric_queries import Figures, Wanted
from watch.quality import Standing, current
from watch.reading.calibrations import Calibration
from watch.reading.evaluating import Parked
from watch.tables.readings import read

MOST_MINUTES: Final = 60_000
MOST_SERIES: Final = 200
MINUTES_UP_TO: Final = timedelta(hours=24)
STATES: Final[Mapping[Word, State]] = {
    "fallen": "critical",
    "dropped": "warning",
    "steady": "ok",
    "warming up": "muted",
    "an earlier epoch": "muted",
}
TITLES: Final = {
    **{name: name.replace("_", " ").capitalize() for name in DIMENSIONS},
    "absence_of_hallucination": "No hallucination",
    BERTSCORE: "BERTScore F1",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over the time of a page, and the answers that it rests on."""

    value: float | None
    n: int | None


Means = Mapping[Series, Figure]
Judges = Mapping[str, Calibration | str | None]
"""By identity: the last calibration, None where there never was one, "" where it cannot be read."""


@dataclass(frozen=True, slots=True)
class OverviewRead:
    """What was read for the table."""

    means: Means | None
    """None where they cannot be read."""
    judges: Judges
    none_of: Mapping[str, NoScores]
    """By tenant, why it may have no scores."""


@dataclass(frozen=True, slots=True)
class EvaluationsOverview:
    """What is asked for, and the table of what was told."""

    tenants: Sequence[TenantPolicy]
    standing: Standing
    range_: TimeRange

    @property
    def by_minutes(self) -> bool:
        """Whether minutes are read; metrics otherwise."""
        reaches = self.reaches
        return (
            self.range_.span <= MINUTES_UP_TO
            and len(reaches) <= MOST_SERIES
            and total(reaches) <= MOST_MINUTES
        )

    @property
    def reaches(self) -> tuple[Reach, ...]:
        """The minutes of all series that scores come from now."""
        return reaches_of(self._series(), self.range_.first, self.range_.end)

    @property
    def judges(self) -> list[str]:
        """The judges that score now."""
        return sorted(
            {one.series.epoch for one in self._series() if one.series.dimension in JUDGE_DIMENSIONS}
        )

    def wants(self) -> Iterator[Wanted]:
        """The metrics that stand in for minutes."""
        for status in self._series():
            for statistic in ("Average", "SampleCount"):
                yield _wanted(status.series, statistic, self.range_)

    def means_of(self, figures: Figures) -> Means:
        """The means that metrics tell."""
        means = {}
        for status in self._series():
            average, count = (
                figures.of(wanted.series, wanted.span).only
                for wanted in (
                    _wanted(status.series, statistic, self.range_) for statistic in ("Average", "SampleCount")
                )
            )
            means[status.series] = Figure(average, None if count is None else round(count))
        return means

    def table(self, told: OverviewRead) -> Table:
        """A row for each tenant and model."""
        rows: list[Row] = []
        for policy in self.tenants:
            statuses = self.standing.by_tenant.get(policy.tenant_id)
            look = self.standing.looks.get(policy.tenant_id)
            by_model: dict[str, list[SeriesStatus]] = {}
            for status in current(statuses or ()):
                by_model.setdefault(status.series.model_id, []).append(status)
            rows += [self._row(policy, look, model, found, told) for model, found in sorted(by_model.items())]
            if not by_model:
                why = None if statuses is None else told.none_of[policy.tenant_id]
                rows.append(self._row_of_none(policy, look, why))
        return Table(
            caption=f"Scores by tenant and model, {self.range_.told}",
            name="scores",
            columns=_COLUMNS,
            rows=rows,
            rests_on=self._rests_on(told.means),
            empty="There are no tenants yet: `llm-platform tenant add` makes one.",
        )

    def _row(
        self,
        policy: TenantPolicy,
        look: Look | None,
        model: str,
        statuses: Sequence[SeriesStatus],
        told: OverviewRead,
    ) -> Row:
        means = told.means or {}
        found = {status.series.dimension: means.get(status.series) for status in statuses}
        of_judge = [status for status in statuses if status.series.dimension in JUDGE_DIMENSIONS]
        fallen = {status.series.dimension for status in statuses if status.status == "fallen"}
        return {
            "tenant": Cell(
                policy.tenant_id, href=self._page(policy.tenant_id), title=policy.display_name or None
            ),
            "model": Cell(model, href=self._page(policy.tenant_id, model)),
            "state": state_cell(statuses),
            **{
                dimension: Cell(
                    None if figure is None else figure.value,
                    state="critical" if dimension in fallen else None,
                )
                for dimension, figure in found.items()
            },
            "n": _most(found.get(dimension) for dimension in JUDGE_DIMENSIONS),
            "n_bertscore": _most([found.get(BERTSCORE)]),
            "drop": drop_cell(statuses),
            "missing": missing_cell(look),
            **_judge_cells(of_judge, told.judges),
            "latest": max(status.latest for status in statuses),
        }

    def _row_of_none(self, policy: TenantPolicy, look: Look | None, why: NoScores | None) -> Row:
        """Of a tenant without series; `why` is None where its row cannot be read."""
        if why is None:
            told = Cell("cannot be read", state="critical")
        else:
            told = Cell("no scores", state="muted", note=why.why)
        return {
            "tenant": Cell(policy.tenant_id, href=self._page(policy.tenant_id)),
            "state": told,
            "missing": missing_cell(look),
        }

    def _series(self) -> list[SeriesStatus]:
        return [
            status
            for policy in self.tenants
            for status in current(self.standing.by_tenant.get(policy.tenant_id) or ())
        ]

    def _page(self, tenant_id: str, model: str | None = None) -> str:
        query = {**self.range_.query, **({"model": model} if model is not None else {})}
        return f"/evaluations/{quote(tenant_id, safe='')}?{urlencode(query)}"

    def _rests_on(self, means: Means | None) -> str:
        if means is None:
            return "no means: they cannot be read now"
        if self.by_minutes:
            return "the minutes of each series, weighted by sample rate"
        return (
            "CloudWatch's eval_score, since this is too much to read by the minute: single answers, "
            "not weighted, whichever judge scored them"
        )


def title_of(dimension: str) -> str:
    """A dimension as people call it."""
    return TITLES.get(dimension, dimension)


def state_cell(statuses: Sequence[SeriesStatus]) -> Cell:
    """The worst that the detector says of some series, and of which."""
    worst = worst_of(statuses)
    if not worst:
        return Cell(None)
    told = told_of(worst[0])
    names = ", ".join(title_of(one.series.dimension) for one in worst)
    if told.word == "warming up":
        most = max(worst, key=lambda one: (one.missing_samples or 0, one.missing_hours or 0))
        note = f"lacks {lacking(most)}" if lacking(most) else None
    else:
        note = None if len(worst) == len(statuses) else names
    text: str = told.word
    if told.word == "fallen" and worst[0].fall is not None:
        text = f"fallen since {min(one.fall.onset for one in worst if one.fall):%m-%d %H:%M} UTC"
    return Cell(text, state=STATES[told.word], note=note)


def drop_cell(statuses: Iterable[SeriesStatus]) -> Cell:
    """How far the latest scores are below the baseline, of the series that is furthest."""
    known = [(one.drop_percent, one) for one in statuses if one.drop_percent is not None]
    if not known:
        return Cell(None)
    drop, status = max(known, key=lambda pair: pair[0])
    return Cell(drop, state="warning" if status.dropped else None)


def missing_cell(look: Look | None) -> Cell:
    """Whether a tenant's scores are missing, and the stage that they get lost at."""
    if look is None:
        return Cell(None, title="the drift job has not looked yet")
    if look.missing_stage is None:
        return Cell("no", state="ok")
    return Cell(look.missing_stage, href="/runbooks/scores-missing", state="critical")


def calibration_cell(calibration: Calibration | str | None) -> Cell:
    """Whether people agreed with a judge when last asked."""
    match calibration:
        case None:
            return Cell("never", state="warning")
        case str():
            return Cell(None, title="cannot be read now")
        case Calibration(at, True):
            return Cell("agrees with people", state="ok", note=f"{at:%Y-%m-%d}")
        case Calibration(at, _):
            return Cell("people did not agree", state="warning", note=f"{at:%Y-%m-%d}")


def workers_table(workers: Iterable[Heartbeat], now: datetime) -> Table:
    """What each worker last said, totals since its start."""
    rows: list[Row] = [
        {
            "worker": beat.worker,
            "state": Cell("silent", state="warning")
            if now - beat.at > SILENT_AFTER
            else Cell("at work", state="ok"),
            "at": beat.at,
            "lag": beat.lag_s,
            "read": beat.read,
            "scored": beat.scored,
            "known": beat.known,
            "skipped": Cell(sum(beat.skipped.values()), note=_reasons(beat.skipped)),
            "parked": Cell(
                sum(beat.parked.values()),
                note=_reasons(beat.parked),
                state="warning" if beat.parked else None,
            ),
            "unfinished": beat.unfinished,
            "judge_failed": Cell(sum(beat.judge_failed.values()), note=_reasons(beat.judge_failed)),
            "started": beat.started_at,
        }
        for beat in workers
    ]
    return Table(
        caption="Workers, of all tenants, since each one's start",
        name="workers",
        columns=(
            Column("worker", "Worker"),
            Column("state", "State"),
            Column("at", "Last seen", "time"),
            Column("lag", "Lag", "seconds", "Age of the oldest sample that waits."),
            Column("read", "Read", "number"),
            Column("scored", "Scored", "number"),
            Column("known", "Scored before", "number", "Came a second time; no second verdict was bought."),
            Column("skipped", "Skipped", "number"),
            Column("parked", "Parked", "number"),
            Column("unfinished", "Brought again", "number", "A judge or a store did not answer."),
            Column("judge_failed", "Judge failed", "number"),
            Column("started", "Started", "time"),
        ),
        rows=rows,
        empty="No worker has told of itself within two days: `llm-platform doctor` says what is missing.",
    )


def parked_table(parked: Iterable[Parked]) -> Table:
    """Records that cannot be evaluated, by the day that they arrived on."""
    rows: list[Row] = [
        {
            "day": f"{one.day:%Y-%m-%d}",
            "reason": one.reason,
            "records": Cell(one.records, note="at least" if one.more else None),
            "latest": one.latest,
        }
        for one in parked
    ]
    return Table(
        caption="Put aside, of the records that the stream still has",
        name="parked",
        columns=(
            Column("day", "Arrived on"),
            Column("reason", "Reason"),
            Column("records", "Records", "number"),
            Column("latest", "Last put aside", "time"),
        ),
        rows=rows,
        empty="Nothing was put aside in the last 8 days.",
    )


_COLUMNS: Final = (
    Column("tenant", "Tenant"),
    Column("model", "Model"),
    Column("state", "Detector", help="Whether scores have fallen, beyond chance; the worst dimension."),
    Column("missing", "Scores missing", help="Where they get lost, as the watchdog says."),
    *(Column(name, TITLES[name], "score", "Weighted mean, 1 to 5.") for name in JUDGE_DIMENSIONS),
    Column(BERTSCORE, TITLES[BERTSCORE], "score", "Likeness to the reference answer, at most 1."),
    Column("n", "Answers judged", "number"),
    Column("n_bertscore", "With a reference", "number", "Answers with a BERTScore."),
    Column("drop", "Below the week before", "percent", "The dimension furthest below; minus is above."),
    Column("judge", "Judge", help="Its identity: another one is another epoch."),
    Column("judge_since", "Judge since", "time"),
    Column("calibration", "Calibration", help="Whether people agreed with the judge when last asked."),
    Column("latest", "Last scored", "time"),
)


def _judge_cells(statuses: Sequence[SeriesStatus], judges: Judges) -> dict[str, Cell | str | datetime]:
    epochs = sorted({status.series.epoch for status in statuses})
    if not epochs:
        return {}
    began = max(status.began for status in statuses)
    if len(epochs) > 1:
        return {"judge": Cell(", ".join(epochs), note="they take turns"), "judge_since": began}
    return {
        "judge": epochs[0],
        "judge_since": began,
        "calibration": calibration_cell(judges.get(epochs[0], "")),
    }


def _most(figures: Iterable[Figure | None]) -> int | None:
    return max((one.n for one in figures if one is not None and one.n is not None), default=None)


def _reasons(counts: Mapping[str, int]) -> str | None:
    told = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    if len(told) == 1:
        return told[0][0]
    return ", ".join(f"{reason} {count:,}" for reason, count in told if count) or None


def _wanted(series: Series, statistic: str, range_: TimeRange) -> Wanted:
    reading = read(
        ours.EVAL_SCORE,
        statistic,
        tenant_id=series.tenant_id,
        model_id=series.model_id,
        eval_dimension=series.dimension,
    )
    return Wanted(reading.series({}), whole_of(range_))
