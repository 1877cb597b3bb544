"""A tenant against its budgets: what is used, and what will be at midnight."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costagg.budgets import TenantStanding, tenant_standing
from costagg.usage import ClientTokens
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy
from llmplatform.spending import OVER_NOTHING_PERCENT, percent_used

MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOON = MIDNIGHT + 12 * HOUR


def policy(usd: str | None = None, tokens: int | None = None) -> TenantPolicy:
    return TenantPolicy(
        tenant_id=TenantId("acme"),
        daily_budget_usd=None if usd is None else Decimal(usd),
        daily_budget_tokens=tokens,
    )


def spent(*by_hour: tuple[int, str]) -> dict[datetime, Decimal]:
    """Dollars by hours since midnight."""
    return {MIDNIGHT + hour * HOUR: Decimal(usd) for hour, usd in by_hour}


def test_a_steady_tenant_is_projected_to_its_day() -> None:
    by_hour = spent(*((hour, "1") for hour in range(-24, 12)))
    usd = tenant_standing(policy("24"), by_hour, None, NOON).usd
    assert usd is not None
    assert usd.spent == 12
    assert usd.used_percent == 50
    assert usd.projected == 24
    assert usd.projected_percent == 100


def test_the_running_hour_counts_as_far_as_it_is() -> None:
    by_hour = spent((9, "1"), (10, "1"), (11, "1"), (12, "0.5"))
    usd = tenant_standing(policy("10"), by_hour, None, NOON + HOUR / 2).usd
    assert usd is not None
    assert usd.spent == Decimal("3.5")
    assert usd.projected == Decimal("3.5") + Decimal("11.5")  # a dollar an hour for what is left


def test_the_pace_is_of_the_last_hours_and_not_of_the_day() -> None:
    busy_morning = tenant_standing(policy("10"), spent((8, "9")), None, NOON).usd
    assert busy_morning is not None
    assert busy_morning.used_percent == 90
    assert busy_morning.projected_percent == 90
    busy_noon = tenant_standing(policy("10"), spent((11, "3")), None, NOON).usd
    assert busy_noon is not None
    assert busy_noon.used_percent == 30
    assert busy_noon.projected_percent == 150


def test_just_after_midnight_the_pace_is_of_yesterday_and_the_spending_is_not() -> None:
    by_hour = spent((-3, "1"), (-2, "1"), (-1, "1"), (0, "0.5"))
    usd = tenant_standing(policy("24"), by_hour, None, MIDNIGHT + HOUR / 2).usd
    assert usd is not None
    assert usd.spent == Decimal("0.5")
    assert usd.projected == 24
    at_midnight = tenant_standing(policy("24"), spent((-1, "3")), None, MIDNIGHT).usd
    assert at_midnight is not None
    assert at_midnight.spent == 0
    assert at_midnight.projected == 24


def test_the_last_moment_of_the_day_is_projected_to_what_was_spent() -> None:
    by_hour = spent((20, "1"), (21, "1"), (22, "1"), (23, "1"))
    last = MIDNIGHT + 24 * HOUR - timedelta(microseconds=1)
    usd = tenant_standing(policy("8"), by_hour, None, last).usd
    assert usd is not None
    assert usd.used_percent == 50
    assert Decimal(50) < usd.projected_percent < Decimal("50.001")


def test_tokens_are_those_of_prompts_and_answers() -> None:
    tokens = {
        MIDNIGHT + hour * HOUR: {"acme": ClientTokens(900, 100), "globex": ClientTokens(10**9, 0)}
        for hour in range(-3, 12)
    }
    standing = tenant_standing(policy(tokens=24_000), {}, tokens, NOON)
    assert standing.usd is None
    assert standing.tokens is not None
    assert standing.tokens.spent == 12_000
    assert standing.tokens.used_percent == 50
    assert standing.tokens.projected_percent == 100


def test_no_budget_is_no_standing_and_unknown_tokens_are_unknown() -> None:
    assert tenant_standing(policy(), spent((1, "5")), {}, NOON) == TenantStanding(usd=None, tokens=None)
    assert tenant_standing(policy(tokens=10), {}, None, NOON).tokens is None
    idle = tenant_standing(policy("1", 10), {}, {}, NOON)
    assert idle.usd is not None
    assert idle.tokens is not None
    assert idle.usd.used_percent == idle.usd.projected_percent == idle.tokens.used_percent == 0


def test_a_tenant_of_whose_spending_nothing_is_known_is_not_at_0_percent() -> None:
    unpriced = {NOON - HOUR: None, NOON: None}
    assert tenant_standing(policy("10"), unpriced, None, NOON + HOUR / 2).usd is None
    yesterday = {MIDNIGHT - HOUR: None}
    assert tenant_standing(policy("10"), yesterday, None, NOON).usd is not None
    usd = tenant_standing(policy("10"), {**unpriced, **spent((1, "5"))}, None, NOON + HOUR / 2).usd
    assert usd is not None
    assert usd.used_percent == usd.projected_percent == 50


def test_anything_spent_of_a_budget_of_nothing_rings_every_alarm() -> None:
    usd = tenant_standing(policy("0"), spent((1, "0.000001")), None, NOON).usd
    assert usd is not None
    assert usd.used_percent == usd.projected_percent == OVER_NOTHING_PERCENT
    unspent = tenant_standing(policy("0"), {}, None, NOON).usd
    assert unspent is not None
    assert unspent.used_percent == unspent.projected_percent == 0


@pytest.mark.parametrize("spent_usd", ["120", "120.000000000001"])
def test_a_budget_is_passed_without_an_end(spent_usd: str) -> None:
    assert percent_used(Decimal(spent_usd), Decimal(100)) == Decimal(spent_usd)


@given(
    st.dictionaries(st.integers(-24, 23), st.decimals(0, 10**6, places=12), max_size=48),
    st.integers(0, 86_399),
)
def test_a_projection_is_never_under_what_is_spent(by_hour: dict[int, Decimal], second: int) -> None:
    now = MIDNIGHT + timedelta(seconds=second)
    known = {MIDNIGHT + hour * HOUR: usd for hour, usd in by_hour.items() if MIDNIGHT + hour * HOUR <= now}
    usd = tenant_standing(policy("7"), known, None, now).usd
    assert usd is not None
    assert usd.spent == sum(amount for hour, amount in known.items() if hour >= MIDNIGHT)
    assert usd.projected_percent >= usd.used_percent >= 0
