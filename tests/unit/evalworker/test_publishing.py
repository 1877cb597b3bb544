"""Scores as CloudWatch gets them: readings of a minute together, at the minute that they count for."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalworker.publishing import ScoreLines
from harness.sinks import KeepingSink
from llmplatform.emf import MAX_VALUES_PER_METRIC
from llmplatform.evaluations import JUDGE_DIMENSIONS, EvalContent, EvalResult, Judge
from llmplatform.testing import START

RESULT = EvalResult(
    tenant_id="acme",
    request_id="r-1",
    trace_id="t-1",
    event_at=START,
    judged_at=START + timedelta(hours=3),
    model_id="small",
    endpoint_type="bedrock",
    sample_rate=0.5,
    sample_reason="rate",
    judge=Judge("0123", "judge", "quality", "1"),
    scores=dict.fromkeys(JUDGE_DIMENSIONS, 4),
    content_truncated=False,
    content=EvalContent(completion="CANARY", reasons={"relevance": "CANARY"}),
)


@pytest.fixture
def sink() -> KeepingSink[bytes]:
    return KeepingSink("emf")


def lines(sink: KeepingSink[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in sink.items]


def test_nothing_is_written_before_it_is_time(sink: KeepingSink[bytes]) -> None:
    scores = ScoreLines(sink)
    scores.add(RESULT)
    assert not sink.items
    scores.flush()
    assert len(sink.items) == len(JUDGE_DIMENSIONS)
    scores.flush()
    assert len(sink.items) == len(JUDGE_DIMENSIONS), "a reading is written once"


def test_a_reading_counts_for_the_minute_of_its_request_whenever_it_was_judged(
    sink: KeepingSink[bytes],
) -> None:
    scores = ScoreLines(sink)
    scores.add(RESULT)
    scores.add(replace(RESULT, event_at=START + timedelta(seconds=29)))  # of the same minute
    scores.add(replace(RESULT, event_at=START + timedelta(seconds=30)))  # of the next day
    scores.flush()
    found = [line for line in lines(sink) if line["eval_dimension"] == "relevance"]
    assert [(line["_aws"]["Timestamp"], line["eval_score"]) for line in found] == [
        (int(START.replace(second=0).timestamp() * 1_000), [4, 4]),
        (int(START.replace(second=0).timestamp() * 1_000) + 60_000, [4]),
    ]


def test_tenants_models_and_dimensions_are_never_mixed(sink: KeepingSink[bytes]) -> None:
    scores = ScoreLines(sink)
    scores.add(replace(RESULT, scores={"relevance": 1, "coherence": 2}))
    scores.add(replace(RESULT, tenant_id="globex", scores={"relevance": 3}))
    scores.add(replace(RESULT, model_id="large", scores={"relevance": 5}, bertscore_f1=0.75))
    scores.flush()
    found = {
        (line["tenant_id"], line["model_id"], line["eval_dimension"]): line["eval_score"]
        for line in lines(sink)
    }
    assert found == {
        ("acme", "small", "relevance"): [1],
        ("acme", "small", "coherence"): [2],
        ("globex", "small", "relevance"): [3],
        ("acme", "large", "relevance"): [5],
        ("acme", "large", "bertscore_f1"): [0.75],
    }
    (metric,) = lines(sink)[0]["_aws"]["CloudWatchMetrics"]
    assert metric["Namespace"] == "LLMPlatform/EvalScores"
    assert ["tenant_id", "model_id", "eval_dimension"] in map(list, metric["Dimensions"])


@given(st.integers(1, 5 * MAX_VALUES_PER_METRIC), st.sets(st.integers(0, 500), max_size=5))
def test_no_line_has_more_readings_than_cloudwatch_takes_and_none_is_lost(
    count: int, flushed_after: set[int]
) -> None:
    sink = KeepingSink[bytes]("emf")
    scores = ScoreLines(sink)
    for number in range(count):
        scores.add(replace(RESULT, scores={"relevance": 1 + number % 5}))
        if number in flushed_after:
            scores.flush()
    scores.flush()
    written = [line["eval_score"] for line in lines(sink)]
    assert all(0 < len(readings) <= MAX_VALUES_PER_METRIC for readings in written)
    assert [reading for readings in written for reading in readings] == [1 + n % 5 for n in range(count)]


def test_no_word_of_anybodys_is_on_a_line(sink: KeepingSink[bytes]) -> None:
    scores = ScoreLines(sink)
    scores.add(RESULT)
    scores.flush()
    assert b"CANARY" not in b"".join(sink.items)
