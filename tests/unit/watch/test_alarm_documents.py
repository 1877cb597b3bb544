"""docs/alarms.md tells of every alarm, as the table of alarms has it, and of what they cost."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from harness.alarm_table import DOCUMENT, written
from harness.alarm_world import ACCOUNT
from llmplatform.catalogue import load_catalogue
from llmplatform.evaluations import DIMENSIONS
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy
from llmplatform.prices import load_prices
from watch.alarming.counting import Standing, standing
from watch.alarming.definitions import (
    SUPPRESSOR_EXTENSION_S,
    SUPPRESSOR_WAIT_S,
    AlarmDefinition,
    MetricAlarm,
    definitions,
    definitions_of,
)
from watch.alarming.planning import Selection, plan
from watch.alarms import RULES
from watch.limits import Limits
from watch.tables.targets import Scores, Tenant, World

TEXT = DOCUMENT.read_text(encoding="utf-8")
LIMITS = Limits.model_construct()
AT = date(2026, 11, 29)
PLAIN = TenantPolicy(tenant_id=TenantId("acme"))
BUDGETED = TenantPolicy(tenant_id=TenantId("acme"), daily_budget_usd=Decimal(1), daily_budget_tokens=1)


def standing_of(wanted: Iterable[AlarmDefinition]) -> Standing:
    """How many these are and what they cost a month, once they were put."""
    made = tuple(wanted)
    planned = plan(made, (), Selection(platform_wide=True))
    return standing(planned, (), made, {}, load_prices(), at=AT, region="us-east-1")


def test_the_table_of_the_document_is_the_table_of_alarms() -> None:
    assert written(TEXT) == TEXT, "run: PYTHONPATH=tests python -m harness.alarm_table"


def test_every_rule_is_in_it() -> None:
    for rule in RULES:
        assert f"[{rule.key}](runbooks/{rule.page}.md)" in TEXT


def test_the_periods_of_suppressors_are_told() -> None:
    assert f"{SUPPRESSOR_WAIT_S} s" in TEXT
    assert f"{SUPPRESSOR_EXTENSION_S} s" in TEXT


def test_the_alarms_of_a_tenant_and_what_they_cost_are_told() -> None:
    fewest, most = (
        standing_of(definitions_of(Tenant(policy), LIMITS, ACCOUNT)) for policy in (PLAIN, BUDGETED)
    )
    assert f"{fewest.alarms.total} to {most.alarms.total} alarms" in TEXT
    told = f"{most.alarms.total} alarms, of which {most.alarms.composite} are composites"
    assert f"A tenant with both budgets has {told}: ${most.known_usd:.2f} a month." in TEXT


def test_the_alarms_of_a_series_of_scores_and_what_they_cost_are_told() -> None:
    series = standing_of(definitions_of(Scores("acme", "model", "relevance"), LIMITS, ACCOUNT))
    told = f"{series.alarms.total}, with the band and the notice: ${series.known_usd:.2f}."
    assert f"Each series of scores has {told}" in TEXT


def test_the_alarms_of_fifty_tenants_and_what_they_cost_are_told() -> None:
    tenants = [BUDGETED.model_copy(update={"tenant_id": TenantId(f"tenant-{one}")}) for one in range(50)]
    scores = [
        Scores(tenant.tenant_id, f"model-{model}", dimension)
        for tenant in tenants
        for model in range(3)
        for dimension in DIMENSIONS
    ]
    made = tuple(
        definitions(World(load_catalogue(), tuple(tenants), tuple(scores), ("judge",)), LIMITS, ACCOUNT)
    )
    bandless = [one for one in made if not (isinstance(one, MetricAlarm) and one.band)]
    full, least = standing_of(made), standing_of(bandless)
    assert f"that is {full.alarms.total:,} alarms and ${full.known_usd:,.0f} a month" in TEXT
    assert f"(`WATCH_BANDS=false`) {least.alarms.total:,} and ${least.known_usd:,.0f}." in TEXT
