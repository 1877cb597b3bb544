from llmplatform.emf import MAX_DIMENSIONS_PER_SET, MAX_METRICS_PER_DIRECTIVE, RESOLUTIONS_S
from llmplatform.metrics import (
    COST_METRICS,
    EVAL_METRICS,
    INFERENCE,
    INFERENCE_METRICS,
    METRICS,
    PIPELINE_METRICS,
    REQUEST_SETS,
    Metric,
)


def by_name(name: str) -> Metric:
    return METRICS["LLMPlatform/Inference", name]


def test_the_metrics_of_the_design_are_there() -> None:
    for name in (
        "input_token_count",
        "output_token_count",
        "cache_read_token_count",
        "cache_write_token_count",
        "time_to_first_token",
        "total_latency",
        "output_tokens_per_second",
        "gateway_overhead",
        "request_count",
        "request_failed",
        "ttft_slow",
        "trace_propagated",
    ):
        assert set(by_name(name).dimension_sets) >= set(REQUEST_SETS)


def test_latencies_are_milliseconds_at_one_second() -> None:
    for name in ("time_to_first_token", "total_latency"):
        assert (by_name(name).unit, by_name(name).resolution_s) == ("Milliseconds", 1)


def test_a_metric_of_cost_has_the_unit_that_its_name_tells() -> None:
    """CloudWatch has no unit for money: a sum of dollars is told by its name alone, and never a count."""
    units = {"usd": "None", "percent": "Percent", "seconds": "Seconds", "usage": "Count", "requests": "Count"}
    for metric in COST_METRICS:
        assert metric.unit == units[metric.name.rpartition("_")[2]], metric.name
        assert metric.meaning.startswith("US dollars") == metric.name.endswith("_usd"), metric.name
    for metric in METRICS.values():
        if metric.name.endswith("_token_count"):
            assert (metric.unit, metric.namespace) == ("Count", INFERENCE), metric.name


def test_names_are_unique_and_every_metric_tells_its_meaning() -> None:
    assert len(METRICS) == len(INFERENCE_METRICS + PIPELINE_METRICS + EVAL_METRICS + COST_METRICS)
    assert all(metric.meaning.endswith(".") for metric in METRICS.values())


def test_the_table_fits_the_embedded_metric_format() -> None:
    assert len(INFERENCE_METRICS) <= MAX_METRICS_PER_DIRECTIVE
    for metric in METRICS.values():
        assert metric.resolution_s in RESOLUTIONS_S
        for names in metric.dimension_sets:
            assert 0 < len(names) <= MAX_DIMENSIONS_PER_SET
            assert len(set(names)) == len(names)


def test_no_set_multiplies_tenant_model_and_outcome() -> None:
    for metric in METRICS.values():
        for names in metric.dimension_sets:
            assert not {"tenant_id", "model_id", "outcome"} <= set(names)
