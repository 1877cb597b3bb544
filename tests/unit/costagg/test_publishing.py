"""The figures of a run as CloudWatch reads them: every series once, and nothing that is unknown."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from costagg.budgets import Standing, TenantStanding
from costagg.publishing import Figures, days_to_end_of_life, figure_lines
from llmplatform.catalogue import parse_catalogue
from llmplatform.metrics import (
    ACCOUNT_BUDGET_USED_PERCENT,
    COST,
    COST_METRICS,
    METRICS,
    PIPELINE,
    RECONCILIATION_ERROR_PERCENT,
)
from llmplatform.testing import START

Series = dict[tuple[str, str, tuple[tuple[str, str], ...]], Any]

FIGURES = Figures(
    available=True,
    tenants={
        "acme": TenantStanding(
            usd=Standing(Decimal(30), Decimal(25), Decimal(60)),
            tokens=Standing(Decimal(5_000), Decimal(20_000), Decimal(10_000)),
        ),
        "quiet": TenantStanding(usd=Standing(Decimal(0), Decimal(25), Decimal(0)), tokens=None),
    },
    today_usd={"acme": Decimal("30.123456789012"), "globex": None, "_unused": Decimal(4)},
    month_to_date_usd={"acme": Decimal("812.5"), "globex": Decimal(3)},
    today_by_model_usd={("haiku", "bedrock"): Decimal("1.5"), ("unpriced", "bedrock"): None},
    unpriced_lines={"anthropic.unheard-of": 3, "ml.g9.xlarge": 1},
    uncounted_requests=2,
    ledger_difference_percent={"acme": 0.25},
    unused_capacity_percent={"llama": Decimal(40)},
    observability_share_percent=Decimal("2.4"),
    observability_budget_used_percent=Decimal(85),
    sampling_factor=0.75,
    cost_age_s=300.0,
    reconciliation_overdue_days=4,
    days_to_end_of_life={"haiku": 12},
)


def read(lines: list[bytes]) -> Series:
    """What CloudWatch makes of EMF lines: a value for each series."""
    series: Series = {}
    for line in lines:
        document = orjson.loads(line)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = tuple((name, document[name]) for name in names)
                for metric in directive["Metrics"]:
                    key = (directive["Namespace"], metric["Name"], dimensions)
                    assert key not in series
                    series[key] = document[metric["Name"]]
    return series


def test_every_figure_is_a_series_with_its_value() -> None:
    acme, component = (("tenant_id", "acme"),), (("component", "costagg"),)
    assert read(figure_lines(START, FIGURES)) == {
        (COST, "cost_today_usd", acme): 30.123456789012,
        (COST, "cost_today_usd", (("tenant_id", "quiet"),)): 0.0,
        (COST, "cost_today_usd", (("tenant_id", "_unused"),)): 4.0,
        (COST, "cost_today_usd", (("model_id", "haiku"), ("endpoint_type", "bedrock"))): 1.5,
        (COST, "cost_month_to_date_usd", acme): 812.5,
        (COST, "cost_month_to_date_usd", (("tenant_id", "globex"),)): 3.0,
        (COST, "cost_month_to_date_usd", (("tenant_id", "quiet"),)): 0.0,
        (COST, "cost_month_to_date_usd", (("tenant_id", "_unused"),)): 0.0,
        (COST, "budget_used_percent", acme): 120.0,
        (COST, "budget_projected_percent", acme): 240.0,
        (COST, "budget_used_percent", (("tenant_id", "quiet"),)): 0.0,
        (COST, "budget_projected_percent", (("tenant_id", "quiet"),)): 0.0,
        (COST, "token_budget_used_percent", acme): 25.0,
        (COST, "token_budget_projected_percent", acme): 50.0,
        (COST, "ledger_difference_percent", acme): 0.25,
        (COST, "unpriced_usage", component): 4,
        (COST, "unpriced_usage", (("price_key", "anthropic.unheard-of"),)): 3,
        (COST, "unpriced_usage", (("price_key", "ml.g9.xlarge"),)): 1,
        (COST, "uncounted_requests", component): 2,
        (COST, "unused_capacity_percent", (("endpoint_name", "llama"),)): 40.0,
        (COST, "observability_share_percent", component): 2.4,
        (COST, "observability_budget_used_percent", component): 85.0,
        (PIPELINE, "availability", component): 1,
        (PIPELINE, "cost_age_seconds", component): 300.0,
        (PIPELINE, "reconciliation_overdue_days", component): 4,
        (PIPELINE, "sampling_factor", (("reason", "observability_budget"),)): 0.75,
        (PIPELINE, "model_days_to_end_of_life", (("model_id", "haiku"),)): 12,
    }


def test_the_job_publishes_all_of_cost_but_what_is_held_against_awss_bill() -> None:
    published = {(namespace, name) for namespace, name, _ in read(figure_lines(START, FIGURES))}
    assert {(COST, metric.name) for metric in COST_METRICS} - published == {
        (COST, RECONCILIATION_ERROR_PERCENT.name),
        (COST, ACCOUNT_BUDGET_USED_PERCENT.name),
    }
    assert published <= set(METRICS)


def test_a_run_that_knows_nothing_says_only_that_it_failed() -> None:
    series = read(figure_lines(START, Figures(available=False)))
    assert series == {(PIPELINE, "availability", (("component", "costagg"),)): 0}


def test_a_day_without_unpriced_usage_says_so() -> None:
    series = read(figure_lines(START, Figures(available=True, unpriced_lines={}, uncounted_requests=0)))
    component = (("component", "costagg"),)
    assert series[COST, "unpriced_usage", component] == 0
    assert series[COST, "uncounted_requests", component] == 0
    assert [names for _, name, names in series if name == "unpriced_usage"] == [component]


def test_all_lines_bear_the_moment_of_the_run() -> None:
    at = {orjson.loads(line)["_aws"]["Timestamp"] for line in figure_lines(START, FIGURES)}
    assert at == {int(START.timestamp() * 1_000)}


def test_the_same_figures_are_the_same_lines() -> None:
    assert figure_lines(START, FIGURES) == figure_lines(START, FIGURES)


@pytest.mark.parametrize(("today", "days"), [(date(2026, 11, 23), 8), (date(2026, 12, 3), -2)])
def test_an_end_of_life_is_so_many_days_away(today: date, days: int) -> None:
    model = (
        '[models.{name}]\nendpoint_type="bedrock"\nbackend_model_id="m"\ndialect="converse"\nprice_key="m"\n'
    )
    text = model.format(name="old") + "end_of_life=2026-12-01\n" + model.format(name="new")
    assert days_to_end_of_life(parse_catalogue(text, folder=Path()), today) == {"old": days}
