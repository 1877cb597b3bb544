"""Series and their minutes: as keys, as rows, in bins."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmplatform.errors import TelemetryFault
from llmplatform.eval_series import (
    BERTSCORE_BINS,
    JUDGE_BINS,
    MinuteScores,
    Series,
    bin_of,
    decode_minute,
    decode_minutes,
    encode_minute,
    minute_of,
    minute_text,
)
from llmplatform.evaluations import BERTSCORE, DIMENSIONS

SERIES = Series("acme", "vendor/small:0", "relevance", "a3f1c2d4e5b60718")
MINUTE = datetime(2026, 11, 23, 20, 15, tzinfo=UTC)

parts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="#"), max_size=20)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
figures = st.floats(allow_nan=False, allow_infinity=False)
minutes = st.builds(
    MinuteScores,
    minute=moments.map(minute_of),
    n=st.integers(0, 10**6),
    weight=figures,
    weighted_sum=figures,
    weighted_sum_squares=figures,
    counts=st.lists(st.integers(0, 10**6), min_size=5, max_size=5).map(tuple),
)


@given(st.builds(Series, parts, parts, st.sampled_from(DIMENSIONS), parts))
def test_a_series_is_what_its_key_says(series: Series) -> None:
    assert Series.of(series.key) == series


@pytest.mark.parametrize("key", ["", "acme", "acme#small#relevance", "acme#small#relevance#e#e"])
def test_another_key_is_a_fault(key: str) -> None:
    with pytest.raises(TelemetryFault):
        Series.of(key)


@given(minutes)
def test_any_minute_comes_back_equal(scores: MinuteScores) -> None:
    assert decode_minute(json.loads(json.dumps(encode_minute(SERIES, scores)))) == scores


def test_a_row_has_its_series_its_minute_and_its_end() -> None:
    item = encode_minute(SERIES, MinuteScores(MINUTE, 2, 40.0, 180.0, 820.0, (0, 0, 0, 1, 1)))
    assert item["series"] == {"S": "acme#vendor/small:0#relevance#a3f1c2d4e5b60718"}
    assert item["minute"] == {"S": "2026-11-23T20:15Z"}
    assert datetime.fromtimestamp(int(item["expires_at"]["N"]), UTC) == MINUTE + timedelta(days=90)


@pytest.mark.parametrize(
    "change",
    [
        {"n": {"S": "canary-5b1d"}},
        {"n": None},
        {"minute": {"S": "canary-5b1d"}},
        {"counts": {"L": [{"S": "1"}]}},
        {"counts": {"M": {}}},
        {"weight": {}},
    ],
)
def test_a_foreign_row_is_a_fault_that_quotes_nothing(change: dict[str, Any]) -> None:
    item = encode_minute(SERIES, MinuteScores(MINUTE, 0, 0.0, 0.0, 0.0, (0,) * 5))
    with pytest.raises(TelemetryFault) as caught:
        decode_minute({**item, **change})
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__


@given(moments, moments)
def test_minutes_sort_as_time_and_hold_their_moments(one: datetime, other: datetime) -> None:
    assert timedelta(0) <= one - minute_of(one) < timedelta(minutes=1)
    assert (minute_text(minute_of(one)) < minute_text(minute_of(other))) == (
        minute_of(one) < minute_of(other)
    )


def test_a_minute_is_one_of_utc() -> None:
    half_past = datetime(2026, 11, 23, 20, 15, 59, 999_999, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert minute_of(half_past) == datetime(2026, 11, 23, 14, 45, tzinfo=UTC)


def test_bins_are_those_of_the_dimension() -> None:
    assert SERIES.bins == JUDGE_BINS == (1.0, 2.0, 3.0, 4.0, 5.0)
    assert Series("acme", "small", BERTSCORE, "e").bins == BERTSCORE_BINS


@pytest.mark.parametrize("score", [1, 2, 3, 4, 5])
def test_a_score_has_a_bin_of_its_own(score: int) -> None:
    assert JUDGE_BINS[bin_of(score, JUDGE_BINS)] == score


@given(st.floats(-1, 1))
def test_a_likeness_is_in_the_nearest_bin(value: float) -> None:
    at = bin_of(value, BERTSCORE_BINS)
    nearest = min(abs(value - middle) for middle in BERTSCORE_BINS)
    assert math.isclose(abs(value - BERTSCORE_BINS[at]), nearest, abs_tol=1e-9)
    assert value >= 0 or at == 0


def test_an_answer_with_minutes_says_where_the_next_one_begins() -> None:
    scores = MinuteScores(MINUTE, 2, 40.0, 180.0, 820.0, (0, 0, 0, 1, 1))
    key = {"series": {"S": SERIES.key}, "minute": {"S": "2026-11-23T20:15Z"}}
    answer = {"Items": [encode_minute(SERIES, scores)] * 2, "Count": 2, "LastEvaluatedKey": key}
    assert decode_minutes(json.dumps(answer).encode()) == ([scores, scores], key)
    assert decode_minutes(b'{"Items":[]}') == ([], None)
    for broken in (b"", b"{}", b'{"Items":[{"minute":{"S":"2026-11-23T20:15Z"}}]}'):
        with pytest.raises(TelemetryFault, match="not minutes"):
            decode_minutes(broken)
