"""What serves inference: by hand."""

from decimal import Decimal

import pytest

from harness.estimates import needs, pricing
from operator_cli.estimate.needs import Needs
from operator_cli.estimate.parts import Part
from operator_cli.estimate.serving import INTERFACE_ENDPOINTS, serving_parts

MONTH_S = 730 * 3_600


def parts_of(of: Needs) -> dict[str, Part]:
    return {part.name: part for part in serving_parts(of, pricing())}


def usd(part: Part) -> Decimal:
    assert part.usd is not None
    return part.usd.likely


def test_an_idle_gateway_is_its_least_tasks_around_the_clock() -> None:
    gateway = parts_of(needs(requests_per_day=1))["gateway"]
    assert usd(gateway) == 3 * 730 * (2 * Decimal("0.04048") + 4 * Decimal("0.004445"))


def test_a_busy_gateway_is_scaled_with_the_day() -> None:
    gateway = parts_of(needs(requests_per_day=200_000_000))["gateway"]
    assert gateway.usd is not None
    peak = gateway.quantity.likely * 730 * (2 * Decimal("0.04048") + 4 * Decimal("0.004445"))
    assert gateway.usd.low < gateway.usd.likely < peak < gateway.usd.high


def test_a_load_balancer_is_paid_by_the_bytes_of_streams() -> None:
    # 3,400 tokens of 4 bytes and 600 events of 260 are 169,600 bytes a request; a unit carries 1 GB an hour.
    balancer = parts_of(needs())["load balancer"]
    units = Decimal(169_600) * 2_000_000 / 24 / 10**9
    assert balancer.quantity.likely == pytest.approx(units)
    assert usd(balancer) == pytest.approx(730 * (Decimal("0.0225") + units * Decimal("0.008")))


def test_a_web_acl_is_paid_by_rules_and_requests() -> None:
    requests = 2_000_000 * Decimal(730) / 24
    acl = parts_of(needs())["web ACL"]
    assert usd(acl) == pytest.approx(5 + 4 + requests * Decimal("0.0000006"))


def test_endpoints_are_paid_in_three_zones_whatever_goes_through_them() -> None:
    few, many = (parts_of(needs(requests_per_day=n))["endpoints, by the hour"] for n in (1, 10**9))
    assert usd(few) == usd(many) == INTERFACE_ENDPOINTS * 3 * 730 * Decimal("0.01")


def test_reading_api_keys_again_grows_with_the_square_of_tenants() -> None:
    ten = needs(tenants=500, requests_per_day=20_000_000)
    one, more = (usd(parts_of(each)["API keys read again"]) for each in (needs(), ten))
    assert one == pytest.approx(Decimal(50 * 9) / 45 * MONTH_S * Decimal("0.000003"))
    assert more > 50 * one
