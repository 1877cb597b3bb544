"""The brake of observing's own budget, and what observing costs beside inference."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from costagg.brake import EXPIRES_AFTER, daily_brake, factor_at, next_brake, share_percent
from llmplatform.sampling import SamplingBrake, effective_rate, smallest_live
from llmplatform.spending import percent_used
from llmplatform.testing import START

NOW = START
HOUR = timedelta(hours=1)


def wants(factor: float, now: datetime = NOW) -> SamplingBrake:
    return SamplingBrake(factor=factor, expires_at=now + EXPIRES_AFTER, writer="costagg")


@pytest.mark.parametrize(
    ("used_percent", "factor"),
    [
        (None, 1.0),
        ("0", 1.0),
        ("79.999", 1.0),
        ("80", 1.0),
        ("85", 0.75),
        ("90", 0.5),
        ("99", 0.05),
        ("100", 0.0),
        ("101", 0.0),
        ("1000000", 0.0),
    ],
)
def test_the_factor_falls_in_a_line_from_four_fifths_of_the_budget(
    used_percent: str | None, factor: float
) -> None:
    assert factor_at(None if used_percent is None else Decimal(used_percent)) == factor


def test_a_budget_of_nothing_brakes_as_soon_as_anything_is_spent() -> None:
    assert factor_at(percent_used(Decimal(0), Decimal(0))) == 1
    assert factor_at(percent_used(Decimal("0.000001"), Decimal(0))) == 0


def test_more_spending_never_raises_the_factor() -> None:
    factors = [factor_at(Decimal(percent) / 10) for percent in range(2_000)]
    assert factors == sorted(factors, reverse=True)
    assert all(0 <= factor <= 1 for factor in factors)


def test_nothing_is_published_while_nobody_is_held_down() -> None:
    assert next_brake(None, wants(1.0), now=NOW) is None
    gone = SamplingBrake(factor=0.25, expires_at=NOW, writer="costagg")
    assert next_brake(gone, wants(1.0), now=NOW) is None


def test_a_brake_outlives_a_run_that_is_missed_and_not_the_job() -> None:
    brake = daily_brake(Decimal(90), NOW)
    assert brake == SamplingBrake(factor=0.5, expires_at=NOW + timedelta(hours=2.5), writer="costagg")
    assert next_brake(None, brake, now=NOW) == brake
    assert smallest_live([brake], NOW + 2 * HOUR) == 0.5
    assert smallest_live([brake], NOW + 3 * HOUR) == 1


def test_the_same_factor_is_published_again_before_it_expires() -> None:
    again = next_brake(wants(0.5), wants(0.5, NOW + HOUR), now=NOW + HOUR)
    assert again is not None
    assert again.expires_at == NOW + 3.5 * HOUR


def test_the_new_day_lets_go_at_once_and_once() -> None:
    released = next_brake(wants(0.0), wants(1.0, NOW + HOUR), now=NOW + HOUR)
    assert released is not None
    assert effective_rate(0.05, smallest_live([released], NOW + HOUR)) == 0.05
    assert next_brake(released, wants(1.0, NOW + 2 * HOUR), now=NOW + 2 * HOUR) is None


@pytest.mark.parametrize(
    ("observing", "inference", "percent"),
    [
        ("3", "100", "3"),
        ("0", "100", "0"),
        ("150", "100", "150"),
        ("3", "0", None),
        ("3", None, None),
        (None, "100", None),
    ],
)
def test_the_share_of_observing_is_known_where_both_are(
    observing: str | None, inference: str | None, percent: str | None
) -> None:
    amounts = [None if text is None else Decimal(text) for text in (observing, inference)]
    assert share_percent(amounts[0], amounts[1]) == (None if percent is None else Decimal(percent))
