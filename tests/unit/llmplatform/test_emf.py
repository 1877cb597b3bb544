"""EMF lines, read back the way CloudWatch reads them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.invocations import COMPLETED_AT, attempt, record, refused
from llmplatform.emf import (
    MAX_DIMENSIONS_PER_SET,
    MAX_METRICS_PER_DIRECTIVE,
    MAX_VALUES_PER_METRIC,
    directives,
    encode_figures,
    encode_invocation,
)
from llmplatform.invocation import InvocationRecord, Outcome
from llmplatform.metrics import METRICS, PIPELINE, Metric
from llmplatform.usage import TokenUsage, UsageSource

Series = tuple[str, str, tuple[tuple[str, str], ...]]


def extract(line: bytes) -> dict[Series, float]:
    """Every datapoint of a line: (namespace, metric, dimensions) to value. Fails where CloudWatch would."""
    return dict(_datapoints(json.loads(line)))


def _datapoints(event: dict[str, Any]) -> Iterator[tuple[Series, float]]:
    seen: set[Series] = set()
    for directive in event["_aws"]["CloudWatchMetrics"]:
        assert len(directive["Metrics"]) <= MAX_METRICS_PER_DIRECTIVE
        for definition in directive["Metrics"]:
            value = event[definition["Name"]]
            assert isinstance(value, int | float)
            assert not isinstance(value, bool)
            assert definition.get("StorageResolution", 60) in {1, 60}
            for names in directive["Dimensions"]:
                assert len(names) <= MAX_DIMENSIONS_PER_SET
                dimensions = tuple((name, event[name]) for name in names)
                assert all(isinstance(text, str) and 0 < len(text) <= 1024 for _, text in dimensions)
                series = (directive["Namespace"], definition["Name"], dimensions)
                assert series not in seen
                seen.add(series)
                yield series, value


def sets_of(line: bytes, name: str) -> set[tuple[str, ...]]:
    return {tuple(key for key, _ in series[2]) for series in extract(line) if series[1] == name}


def value_of(line: bytes, name: str) -> float | None:
    return next((value for series, value in extract(line).items() if series[1] == name), None)


def test_a_completed_stream_publishes_what_was_measured() -> None:
    line = encode_invocation(record())
    values = {series[1]: value for series, value in extract(line).items()}
    assert values == {
        "request_count": 1,
        "request_failed": 0,
        "trace_propagated": 1,
        "total_latency": 1234.568,
        "time_to_first_token": 300.5,
        "ttft_slow": 0,
        "input_token_count": 150,
        "output_token_count": 51,
        "cache_read_token_count": 40,
        "cache_write_token_count": 10,
        "output_tokens_per_second": pytest.approx(53.529),
        "gateway_overhead": 1.65,
        "token_count_difference": 2.0,
    }


def test_it_is_one_line_and_the_log_line_too() -> None:
    line = encode_invocation(record(error_code=None, sampled=True, sampled_rate=0.05))
    assert b"\n" not in line
    event = json.loads(line)
    assert event["_aws"]["Timestamp"] == int(COMPLETED_AT.timestamp() * 1000)
    assert event["trace_id"] == "7d5f1c0a-9b3e-4d21-8c6f-0a1b2c3d4e5f"
    assert event["request_id"] == "019ab3c4-d5e6-7f00-8000-000000000000"
    assert (event["outcome"], event["usage_source"]) == ("completed", "reported")
    assert (event["sampled"], event["sample_rate"]) == (True, 0.05)
    assert "error_code" not in event


def test_bedrock_has_no_endpoint_series_and_sagemaker_has() -> None:
    assert sets_of(encode_invocation(record()), "total_latency") == {
        ("tenant_id", "model_id", "endpoint_type"),
        ("tenant_id",),
        ("model_id", "endpoint_type"),
        ("component",),
    }
    dedicated = record(endpoint_type="sagemaker", endpoint_name="llama-prod")
    assert ("endpoint_name",) in sets_of(encode_invocation(dedicated), "total_latency")


def test_requests_are_counted_by_outcome_too() -> None:
    sets = sets_of(encode_invocation(record()), "request_count")
    assert {("tenant_id", "outcome"), ("model_id", "endpoint_type", "outcome")} <= sets
    assert not any("outcome" in names for names in sets_of(encode_invocation(record()), "total_latency"))


def test_an_unknown_value_is_absent_and_never_zero() -> None:
    line = encode_invocation(record(usage=TokenUsage(output_tokens=0), usage_source=UsageSource.CONTINUOUS))
    assert value_of(line, "output_token_count") == 0
    for name in ("input_token_count", "cache_read_token_count", "token_count_difference"):
        assert value_of(line, name) is None
        assert name not in json.loads(line)


def test_a_refusal_before_the_key_was_known_counts_for_unknown() -> None:
    line = encode_invocation(refused())
    event = json.loads(line)
    assert (event["tenant_id"], event["model_id"], event["endpoint_type"]) == ("_unknown",) * 3
    assert value_of(line, "request_count") == 1
    assert value_of(line, "request_failed") == 0
    assert value_of(line, "total_latency") is None
    assert event["elapsed_ms"] == 0.4


def test_a_failure_counts_for_the_model_that_was_tried_last() -> None:
    failed = record(
        outcome=Outcome.BACKEND_FAILED,
        http_status=502,
        model_id=None,
        endpoint_type=None,
        attempts=(
            attempt(outcome=Outcome.BACKEND_FAILED),
            attempt(
                model_id="llama",
                endpoint_type="sagemaker",
                endpoint_name="llama-prod",
                outcome=Outcome.BACKEND_FAILED,
                error_type="ModelError",
            ),
        ),
    )
    event = json.loads(encode_invocation(failed))
    assert (event["model_id"], event["endpoint_type"]) == ("llama", "sagemaker")
    assert (event["endpoint_name"], event["error_type"], event["attempts"]) == ("llama-prod", "ModelError", 2)
    assert value_of(encode_invocation(failed), "request_failed") == 1


def test_a_cancelled_stream_has_a_first_token_and_no_total_latency() -> None:
    line = encode_invocation(record(outcome=Outcome.CLIENT_CANCELLED))
    assert value_of(line, "time_to_first_token") == 300.5
    assert value_of(line, "total_latency") is None


def test_a_trace_counts_as_propagated_when_each_backend_was_told() -> None:
    (attempt,) = record().attempts
    untold = record(attempts=(attempt, replace(attempt, trace_sent=False)))
    assert value_of(encode_invocation(untold), "trace_propagated") == 0
    assert value_of(encode_invocation(record()), "trace_propagated") == 1
    assert value_of(encode_invocation(record(attempts=())), "trace_propagated") is None


def test_a_slow_first_token_is_marked() -> None:
    assert value_of(encode_invocation(record(ttft_objective_ms=300)), "ttft_slow") == 1
    assert value_of(encode_invocation(record(ttft_objective_ms=None)), "ttft_slow") is None


@pytest.mark.parametrize("fields", [{"counted_prompt_exact": False}, {"usage_source": UsageSource.ESTIMATED}])
def test_an_estimate_is_not_compared_with_a_report(fields: dict[str, Any]) -> None:
    assert value_of(encode_invocation(record(**fields)), "token_count_difference") is None


def test_a_reply_that_reports_no_tokens_at_all_is_far_from_our_own_count() -> None:
    nothing = TokenUsage(input_tokens=0, output_tokens=0)
    assert value_of(encode_invocation(record(usage=nothing)), "token_count_difference") == 15_300


def test_skipped_events_are_published_where_there_were_some() -> None:
    assert value_of(encode_invocation(record()), "events_skipped") is None
    assert value_of(encode_invocation(record(skipped_events=3)), "events_skipped") == 3


def test_what_a_backend_named_is_said_only_if_it_is_a_name() -> None:
    line = encode_invocation(
        record(finish_reason="you said: my secret", attempts=(attempt(error_type="oops: my secret"),))
    )
    assert b"secret" not in line
    assert json.loads(line)["finish_reason"] == "_redacted"


def test_latencies_say_that_they_are_of_high_resolution() -> None:
    event = json.loads(encode_invocation(record()))
    high = {
        definition["Name"]
        for directive in event["_aws"]["CloudWatchMetrics"]
        for definition in directive["Metrics"]
        if definition.get("StorageResolution") == 1
    }
    assert high == {"time_to_first_token", "total_latency"}


_MAYBE_MS = st.none() | st.floats(min_value=0, max_value=1e6)
_MAYBE_COUNT = st.none() | st.integers(min_value=0, max_value=1_000_000)


@given(
    st.builds(
        record,
        outcome=st.sampled_from(Outcome),
        http_status=st.none() | st.sampled_from([200, 400, 429, 500, 503]),
        model_id=st.none() | st.just("claude-sonnet"),
        endpoint_type=st.none() | st.sampled_from(["bedrock", "sagemaker"]),
        endpoint_name=st.none() | st.just("llama-prod"),
        time_to_first_token_ms=_MAYBE_MS,
        gateway_overhead_ms=_MAYBE_MS,
        skipped_events=st.integers(min_value=0, max_value=3),
        counted_prompt_tokens=_MAYBE_COUNT,
        usage=st.builds(TokenUsage, _MAYBE_COUNT, _MAYBE_COUNT, _MAYBE_COUNT, _MAYBE_COUNT),
    )
)
def test_every_line_is_one_that_cloudwatch_takes_whole(made: InvocationRecord) -> None:
    line = encode_invocation(made)
    datapoints = extract(line)
    published = {series[1] for series in datapoints}
    event = json.loads(line)
    named = {name for _, name in METRICS}
    assert published == named.intersection(event)
    assert None not in event.values()


def test_a_line_about_the_platform_itself() -> None:
    line = encode_figures(COMPLETED_AT, PIPELINE, {"sink": "ledger"}, {"sink_dropped": 3, "sink_pending": 0})
    assert extract(line) == {
        ("LLMPlatform/Pipeline", "sink_dropped", (("sink", "ledger"),)): 3,
        ("LLMPlatform/Pipeline", "sink_pending", (("sink", "ledger"),)): 0,
    }


def test_a_line_about_the_platform_leaves_out_what_is_unknown() -> None:
    line = encode_figures(
        COMPLETED_AT, PIPELINE, {"component": "gateway"}, {"availability": 1, "policy_age_seconds": None}
    )
    assert [series[1] for series in extract(line)] == ["availability"]


def test_a_metric_that_the_table_does_not_have_is_refused() -> None:
    with pytest.raises(KeyError):
        encode_figures(COMPLETED_AT, PIPELINE, {"sink": "ledger"}, {"sink_droped": 1})


def test_the_time_is_the_moment_whatever_its_zone() -> None:
    elsewhere = record(completed_at=COMPLETED_AT.astimezone(timezone(timedelta(hours=-5))))
    assert json.loads(encode_invocation(elsewhere))["_aws"] == json.loads(encode_invocation(record()))["_aws"]


def test_more_metrics_than_a_directive_holds_go_into_several() -> None:
    many = [Metric(f"m{at}", "Count", 60, "Test", (("tenant_id",),), "test", "A test.") for at in range(250)]
    sizes = [len(directive["Metrics"]) for directive in directives(many, ["tenant_id"])]  # type: ignore[arg-type]
    assert sizes == [100, 100, 50]


def test_the_limits_are_those_of_the_format() -> None:
    assert (MAX_METRICS_PER_DIRECTIVE, MAX_DIMENSIONS_PER_SET, MAX_VALUES_PER_METRIC) == (100, 30, 100)
