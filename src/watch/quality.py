"""What the drift job says of a tenant's quality: the mean of judged scores, and whether any fell. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from llmplatform.eval_status import Look, SeriesStatus
from llmplatform.evaluations import BERTSCORE

Detector = Literal["fallen", "steady", "warming up"]
Statuses = tuple[SeriesStatus, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """How the scores of some tenants stand."""

    by_tenant: Mapping[str, Statuses | None]
    """None for a row that is none of the drift job's; a tenant that it never looked at has no series."""
    read_at: datetime
    failed: str = ""
    """Why it could not be read just now; what is said is then as of `read_at`."""
    looks: Mapping[str, Look | None] = field(default_factory=dict)
    """When the job looked at a tenant, and what it missed there; None where it does not say."""


@dataclass(frozen=True, slots=True)
class Quality:
    """A tenant's, over its models and dimensions."""

    mean: float | None
    """Of the judged dimensions of all models, each as of its latest scores; 1 to 5."""
    detector: Detector | None
    """The worst of its series; None without any."""
    fallen: int
    series: int


def current(statuses: Iterable[SeriesStatus]) -> list[SeriesStatus]:
    """One for a model and dimension: those that are published."""
    return [status for status in statuses if status.current]


def mean_now(status: SeriesStatus) -> float | None:
    """The mean of the latest scores: as far below the baseline as the job says. None while unknown."""
    if status.baseline_mean is None or status.drop_percent is None:
        return None
    return status.baseline_mean * (1 - status.drop_percent / 100)


def detector_of(status: SeriesStatus) -> Detector:
    """How it stands, in words."""
    return "warming up" if status.status == "warming_up" else status.status


def quality_of(statuses: Sequence[SeriesStatus]) -> Quality:
    """All of it in one line."""
    series = current(statuses)
    means = [
        mean
        for status in series
        if status.series.dimension != BERTSCORE and (mean := mean_now(status)) is not None
    ]
    fallen = sum(status.status == "fallen" for status in series)
    detector: Detector | None = None
    if fallen:
        detector = "fallen"
    elif any(status.status == "steady" for status in series):
        detector = "steady"
    elif series:
        detector = "warming up"
    return Quality(sum(means) / len(means) if means else None, detector, fallen, len(series))
