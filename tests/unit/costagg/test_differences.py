from datetime import UTC, datetime, timedelta

import pytest

from costagg.differences import differences
from costagg.usage import ClientTokens

HOUR = datetime(2026, 11, 23, 20, tzinfo=UTC)
NEXT = HOUR + timedelta(hours=1)


def percents(ledger: dict[str, ClientTokens], metrics: dict[str, ClientTokens]) -> dict[str, float]:
    return {one.tenant_id: one.signed_percent for one in differences({HOUR: ledger}, {HOUR: metrics})}


def test_equal_counts_differ_by_nothing() -> None:
    same = {"acme": ClientTokens(1_000, 100)}
    assert percents(same, same) == {"acme": 0}


def test_hours_are_added_up_before_they_are_compared() -> None:
    ledger = {HOUR: {"acme": ClientTokens(100, 10)}, NEXT: {"acme": ClientTokens(300, 30)}}
    metrics = {HOUR: {"acme": ClientTokens(300, 30)}, NEXT: {"acme": ClientTokens(100, 10)}}
    (difference,) = differences(ledger, metrics)
    assert difference.percent == 0
    assert difference.ledger == ClientTokens(400, 40)


def test_the_larger_of_two_differences_counts_and_the_log_has_its_sign() -> None:
    (difference,) = differences(
        {HOUR: {"acme": ClientTokens(10_000, 100)}}, {HOUR: {"acme": ClientTokens(10_100, 75)}}
    )
    assert difference.signed_percent == pytest.approx(-25)
    assert difference.percent == pytest.approx(25)


def test_a_prompt_counted_twice_does_not_hide_lost_output() -> None:
    assert percents({"acme": ClientTokens(100, 100)}, {"acme": ClientTokens(200, 0)}) == {
        "acme": pytest.approx(100)
    }


@pytest.mark.parametrize(
    ("ledger", "metrics", "percent"),
    [
        ({"acme": ClientTokens(5, 5)}, {}, -100),
        ({}, {"acme": ClientTokens(5, 5)}, 100),
        ({"acme": ClientTokens(0, 0)}, {"acme": ClientTokens(1, 0)}, 100),
    ],
    ids=["nothing in the metrics", "nothing in the ledger", "nothing but a row in the ledger"],
)
def test_what_one_side_alone_has_is_wholly_different(
    ledger: dict[str, ClientTokens], metrics: dict[str, ClientTokens], percent: float
) -> None:
    assert percents(ledger, metrics) == {"acme": percent}


def test_of_a_tenant_without_tokens_anywhere_nothing_is_known() -> None:
    assert percents({"acme": ClientTokens()}, {"globex": ClientTokens()}) == {}


def test_hours_that_were_not_computed_are_not_compared() -> None:
    metrics = {HOUR: {"acme": ClientTokens(100, 10)}, NEXT: {"acme": ClientTokens(9_999, 9_999)}}
    (difference,) = differences({HOUR: {"acme": ClientTokens(100, 10)}}, metrics)
    assert difference.percent == 0
