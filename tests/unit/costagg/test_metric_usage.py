"""An hour's usage from values of metrics; the way from a gateway's log line is in the reader's test."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from corpus.costs import REGION, prices
from costagg.metric_usage import Source, add_minutes, endpoint_series, source_series, usage_of
from costagg.sagemaker import instance_lines
from costagg.usage import ClientTokens, EndpointUse, HourUsage, Sharer
from llmplatform.catalogue import Catalogue
from llmplatform.metric_queries import Series, Values
from llmplatform.testing import make_model

HOUR: Final = datetime(2026, 11, 23, 20, tzinfo=UTC)
SMALL: Final = Source("acme", "small", "bedrock")
DEDICATED: Final = {"endpoint_type": "sagemaker", "dialect": "lmi", "backend_model_id": "shared"}
CATALOGUE: Final = Catalogue(
    models={
        "small": make_model("small"),
        "one": make_model("one", **DEDICATED),
        "two": make_model("two", **DEDICATED),
    }
)


def values_of(counts: dict[Source, tuple[float | None, ...]]) -> dict[Series, Values]:
    """Requests, prompt, output, cache reads and writes by source; None is no datapoint."""
    return {
        series: {} if value is None else {HOUR: value}
        for source, row in counts.items()
        for series, value in zip(source.series, row, strict=True)
    }


def usage(counts: dict[Source, tuple[float | None, ...]]) -> HourUsage:
    return usage_of(HOUR, list(counts), values_of(counts), CATALOGUE)


def test_cached_tokens_are_taken_out_of_the_prompt() -> None:
    (calls,) = usage({SMALL: (3, 1_000, 50, 600, 300)}).calls.values()
    assert calls.tokens == {"input": 100, "output": 50, "cache_read": 600, "cache_write": 300}
    assert calls.requests == 3


def test_figures_that_contradict_each_other_never_make_a_negative_count() -> None:
    (calls,) = usage({SMALL: (1, 10, 1, 600, None)}).calls.values()
    assert calls.tokens == {"output": 1, "cache_read": 600}


@pytest.mark.parametrize("absent", [None, 0])
def test_requests_without_a_token_are_counted_and_not_billed(absent: float | None) -> None:
    read = usage({SMALL: (4, absent, absent, absent, absent)})
    assert read.requests == 4
    assert (read.calls, read.client_tokens, read.endpoints) == ({}, {}, {})


def test_a_prompt_without_an_answer_is_billed() -> None:
    read = usage({SMALL: (1, 12, None, None, None)})
    (calls,) = read.calls.values()
    assert calls.tokens == {"input": 12}
    assert read.client_tokens == {"acme": ClientTokens(12, 0)}


def test_models_that_share_an_endpoint_are_its_sharers() -> None:
    read = usage(
        {
            Source("acme", "one", "sagemaker"): (2, 10, 5, None, None),
            Source("acme", "two", "sagemaker"): (1, 7, 3, None, None),
        }
    )
    (endpoint,) = read.endpoints.values()
    assert endpoint.tokens == {
        Sharer("acme", "one", "inference"): 15,
        Sharer("acme", "two", "inference"): 10,
    }
    assert endpoint.requests == {
        Sharer("acme", "one", "inference"): 2,
        Sharer("acme", "two", "inference"): 1,
    }


def test_a_model_that_moved_from_one_kind_of_backend_to_the_other_is_not_billed_by_both() -> None:
    was_bedrock, was_endpoint = Source("acme", "one", "bedrock"), Source("acme", "small", "sagemaker")
    read = usage({was_bedrock: (1, 10, 5, None, None), was_endpoint: (2, 7, 3, None, None)})
    assert {(key.endpoint_type, key.price_key, key.endpoint_name) for key in read.calls} == {
        ("bedrock", "one", None),
        ("sagemaker", "small", "_unknown"),
    }
    assert set(read.endpoints) == {"_unknown"}


def test_an_endpoint_that_nobody_knows_is_uncounted_and_not_forgotten() -> None:
    read = usage({Source("acme", "gone", "sagemaker"): (2, 7, 3, None, None)})
    (line,) = instance_lines(read, {}, prices(), region=REGION)
    assert (line.tenant_id, line.endpoint_name, line.requests) == ("acme", "_unknown", 2)
    assert (line.quantity, line.amount_usd) == (None, None)


def test_the_first_and_the_last_minute_are_the_hours_own() -> None:
    read = HourUsage(HOUR, "cloudwatch-metrics", endpoints={"shared": EndpointUse()})
    requests, prompt, output = endpoint_series(read.endpoints)
    last, after = HOUR + timedelta(minutes=59), HOUR + timedelta(minutes=60)
    add_minutes(
        read,
        {
            requests: {HOUR: 1.0, last: 2.0, after: 9.0},
            prompt: {HOUR: 10.0, after: 99.0},
            output: {HOUR: 1.0, last: 5.0},
        },
    )
    endpoint = read.endpoints["shared"]
    assert endpoint.tokens_by_minute == [11, *[0] * 58, 5]
    assert endpoint.active_minutes == 1 | 1 << 59


def test_five_metrics_a_source_and_three_an_endpoint_are_asked_for() -> None:
    assert len(set(source_series([SMALL, Source("globex", "small", "bedrock")]))) == 10
    assert len(set(endpoint_series(["shared"]))) == 3
