"""Metric alarms are decided as CloudWatch's user guide says; its tables are the test data."""

import json
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.alarms.deciding import Decision, Point, decide
from sandbox.alarms.definitions import Comparison, Missing, Rule, Series, State

NOW = datetime(2026, 11, 29, 12, 0, 5, tzinfo=UTC)
SERIES = Series("N", "m", (), None, "Average", 300)
ALL_MISSING: tuple[Missing, ...] = get_args(Missing)


def rule(
    *,
    m: int = 3,
    n: int = 3,
    missing: Missing = "missing",
    comparison: Comparison = "GreaterThanThreshold",
    enough_samples: float = 0,
) -> Rule:
    return Rule(SERIES, n, m, 1.0, comparison, missing, enough_samples)


def points(drawn: str) -> list[Point]:
    """Datapoints as the user guide draws them, the latest last: 0 is fine, X breaches, - is missing."""
    drawn = drawn.replace(" ", "")
    values = {"0": 0.0, "X": 2.0, "-": None}
    first = NOW - len(drawn) * timedelta(minutes=5)
    return [Point(first + at * timedelta(minutes=5), values[one]) for at, one in enumerate(drawn)]


def decided(drawn: str, like: Rule, *, state: State = "OK") -> Decision:
    return decide(like, points(drawn), state=state, now=NOW)


# "How alarm state is evaluated when data is missing": datapoints, then the state when missing is `missing`,
# `ignore` (None: the state stays), `breaching` and `notBreaching`. The last three rows of the first table
# are its text on premature transitions, and of its edition of 2018.
THREE_OF_THREE = [
    ("0 - X - X", "OK", "OK", "OK", "OK"),
    ("0 - - - -", "OK", "OK", "OK", "OK"),
    ("- - - - -", "INSUFFICIENT_DATA", None, "ALARM", "OK"),
    ("0 X X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("- - X - -", "ALARM", None, "ALARM", "OK"),
    ("- - - - X", "INSUFFICIENT_DATA", None, "ALARM", "OK"),
    ("- - - X -", "INSUFFICIENT_DATA", None, "ALARM", "OK"),
    ("X - - - -", "ALARM", None, "ALARM", "OK"),
]
TWO_OF_THREE = [
    ("0 - X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0 0 X 0 X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0 - X - -", "OK", "OK", "ALARM", "OK"),
    ("- - - - 0", "OK", "OK", "ALARM", "OK"),
    ("- - - X -", "ALARM", None, "ALARM", "OK"),
    ("- - - - X", "INSUFFICIENT_DATA", None, "ALARM", "OK"),
]
CASES = [
    (m, drawn, missing, state)
    for m, table in ((3, THREE_OF_THREE), (2, TWO_OF_THREE))
    for drawn, *states in table
    for missing, state in zip(("missing", "ignore", "breaching", "notBreaching"), states, strict=True)
]


@pytest.mark.parametrize(("m", "drawn", "missing", "expected"), CASES)
@pytest.mark.parametrize("state", get_args(State))
def test_states_are_those_of_the_tables_in_the_user_guide(
    m: int, drawn: str, missing: Missing, expected: State | None, state: State
) -> None:
    assert decided(drawn, rule(m=m, missing=missing), state=state).state == (expected or state)


@pytest.mark.parametrize(
    ("comparison", "value", "rings"),
    [
        ("GreaterThanThreshold", 1.0, False),
        ("GreaterThanThreshold", 1.1, True),
        ("GreaterThanOrEqualToThreshold", 1.0, True),
        ("GreaterThanOrEqualToThreshold", 0.9, False),
        ("LessThanThreshold", 1.0, False),
        ("LessThanThreshold", 0.9, True),
        ("LessThanOrEqualToThreshold", 1.0, True),
        ("LessThanOrEqualToThreshold", 1.1, False),
    ],
)
def test_a_value_at_the_threshold_is_the_operators_to_judge(
    comparison: Comparison, value: float, *, rings: bool
) -> None:
    found = decide(rule(m=1, n=1, comparison=comparison), [Point(NOW, value)], state="OK", now=NOW)
    assert (found.state == "ALARM") == rings


def test_a_percentile_of_too_few_samples_leaves_the_state() -> None:
    few = [Point(NOW, 5.0, samples=999.0)]
    assert decide(rule(m=1, n=1, enough_samples=1_000), few, state="OK", now=NOW).state == "OK"
    enough = [Point(NOW, 5.0, samples=1_000.0)]
    assert decide(rule(m=1, n=1, enough_samples=1_000), enough, state="OK", now=NOW).state == "ALARM"


@pytest.mark.parametrize(
    ("drawn", "like", "state", "reason"),
    [
        (
            "0 0 X 0 X",
            rule(m=2),
            "OK",
            (
                "2 out of the last 3 datapoints [2.0 (29/11/26 11:55:05), 2.0 (29/11/26 11:45:05)] were"
                " greater than the threshold (1.0) (minimum 2 datapoints for OK -> ALARM transition)."
            ),
        ),
        (
            "X X 0",
            rule(m=1, n=1),
            "ALARM",
            (
                "1 out of the last 1 datapoints [0.0 (29/11/26 11:55:05)] was not greater than the threshold"
                " (1.0) (minimum 1 datapoint for ALARM -> OK transition)."
            ),
        ),
        (
            "- - X",
            rule(m=1, n=3, missing="notBreaching", comparison="GreaterThanOrEqualToThreshold"),
            "OK",
            (
                "1 out of the last 3 datapoints [2.0 (29/11/26 11:55:05)] was greater than or equal to the"
                " threshold (1.0) and 2 missing datapoints were treated as [NonBreaching]"
                " (minimum 1 datapoint for OK -> ALARM transition)."
            ),
        ),
        (
            "- - - -",
            rule(m=2, n=2, missing="breaching"),
            "OK",
            "no datapoints were received for 2 periods and 2 missing datapoints were treated as [Breaching].",
        ),
        (
            "- - -",
            rule(m=1, n=1, missing="notBreaching"),
            "ALARM",
            "no datapoints were received for 1 period and 1 missing datapoint was treated as [NonBreaching].",
        ),
        (
            "- - - - 0",
            rule(m=2, missing="breaching"),
            "OK",
            "1 datapoint was received for 3 periods and 2 missing datapoints were treated as [Breaching].",
        ),
    ],
)
def test_reasons_read_as_cloudwatchs_do(drawn: str, like: Rule, state: State, reason: str) -> None:
    assert decided(drawn, like, state=state).reason == f"Threshold Crossed: {reason}"


def test_a_reason_says_how_much_data_is_unknown() -> None:
    assert decided("- - -", rule(m=1, n=1)).reason == "Insufficient Data: 1 datapoint was unknown."
    assert decided("- - - -", rule(m=2, n=2)).reason == "Insufficient Data: 2 datapoints were unknown."


def test_reason_data_holds_the_datapoints() -> None:
    data = json.loads(decided("0 X X - X", rule()).data)
    assert data == {
        "version": "1.0",
        "queryDate": "2026-11-29T12:00:05.000+0000",
        "startDate": "2026-11-29T11:40:05.000+0000",
        "statistic": "Average",
        "period": 300,
        "recentDatapoints": [2.0, 2.0, 2.0],
        "threshold": 1.0,
        "evaluatedDatapoints": [
            {"timestamp": "2026-11-29T11:55:05.000+0000", "value": 2.0},
            {"timestamp": "2026-11-29T11:45:05.000+0000", "value": 2.0},
            {"timestamp": "2026-11-29T11:40:05.000+0000", "value": 2.0},
        ],
    }


@st.composite
def situations(draw: st.DrawFn) -> tuple[int, int, str]:
    """M, N, and a full evaluation range of N + 2."""
    n = draw(st.integers(1, 12))
    drawn = draw(st.text(alphabet="0X-", min_size=n + 2, max_size=n + 2))
    return draw(st.integers(1, n)), n, drawn


@given(situations(), st.sampled_from(ALL_MISSING), st.sampled_from(get_args(State)))
def test_with_enough_datapoints_m_of_the_latest_n_decide(
    situation: tuple[int, int, str], missing: Missing, state: State
) -> None:
    m, n, drawn = situation
    there = drawn.replace("-", "")[-n:]
    if len(there) < n:
        return
    expected = "ALARM" if there.count("X") >= m else "OK"
    assert decided(drawn, rule(m=m, n=n, missing=missing), state=state).state == expected


@given(situations(), st.sampled_from(["breaching", "notBreaching"]), st.sampled_from(get_args(State)))
def test_what_is_filled_in_counts_as_what_it_is_treated_as(
    situation: tuple[int, int, str], missing: Missing, state: State
) -> None:
    m, n, drawn = situation
    there = drawn.replace("-", "")[-n:]
    filled = there + ("X" if missing == "breaching" else "0") * (n - len(there))
    expected = "ALARM" if filled.count("X") >= m else "OK"
    assert decided(drawn, rule(m=m, n=n, missing=missing), state=state).state == expected


@given(situations(), st.sampled_from(get_args(State)))
def test_ignoring_what_is_missing_never_says_that_data_is_insufficient(
    situation: tuple[int, int, str], state: State
) -> None:
    m, n, drawn = situation
    found = decided(drawn, rule(m=m, n=n, missing="ignore"), state=state).state
    assert found == state or found != "INSUFFICIENT_DATA"
    if "0" not in drawn and "X" not in drawn:
        assert found == state


@given(situations(), st.sampled_from(get_args(State)))
def test_data_is_insufficient_only_when_nothing_fine_is_there(
    situation: tuple[int, int, str], state: State
) -> None:
    m, n, drawn = situation
    found = decided(drawn, rule(m=m, n=n), state=state).state
    if found == "INSUFFICIENT_DATA":
        assert "0" not in drawn
        assert drawn.count("X") < m
