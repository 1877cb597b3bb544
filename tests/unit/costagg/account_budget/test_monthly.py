"""What the month's AWS Budget wants of the brake on sampling."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from costagg.account_budget.monthly import BudgetStanding, wanted_brake
from costagg.brake import next_brake
from llmplatform.account_budget import STEPS, factor_at
from llmplatform.sampling import smallest_live

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)


def standing(spent: str, limit: str = "1000") -> BudgetStanding:
    return BudgetStanding("llm-platform-observability", Decimal(limit), Decimal(spent))


@pytest.mark.parametrize(
    ("spent", "factor"),
    [("0", 1.0), ("799.99", 1.0), ("800", 0.5), ("899", 0.5), ("900", 0.25), ("1000", 0.05), ("5000", 0.05)],
)
def test_sampling_is_held_down_in_steps_from_four_fifths_of_the_budget_on(spent: str, factor: float) -> None:
    assert wanted_brake(standing(spent), NOON).factor == factor


def test_more_spending_never_raises_the_factor() -> None:
    factors = [factor_at(Decimal(percent)) for percent in range(200)]
    assert factors == sorted(factors, reverse=True)
    assert {step.factor for step in STEPS} < set(factors)


def test_some_answers_are_judged_however_much_is_spent() -> None:
    assert all(step.factor > 0 for step in STEPS)


def test_a_budget_of_nothing_brakes_as_soon_as_anything_is_spent() -> None:
    assert wanted_brake(standing("0", "0"), NOON).factor == 1
    assert wanted_brake(standing("0.01", "0"), NOON).factor == STEPS[-1].factor


def test_the_brake_outlives_a_reading_that_is_missed_and_not_the_handler() -> None:
    brake = wanted_brake(standing("850"), NOON)
    assert smallest_live([brake], NOON + timedelta(hours=12)) == 0.5
    assert smallest_live([brake], NOON + timedelta(hours=14)) == 1


def test_the_brake_ends_with_the_month_at_the_latest() -> None:
    brake = wanted_brake(standing("999"), DECEMBER - timedelta(hours=1))
    assert brake.expires_at == DECEMBER
    assert smallest_live([brake], DECEMBER) == 1


def test_the_year_ends_with_its_last_month() -> None:
    brake = wanted_brake(standing("999"), datetime(2026, 12, 31, 23, 59, tzinfo=UTC))
    assert brake.expires_at == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("hours", [0, 5, 23])
def test_what_aws_still_tells_of_the_last_month_holds_nobody_down_in_the_new_one(hours: int) -> None:
    assert wanted_brake(standing("1200"), DECEMBER + timedelta(hours=hours)).factor == 1


def test_a_budget_that_is_spent_on_its_second_day_is_taken_at_its_word() -> None:
    assert wanted_brake(standing("1200"), DECEMBER + timedelta(days=1)).factor == 0.05


def test_a_budget_that_was_raised_lets_go_at_once() -> None:
    held = wanted_brake(standing("850"), NOON)
    later = NOON + timedelta(hours=6)
    released = next_brake(held, wanted_brake(standing("860", "2000"), later), now=later)
    assert released is not None
    assert smallest_live([released], later) == 1


def test_the_same_message_again_changes_nothing_but_when_it_expires() -> None:
    first = wanted_brake(standing("850"), NOON)
    again = next_brake(first, wanted_brake(standing("850"), NOON), now=NOON)
    assert again == first


def test_who_set_the_brake_can_be_told() -> None:
    assert wanted_brake(standing("850"), NOON).writer == "costagg account-budget"
