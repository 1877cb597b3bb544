from datetime import timedelta
from typing import Any

from llmplatform.eval_status import SeriesStatus
from llmplatform.evaluations import BERTSCORE
from llmplatform.testing import START
from watch.quality import quality_of


def status(model: str = "small", dimension: str = "relevance", **fields: Any) -> SeriesStatus:
    known: dict[str, Any] = {
        "status": "steady",
        "current": True,
        "began": START - timedelta(days=8),
        "latest": START,
        "baseline_mean": 4.0,
        "drop_percent": 10.0,
    }
    return SeriesStatus(key=f"acme#{model}#{dimension}#0123", **{**known, **fields})


def test_the_mean_is_of_the_latest_scores_of_judged_dimensions_that_are_published() -> None:
    told = quality_of(
        [
            status(),
            status(dimension="safety", drop_percent=0.0),
            status(dimension=BERTSCORE, baseline_mean=0.9, drop_percent=0.0),
            status(dimension="tone", current=False, baseline_mean=1.0),
            status(dimension="style", baseline_mean=None, drop_percent=None, status="warming_up"),
        ]
    )
    assert told.mean == (3.6 + 4.0) / 2
    assert (told.detector, told.fallen, told.series) == ("steady", 0, 4)


def test_one_series_that_fell_is_what_is_told() -> None:
    told = quality_of([status(), status(dimension="safety", status="fallen")])
    assert (told.detector, told.fallen, told.series) == ("fallen", 1, 2)


def test_no_series_is_unknown() -> None:
    told = quality_of([])
    assert (told.mean, told.detector) == (None, None)
