"""What stands in an account is priced by the month, and what has no price is named."""

from dataclasses import fields
from datetime import date
from decimal import Decimal

from llmplatform.fixed_costs import (
    Deployment,
    MonthlyLine,
    Service,
    known_usd,
    monthly_line,
    monthly_lines,
    unpriced,
)
from llmplatform.footprint import METRIC_MONTHS
from llmplatform.prices import load_prices

AT = date(2026, 11, 29)
GATEWAY = Service("gateway", tasks=3, vcpu=Decimal(2), memory_gb=Decimal(4))
PROD = Deployment(
    services=(GATEWAY,),
    zones=3,
    interface_endpoints=11,
    load_balancers=2,
    public_addresses=3,
    transit_gateway_attachments=1,
    hosted_zones=1,
    web_acls=1,
    web_acl_rules=4,
    keys=5,
    secrets=2,
    streams=1,
    alarms=30,
    composite_alarms=5,
    grafana_editors=2,
    grafana_viewers=10,
)


def lines_of(deployment: Deployment, region: str = "us-east-1") -> dict[str, MonthlyLine]:
    lines = monthly_lines(deployment, load_prices(), at=AT, region=region)
    return {line.what: line for line in lines}


def test_tasks_are_paid_by_vcpu_and_memory_around_the_clock() -> None:
    lines = lines_of(Deployment(services=(GATEWAY,)))
    assert lines["gateway, vCPU"].units == 3 * 2 * 730
    assert lines["gateway, vCPU"].amount_usd == Decimal("0.04048") * 4_380
    assert lines["gateway, memory"].amount_usd == Decimal("0.004445") * 8_760


def test_an_endpoint_is_paid_in_each_zone() -> None:
    assert lines_of(PROD)["interface endpoints"].amount_usd == 11 * 3 * 730 * Decimal("0.01")


def test_every_kind_of_charge_of_the_shipped_prices_is_known() -> None:
    lines = lines_of(PROD)
    kinds = [
        field.name for field in fields(Deployment) if field.name not in {"services", "zones", "web_acls"}
    ]
    assert len(lines) == len(kinds) + 2 + 1  # two of the one service, and the web ACL
    assert unpriced(lines.values()) == ()
    assert known_usd(lines.values()) > 0


def test_where_prices_are_not_known_the_lines_are_there_without_an_amount() -> None:
    lines = lines_of(PROD, region="eu-north-1")
    assert lines["load balancers"].amount_usd is None
    assert "gateway, vCPU" in unpriced(lines.values())
    # WAF and Route 53 cost the same everywhere.
    assert known_usd(lines.values()) == 5 + 4 + Decimal("0.5")


def test_nothing_costs_nothing() -> None:
    assert lines_of(Deployment()) == {}


def test_a_line_of_a_month_heeds_the_steps_of_its_price() -> None:
    line = monthly_line("series", METRIC_MONTHS, Decimal(20_000), load_prices(), at=AT, region="us-east-1")
    assert line.amount_usd == 10_000 * Decimal("0.30") + 10_000 * Decimal("0.10")
