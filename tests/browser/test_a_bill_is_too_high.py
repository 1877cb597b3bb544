"""A bill is too high: who spends most, on which model, since when, and what nobody knows the price of."""

import csv
import re
from decimal import Decimal

from playwright.async_api import expect

from harness.chromium import Person, cells_of, lines_of
from harness.night.account import GLOBEX, NOVA, SONNET
from harness.night.world import World

CHARGES = "What it was spent on"


async def test_the_overview_leads_to_the_model_and_the_day(operator: Person, world: World) -> None:
    page = operator.page
    await operator.look()
    await page.get_by_role("link", name="1h", exact=True).click()
    await expect(page).to_have_url(re.compile("last=1h"))
    tenants = page.locator("table", has=page.locator("caption", has_text="Tenants"))
    spend = tenants.get_by_role("link", name="Spend today")
    await spend.click()
    await expect(spend.locator("xpath=..")).to_have_attribute("aria-sort", "descending")
    await expect(tenants.locator("tbody tr").first).to_contain_text(GLOBEX)
    await expect(tenants.locator("tbody tr").first).to_contain_text("239 %")
    await operator.shot("overview")

    await tenants.get_by_role("link", name=GLOBEX).click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Globex Health")
    await operator.look()
    await page.locator(".elsewhere").get_by_role("link", name="Cost").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text(f"Cost of {GLOBEX}")
    await operator.look()

    charges = await cells_of(page, CHARGES)
    spent = {(row[0].partition(" ")[0], row[1]): row[5] for row in charges[:-1]}
    today = world.costs.today(GLOBEX)
    assert sum(dollars(spent[SONNET, kind]) for kind in ("input", "output")) >= today * Decimal("0.99")
    assert spent[NOVA, "input"] == "–"
    assert "at least" in charges[-1][5]
    days = page.locator(".chart", has=page.get_by_role("heading", name="Dollars a day"))
    await days.locator(".plot").focus()
    await page.keyboard.press("End")
    await expect(days.locator("[data-reading]")).to_have_text(
        re.compile(rf"{world.now:%Y-%m-%d} .*{GLOBEX} \$95\.7")
    )


async def test_what_has_no_price_is_said_and_is_no_zero(operator: Person) -> None:
    page = operator.page
    await operator.lead_to("c")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Cost of")
    await operator.look()
    without = page.locator(".figure", has_text="Lines without a price")
    await expect(without).to_have_class(re.compile("warning"))
    (row,) = (row for row in await cells_of(page, "by tenant") if row[0] == GLOBEX)
    assert "unpriced" in row[-1]


async def test_the_file_says_what_the_page_says(operator: Person) -> None:
    page = operator.page
    await operator.goto(f"/cost/{GLOBEX}")
    table = page.locator(".table", has=page.locator("caption", has_text=CHARGES))
    async with page.expect_download() as downloading:
        await table.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(await lines_of(await downloading.value)))
    shown = (await cells_of(page, CHARGES))[:-1]
    assert [row["model"] for row in rows] == [row[0] for row in shown]
    for row, cells in zip(rows, shown, strict=True):
        if row["amount"]:
            assert round(Decimal(row["amount"]), 2) == dollars(cells[5])
        else:
            assert cells[5] == "–"


def dollars(text: str) -> Decimal:
    """An amount as a page shows it."""
    return Decimal(re.sub(r"[^\d.]", "", text))
