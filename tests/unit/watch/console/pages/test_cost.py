"""The pages about cost: who spent what, how far the figures are, and who sees them."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest

from harness.console import ACME_KEY, BILLING_KEY, OPERATOR_KEY, console
from harness.cost_lines import INPUT, INSTANCE
from harness.kept_costs import KeptCosts
from llmplatform.costs import PLATFORM, UNUSED
from llmplatform.testing import START

HOUR = START.replace(minute=0, second=0)
OF_ACME = replace(INPUT, hour=HOUR - timedelta(hours=3))


def some_costs() -> KeptCosts:
    return KeptCosts(
        [
            OF_ACME,
            replace(OF_ACME, charge_class="output", amount_usd=Decimal("2.5"), quantity=Decimal(500_000)),
            replace(OF_ACME, hour=HOUR - timedelta(days=3), amount_usd=Decimal("0.25")),
            replace(INSTANCE, tenant_id="zeta", hour=HOUR, amount_usd=Decimal(7), quantity=Decimal(5)),
            replace(INSTANCE, tenant_id=UNUSED, hour=HOUR, amount_usd=Decimal(40), quantity=Decimal(28)),
            replace(INPUT, tenant_id=PLATFORM, hour=HOUR, amount_usd=Decimal("0.5")),
        ]
    )


async def get(path: str, costs: KeptCosts, key: str = OPERATOR_KEY) -> httpx.Response:
    async with console(parts={"costs": costs}) as made, made.browser(key=key) as browser:
        return await browser.get(path)


async def test_everybodys_cost_adds_up_to_the_total() -> None:
    page = (await get("/cost", some_costs())).text
    for amount in ("$3.75", "$7.00", "$40.00", "$0.50", "$51.25"):
        assert amount in page
    assert "paid for, used by nobody" in page


async def test_a_tenants_charges_have_their_price_and_where_they_come_from() -> None:
    page = (await get("/cost/acme", some_costs(), BILLING_KEY)).text
    for told in ("claude-haiku-4-5", "2,000,000", "$1.00", "a million", "direct/1", "reported", "$3.75"):
        assert told in page


async def test_a_tenant_is_led_to_its_own_cost_and_sees_no_other() -> None:
    led = await get("/cost?month=2026-01", some_costs(), ACME_KEY)
    assert (led.status_code, led.headers["location"]) == (307, "/cost/acme?month=2026-01")
    assert (await get("/cost/acme", some_costs(), ACME_KEY)).status_code == 200
    for other in ("zeta", UNUSED, PLATFORM, "none"):
        assert (await get(f"/cost/{other}", some_costs(), ACME_KEY)).status_code == 404


async def test_what_has_no_price_makes_every_sum_a_lower_bound() -> None:
    costs = some_costs()
    costs.found.append(replace(OF_ACME, model_id="new", unit_price_usd=None, amount_usd=None))
    everybody = (await get("/cost", costs)).text
    assert everybody.count("at least") == 2
    assert "unpriced" in everybody
    of_acme = (await get("/cost/acme", costs)).text
    assert "at least" in of_acme
    assert "$0.00" not in of_acme


async def test_what_others_have_without_a_price_is_not_a_tenants_to_count() -> None:
    costs = some_costs()
    costs.found += [
        replace(OF_ACME, model_id="new", unit_price_usd=None, amount_usd=None),
        replace(OF_ACME, tenant_id="zeta", model_id="new", unit_price_usd=None, amount_usd=None),
        replace(OF_ACME, tenant_id="zeta", quantity=None, amount_usd=None, requests=41),
    ]
    page = (await get("/cost/acme", costs, ACME_KEY)).text
    unpriced, uncounted = (_figure(page, name) for name in ("Lines without a price", "Calls that nobody"))
    assert (unpriced, uncounted) == ("1", "0")
    assert _figure((await get("/cost/zeta", costs)).text, "Calls that nobody") == "41"


def _figure(page: str, name: str) -> str:
    return page.partition(f"<dt>{name}")[2].partition('class="value">')[2].partition("<")[0]


async def test_nothing_computed_is_not_nothing_spent() -> None:
    page = (await get("/cost", KeptCosts())).text
    assert "No hour of this month has been computed" in page
    assert "No hour of this time has been computed yet. That is not zero." in page


async def test_costs_that_cannot_be_read_are_no_zeros() -> None:
    answer = await get("/cost", KeptCosts(broken=True))
    assert answer.status_code == 503
    assert "$" not in answer.text


async def test_a_bill_comes_as_a_file_with_every_digit() -> None:
    answer = await get("/cost/acme?format=csv&table=bill", some_costs())
    header, *rows = answer.text.splitlines()
    assert header.startswith("period,tenant_id,layer,service")
    assert len(rows) == 3
    assert all(",acme," in row for row in rows)


@pytest.mark.parametrize("month", ["2026-13", "2027-01", "all", "2026-1", "0000-01", "٢٠٢٦-01"])
async def test_a_month_that_is_none_is_named(month: str) -> None:
    answer = await get(f"/cost?month={month}", some_costs())
    assert answer.status_code == 400
    assert "month" in answer.text


async def test_another_month_is_shown_without_today() -> None:
    page = (await get("/cost?month=2025-12", some_costs())).text
    assert "Cost of 2025-12" in page
    assert "Of today" not in page
