"""A new tenant: nothing of it is known yet, which is said and is no zero, with what to do next."""

import pytest
from playwright.async_api import expect

from harness.chromium import Person, cells_of
from harness.night.account import UMBRELLA


async def test_its_line_and_its_page_show_no_figure(operator: Person) -> None:
    page = operator.page
    (row,) = (row for row in await cells_of(page, "Tenants") if row[0] == UMBRELLA)
    assert set(row[2:]) == {"–"}
    await page.get_by_role("link", name=UMBRELLA).click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Umbrella Labs")
    await expect(page.get_by_text("No request of this tenant in this time.")).to_be_visible()
    await expect(page.get_by_text("A first request needs the tenant's key")).to_be_visible()
    assert await page.locator(".figure:has(.value)").all_inner_texts() == []
    # The watchdog of scores does say something of it: that none are missing.
    assert await page.locator(".chart:not(#chart-tenant-scores-missing) canvas").count() == 0
    await expect(page.get_by_text("That is not zero: nothing was published.").first).to_be_visible()
    await operator.look()


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("Requests", "No such request in this time. One that has just ended may be on its way"),
        ("Evaluations", "Samples wait on the stream for a week."),
        ("Cost", "Nothing was spent."),
        ("Alarms", "No alarm is like that"),
    ],
)
async def test_each_place_says_why_there_is_nothing(operator: Person, place: str, told: str) -> None:
    page = operator.page
    await operator.goto(f"/tenants/{UMBRELLA}")
    await page.locator(".elsewhere").get_by_role("link", name=place).click()
    await expect(page.get_by_text(told)).to_be_visible()
    await operator.look()
