"""Estimates for tests: shipped catalogue and prices at the design's scale, changed where a test wants it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, Final

from llmplatform.catalogue import load_catalogue
from llmplatform.prices import load_prices
from operator_cli.estimate.alarms import alarm_units
from operator_cli.estimate.estimating import Asked
from operator_cli.estimate.needs import Facts, House, Needs
from operator_cli.estimate.pricing import Pricing
from operator_cli.estimate.workload import Workload, shares_of
from watch.limits import Limits

AT: Final = date(2026, 11, 29)
CATALOGUE: Final = load_catalogue()
HAIKU: Final = "anthropic.claude-haiku-4-5/geo"
FIVE_MODELS: Final = "claude-sonnet-4-6,claude-haiku-4-5,nova-2-lite,nova-pro,nova-lite"
JUDGES: Final[Mapping[str, str]] = {"claude-haiku-4-5": HAIKU, "nova-2-lite": "amazon.nova-2-lite/geo"}
BANDLESS: Final = alarm_units(CATALOGUE, Limits(), bands=False)
HOUSE: Final = House(
    judge_calls_at_once=32,
    judge_daily_budget_usd=Decimal(20),
    observing_daily_budget_usd=Decimal(500),
    max_series=10_000,
    max_alarms=8_000,
    policy_refresh_s=Decimal(45),
    policy_load_s=Decimal(30),
)
FACTS: Final = Facts(
    catalogue=CATALOGUE,
    judge="claude-haiku-4-5",
    judge_price_key=HAIKU,
    alarm_units=alarm_units(CATALOGUE, Limits(), bands=True),
    house=HOUSE,
)
DESIGN: Final = Workload(
    tenants=50,
    requests_per_day=2_000_000,
    tokens_per_request=4_000,
    models=shares_of(FIVE_MODELS, CATALOGUE),
    models_per_tenant=3,
    output_share=Decimal("0.15"),
    sample_rate=Decimal("0.05"),
    peak_to_mean=Decimal(3),
    largest_tenant=Decimal("0.2"),
)


def workload(**changes: Any) -> Workload:
    """The design's, but for `changes`; `models` as on the command line."""
    if "models" in changes:
        changes["models"] = shares_of(changes["models"], CATALOGUE)
    return replace(DESIGN, **changes)


def needs(**changes: Any) -> Needs:
    """Of the design's workload, but for `changes`."""
    return Needs(workload(**changes), FACTS)


def pricing(region: str = "us-east-1") -> Pricing:
    """By the shipped prices."""
    return Pricing(load_prices(), AT, region)


def asked(*factors: int, **changes: Any) -> Asked:
    """The design's scale, at these sizes."""
    return Asked(
        workload=workload(**changes),
        factors=tuple(map(Decimal, factors or (1,))),
        growth="tenants",
        facts=FACTS,
        judges=JUDGES,
        bandless=BANDLESS,
    )
