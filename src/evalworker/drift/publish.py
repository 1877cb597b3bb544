"""How the series of a tenant stand, and the metrics that say so. Pure.

One epoch is published for a model and dimension: the one that scores come from now. Two judges are never
compared and never take turns in one metric.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from evalworker.drift.drop import Drop, drop_at
from evalworker.drift.fold import SeriesFold
from evalworker.drift.settings import DriftSettings
from llmplatform.emf import encode_figures
from llmplatform.eval_series import Series
from llmplatform.eval_status import FallStatus, SeriesStatus
from llmplatform.metrics import (
    EPOCH_CHANGED,
    EVAL_SCORES,
    PIPELINE,
    SCORE_DROP_PERCENT,
    SCORE_DROPPED,
    SCORE_FALLEN,
    SCORES_MISSING,
)

Folds = Mapping[Series, SeriesFold]

_PUBLISHED = {"warming_up": None, "steady": 0, "fallen": 1}


def current_epochs(folds: Folds, settings: DriftSettings) -> frozenset[Series]:
    """For each model and dimension the series that scores come from now.

    Of epochs that had scores about as lately as any, the one that began last: while workers are being
    replaced two judges score at once, and an old time that is judged anew never counts as now.
    """
    epochs: defaultdict[tuple[str, str], list[Series]] = defaultdict(list)
    for series in folds:
        epochs[series.model_id, series.dimension].append(series)
    current = set()
    for rivals in epochs.values():
        newest = max(folds[series].latest for series in rivals)
        alive = [series for series in rivals if newest - folds[series].latest <= settings.epoch_overlap]
        current.add(max(alive, key=lambda series: (folds[series].began, series)))
    return frozenset(current)


def published_series(folds: Folds, now: datetime, settings: DriftSettings) -> tuple[list[Series], int]:
    """The current series that had scores lately, and how many more there are than may be published.

    Those that had scores most lately come first.
    """
    live = [
        series
        for series in current_epochs(folds, settings)
        if now - folds[series].latest <= settings.publish_for
    ]
    live.sort(key=lambda series: (now - folds[series].latest, series))
    return live[: settings.max_published], max(len(live) - settings.max_published, 0)


def statuses_of(folds: Folds, closed: datetime, settings: DriftSettings) -> tuple[SeriesStatus, ...]:
    """How every series stands at `closed`, the end of the last minute that the detector was given."""
    current = current_epochs(folds, settings)
    return tuple(
        _status(series, folds[series], closed, settings, current=series in current)
        for series in sorted(folds)
    )


def score_lines(
    now: datetime,
    statuses: Mapping[Series, SeriesStatus],
    published: Sequence[Series],
    begun: frozenset[Series],
) -> Iterator[bytes]:
    """A line a published series; `begun` are epochs first seen in this run beside older ones."""
    for series in published:
        status = statuses[series]
        values = {
            SCORE_FALLEN.name: _PUBLISHED[status.status],
            SCORE_DROP_PERCENT.name: None if status.drop_percent is None else round(status.drop_percent, 3),
            SCORE_DROPPED.name: None if status.dropped is None else int(status.dropped),
            EPOCH_CHANGED.name: 1 if series in begun else None,
        }
        if any(value is not None for value in values.values()):
            dimensions = {
                "tenant_id": series.tenant_id,
                "model_id": series.model_id,
                "eval_dimension": series.dimension,
            }
            yield encode_figures(now, EVAL_SCORES, dimensions, values)


def missing_line(now: datetime, tenant_id: str, stage: str | None) -> bytes:
    """Whether a tenant's scores are missing, and where they get lost."""
    dimensions = {"tenant_id": tenant_id} if stage is None else {"tenant_id": tenant_id, "stage": stage}
    return encode_figures(now, PIPELINE, dimensions, {SCORES_MISSING.name: int(stage is not None)})


def _status(
    series: Series, fold: SeriesFold, closed: datetime, settings: DriftSettings, *, current: bool
) -> SeriesStatus:
    state, baseline, fall = fold.state, fold.baseline, fold.state.fall
    warming = fold.warming if state.status == "warming_up" else None
    drop = _drop(fold, closed, settings)
    return SeriesStatus(
        key=series.key,
        status=state.status,
        current=current,
        began=fold.began,
        latest=fold.latest,
        folded_to=state.as_of,
        missing_samples=warming.missing_samples if warming else None,
        missing_hours=warming.missing_hours if warming else None,
        baseline_mean=baseline.mean if baseline else None,
        baseline_samples=baseline.n if baseline else None,
        fall=FallStatus(fall.onset, fall.alarmed_at, fall.baseline_mean, fall.level) if fall else None,
        drop_percent=drop.percent if drop else None,
        dropped=drop.breached and drop.p_value <= settings.drop_chance if drop else None,
    )


def _drop(fold: SeriesFold, closed: datetime, settings: DriftSettings) -> Drop | None:
    if fold.baseline is None:
        return None
    return drop_at(closed, fold.recent, fold.baseline, settings.drop)
