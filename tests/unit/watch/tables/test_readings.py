"""What is in no table, or not published so, cannot be read."""

from dataclasses import replace

import pytest

from llmplatform import metrics as ours
from watch.tables import native
from watch.tables.readings import (
    ENDPOINT,
    MODEL,
    TENANT,
    VARIANT,
    NoSuchReading,
    Reading,
    Series,
    is_statistic,
    per_gpu,
    read,
)


def test_a_metric_that_is_in_neither_table_does_not_build() -> None:
    misspelt = replace(ours.REQUEST_COUNT, name="request_counts")
    with pytest.raises(NoSuchReading, match="LLMPlatform/Inference request_counts is in no table"):
        read(misspelt, "Sum", tenant_id=TENANT)


def test_a_metric_of_its_own_that_only_has_the_name_of_one_does_not_build() -> None:
    other = replace(native.GPU_UTILIZATION, unit="Count")
    with pytest.raises(NoSuchReading):
        read(other, "Average", EndpointName=ENDPOINT, VariantName=VARIANT)


def test_dimensions_that_a_metric_is_not_published_with_do_not_build() -> None:
    with pytest.raises(NoSuchReading, match="request_count is not published by model_id"):
        read(ours.REQUEST_COUNT, "Sum", model_id=MODEL)
    with pytest.raises(NoSuchReading):
        read(ours.GATEWAY_OVERHEAD, "p99")


@pytest.mark.parametrize("statistic", ["average", "p101", "p", "P99", "tm99", "Rate", "p99.999", ""])
def test_a_statistic_that_cloudwatch_does_not_have_does_not_build(statistic: str) -> None:
    assert not is_statistic(statistic)
    with pytest.raises(NoSuchReading):
        read(ours.REQUEST_COUNT, statistic, tenant_id=TENANT)


@pytest.mark.parametrize(
    "statistic", ["Average", "Sum", "Minimum", "Maximum", "SampleCount", "p50", "p99", "p99.9", "p100"]
)
def test_statistics_that_cloudwatch_has(statistic: str) -> None:
    assert is_statistic(statistic)


def test_a_variable_that_nothing_fills_in_does_not_build() -> None:
    with pytest.raises(NoSuchReading, match="nothing fills in \\$tenant"):
        read(ours.REQUEST_COUNT, "Sum", tenant_id="$tenant")


def test_dimensions_are_in_the_order_in_which_they_are_published() -> None:
    reading = read(ours.EVAL_SCORE, "Average", eval_dimension="relevance", model_id="small", tenant_id="acme")
    assert reading.dimensions == (
        ("tenant_id", "acme"),
        ("model_id", "small"),
        ("eval_dimension", "relevance"),
    )
    with pytest.raises(NoSuchReading):
        Reading(reading.metric, "Average", reading.dimensions[::-1])


def test_variables_are_filled_in_and_values_stay() -> None:
    reading = read(ours.REQUEST_COUNT, "Sum", tenant_id=TENANT, outcome="refused")
    assert reading.variables == {TENANT}
    assert reading.series({TENANT: "acme", MODEL: "small"}) == Series(
        "LLMPlatform/Inference", "request_count", (("tenant_id", "acme"), ("outcome", "refused")), "Sum"
    )
    with pytest.raises(KeyError):
        reading.series({MODEL: "small"})


def test_what_is_shown_per_gpu_reads_the_same_series() -> None:
    reading = read(native.GPU_UTILIZATION, "Average", EndpointName=ENDPOINT, VariantName=VARIANT)
    values = {ENDPOINT: "llama", VARIANT: "AllTraffic"}
    assert per_gpu(reading).per_gpu
    assert per_gpu(reading).series(values) == reading.series(values)


def test_no_name_is_in_both_tables() -> None:
    assert not set(ours.METRICS) & set(native.NATIVE_METRICS)
