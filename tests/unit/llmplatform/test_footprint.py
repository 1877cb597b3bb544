"""What watching takes, and how many series it makes."""

from llmplatform.evaluations import DIMENSIONS
from llmplatform.footprint import score_series, series_of
from llmplatform.metrics import COST_METRICS, EVAL_METRICS, INFERENCE_METRICS, PIPELINE_METRICS


def test_each_metric_is_a_series_for_each_set_of_its_dimensions() -> None:
    ours = (*INFERENCE_METRICS, *PIPELINE_METRICS, *COST_METRICS)
    assert series_of(lambda _: 1) == sum(len(metric.dimension_sets) for metric in ours)


def test_a_dimension_set_that_does_not_occur_makes_no_series() -> None:
    by_tenant = series_of(lambda dimensions: 50 if dimensions == ("tenant_id",) else 0)
    having = [metric for metric in COST_METRICS if ("tenant_id",) in metric.dimension_sets]
    assert by_tenant % 50 == 0
    assert by_tenant >= 50 * len(having) > 0


def test_scores_have_a_series_for_each_metric_but_the_rare_one() -> None:
    assert score_series(50 * 3 * len(DIMENSIONS)) == 750 * (len(EVAL_METRICS) - 1)
