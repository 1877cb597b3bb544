"""Each limit is told how full it is, when it is full, and what to do then."""

from dataclasses import replace
from decimal import Decimal
from functools import cache

import pytest

from harness.estimates import DESIGN, FACTS, needs, pricing
from operator_cli.estimate.limits import FACTORS, SMALLEST, Filling, Limit, fillings, limits_of
from operator_cli.estimate.needs import Needs
from operator_cli.estimate.quotas import output_burndown, tokens_a_minute
from operator_cli.estimate.workload import Growth

THOUSAND = DESIGN.times(Decimal(1_000), "traffic")


def named(name: str, of: Needs) -> Limit:
    (found,) = (limit for limit in limits_of(of, pricing()) if limit.name == name)
    return found


def fullness(name: str, of: Needs) -> Decimal:
    found = named(name, of).fullness
    assert found is not None
    return found


@cache
def filled(growth: Growth) -> dict[str, Filling]:
    found = fillings((DESIGN,), DESIGN, growth, FACTS, pricing())
    return {filling.limits[0].name: filling for filling in found}


@pytest.mark.parametrize(
    ("name", "full", "not_full"),
    [
        ("Bedrock, anthropic.claude-haiku-4-5/geo", needs(), needs(requests_per_day=100_000)),
        ("all tasks", needs(), None),
        ("behind the load balancer", Needs(THOUSAND, FACTS), needs()),
        ("reads of Parameter Store", needs(tenants=5_000), needs()),
        ("a reading of all parameters", needs(tenants=10_000), needs()),
        ("Parameter Store", needs(tenants=5_000), needs()),
        ("evaluation workers", Needs(DESIGN.times(Decimal(100), "traffic"), FACTS), needs()),
        ("into the stream", Needs(THOUSAND, FACTS), needs()),
        ("request-ledger", Needs(THOUSAND, FACTS), needs()),
        ("request-ledger, one partition", Needs(THOUSAND, FACTS), needs()),
        ("eval-results, one partition", Needs(THOUSAND, FACTS), needs()),
        ("cost job, one run", Needs(THOUSAND, FACTS), needs()),
        ("tenant-cost, an hour's status", needs(tenants=8_000), needs()),
        ("alarms in CloudWatch", needs(), needs(tenants=10)),
        ("anomaly bands", needs(), needs(models_per_tenant=1)),
        ("judging the largest tenant, our budget", needs(), needs(largest_tenant=Decimal("0.04"))),
        ("observing, our budget", needs(tenants=100), needs(sample_rate=Decimal("0.01"))),
        ("series, our budget", needs(tenants=100), needs()),
        ("alarms, our budget", needs(tenants=100), needs()),
    ],
)
def test_a_limit_is_full_where_it_is_and_only_there(name: str, full: Needs, not_full: Needs | None) -> None:
    assert fullness(name, full) > 1
    if not_full is not None:
        assert fullness(name, not_full) <= 1


def test_every_limit_that_is_known_is_full_at_some_size() -> None:
    found = {**filled("traffic"), **{name: each for name, each in filled("tenants").items() if each.full_at}}
    known = {name for name, each in found.items() if each.limits[0].fullness is not None}
    assert {name for name, each in found.items() if each.full_at is not None} == known


def test_a_limit_is_full_just_above_the_size_before() -> None:
    at = filled("tenants")["reads of Parameter Store"].full_at
    assert at is not None
    before = FACTORS[FACTORS.index(at) - 1]
    assert fullness("reads of Parameter Store", Needs(DESIGN.times(at, "tenants"), FACTS)) > 1
    assert fullness("reads of Parameter Store", Needs(DESIGN.times(before, "tenants"), FACTS)) <= 1


def test_what_stands_there_anyway_may_be_too_much_at_any_size() -> None:
    assert filled("tenants")["all tasks"].full_at == SMALLEST


def test_one_tenant_is_no_hotter_for_having_company() -> None:
    name = "request-ledger, one partition"
    assert filled("tenants")[name].full_at is None
    assert filled("traffic")[name].full_at is not None


def test_the_first_to_be_full_stands_first_and_what_nobody_knows_last() -> None:
    found = list(filled("tenants").values())
    sizes = [each.full_at for each in found if each.full_at is not None]
    assert sizes == sorted(sizes)
    assert found[-1].limits[0].fullness is None


def test_the_judge_shares_the_quota_of_tenants_with_the_same_model() -> None:
    name = "Bedrock, anthropic.claude-haiku-4-5/geo"
    without = named(name, needs(sample_rate=Decimal(0))).used.likely
    judged = named(name, needs()).used.likely - without
    # 3.47 samples a second at the peak, each 2,400 tokens and 300 of output that count five times
    assert judged == pytest.approx(Decimal(2_000_000) * 3 / 1_440 * Decimal("0.05") * 3_900)


def test_a_judge_of_its_own_has_a_quota_of_its_own() -> None:
    names = {limit.name for limit in limits_of(needs(models="nova-lite"), pricing())}
    assert {"Bedrock, amazon.nova-lite/geo", "Bedrock, anthropic.claude-haiku-4-5/geo"} <= names


def test_a_quota_that_no_source_confirmed_is_unknown() -> None:
    assert tokens_a_minute("amazon.nova-lite/geo").value is None
    assert named("Bedrock, amazon.nova-lite/geo", needs()).fullness is None


@pytest.mark.parametrize(
    ("key", "tokens"), [("anthropic.claude-sonnet-4-6/geo", 5), ("amazon.nova-pro/geo", 1)]
)
def test_output_of_claude_counts_five_times(key: str, tokens: int) -> None:
    assert output_burndown(key) == tokens


def test_without_a_budget_for_observing_there_is_no_such_limit() -> None:
    facts = replace(FACTS, house=replace(FACTS.house, observing_daily_budget_usd=None))
    names = [limit.name for limit in limits_of(Needs(DESIGN, facts), pricing())]
    assert "observing, our budget" not in names


def test_every_limit_names_a_source_and_a_change() -> None:
    for limit in limits_of(needs(), pricing()):
        assert limit.quota.source, limit.name
        assert limit.change, limit.name


def test_limits_are_the_same_at_every_size() -> None:
    names = [
        [limit.name for limit in limits_of(Needs(each, FACTS), pricing())] for each in (DESIGN, THOUSAND)
    ]
    assert names[0] == names[1]
