"""Alarms and series are counted as CloudWatch bills them, and held against their budgets."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

from harness.alarm_world import WORLD, alarms, present
from llmplatform.evaluations import DIMENSIONS
from llmplatform.prices import load_prices
from watch.alarming.alarm_limits import MAX_ANOMALY_DETECTORS
from watch.alarming.counting import AlarmCounts, Budgets, Standing, alarms_in, over_budget, standing
from watch.alarming.definitions import MetricAlarm
from watch.alarming.planning import Selection, plan
from watch.settings import WatchSettings
from watch.tables.targets import Scores

AT = date(2026, 11, 29)
ALL = Selection(platform_wide=True)
PLENTY = Budgets(series=10**6, alarms=10**6, bands=10**6)


def stands(*, region: str = "us-east-1", series: dict[str, int] | None = None) -> Standing:
    wanted = alarms()
    made = plan(wanted.values(), (), ALL)
    return standing(made, (), wanted.values(), series or {}, load_prices(), at=AT, region=region)


def test_alarms_are_counted_by_kind_and_scope() -> None:
    wanted = alarms()
    counts = stands().alarms
    assert counts.total == len(wanted)
    assert counts.bands == 2
    assert counts.high_resolution == 0
    assert counts.composite == len([one for one in wanted.values() if not isinstance(one, MetricAlarm)])
    assert sum((counts.by_scope or {}).values()) == counts.total


def test_definitions_are_counted_as_they_will_be_once_they_are_put() -> None:
    assert alarms_in(alarms().values()) == stands().alarms


def test_a_band_costs_three_and_a_composite_five_times_a_plain_alarm() -> None:
    lines = {line.what: line for line in stands(series={"LLMPlatform/Cost": 10}).lines}
    plain, composite = lines["alarms on a metric"], lines["composite alarms"]
    assert plain.amount_usd == plain.quantity * Decimal("0.10")
    assert composite.amount_usd == composite.quantity * Decimal("0.50")
    assert lines["alarms on an anomaly band"].amount_usd == 2 * 3 * Decimal("0.10")
    assert lines["series of LLMPlatform/Cost"].amount_usd == 10 * Decimal("0.30")


def test_a_period_under_a_minute_is_another_price() -> None:
    name, alarm = next((name, one) for name, one in alarms().items() if isinstance(one, MetricAlarm))
    made = plan([replace(alarm, period_s=10)], (), ALL)
    counts = standing(made, (), (), {}, load_prices(), at=AT, region="us-east-1").alarms
    assert counts.high_resolution == 1, name


def test_where_the_price_is_not_known_it_is_not_nothing() -> None:
    elsewhere = stands(region="eu-central-1")
    assert elsewhere.known_usd == 0
    assert "composite alarms" in elsewhere.unpriced


def test_what_is_removed_is_not_counted_and_what_stays_is() -> None:
    there = [present(one) for one in alarms().values()]
    wanted = alarms(replace(WORLD, scores=WORLD.scores[1:]))
    made = plan(wanted.values(), there, ALL)
    after = standing(made, there, wanted.values(), {}, load_prices(), at=AT, region="us-east-1").alarms
    assert after.total == len(wanted)
    assert after.bands == 1


def test_within_the_budgets_nothing_is_said() -> None:
    assert over_budget(stands(), PLENTY) == ()


def test_over_a_budget_it_says_what_takes_how_many_and_what_to_do() -> None:
    counts = AlarmCounts(standard=30, bands=9, by_scope={"tenant": 25, "scores": 14})
    series = {"LLMPlatform/Inference": 90, "LLMPlatform/EvalScores": 120}
    full = Standing(counts, series, ())
    of_series, of_alarms, of_bands = over_budget(full, Budgets(series=200, alarms=20, bands=8))
    assert "210 series are over the budget of 200" in of_series
    assert "LLMPlatform/EvalScores 120, LLMPlatform/Inference 90" in of_series
    assert "WATCH_MAX_SERIES" in of_series
    assert "39 alarms are over the budget of 20: tenant 25, scores 14" in of_alarms
    assert "WATCH_MAX_ALARMS" in of_alarms
    assert "9 anomaly bands are over the 8" in of_bands
    assert "WATCH_BANDS=false" in of_bands


def test_the_budget_of_alarms_holds_fifty_tenants_with_three_models_each() -> None:
    policies = tuple(
        WORLD.tenants[0].model_copy(update={"tenant_id": f"t{n}", "daily_budget_tokens": 1_000_000})
        for n in range(50)
    )
    scores = tuple(
        Scores(policy.tenant_id, model, dimension)
        for policy in policies
        for model in sorted(WORLD.catalogue.models)[:3]
        for dimension in DIMENSIONS
    )
    wanted = alarms(replace(WORLD, tenants=policies, scores=scores))
    assert len(wanted) < WatchSettings.model_fields["max_alarms"].default
    assert WatchSettings.model_fields["max_bands"].default == MAX_ANOMALY_DETECTORS
