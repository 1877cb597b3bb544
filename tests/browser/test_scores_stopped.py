"""Scores stopped: which tenant's, at which stage they get lost, and since when the worker is silent."""

import re

from playwright.async_api import expect

from harness.chromium import Person, cells_of
from harness.night.account import INITECH
from harness.night.world import World


async def test_the_stage_is_named_on_the_way_to_the_runbook(operator: Person, world: World) -> None:
    page = operator.page
    await page.get_by_role("link", name=re.compile(r"^All \d+")).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Alarms")
    await operator.look()
    await page.get_by_role("link", name="Traffic without scores").first.click()
    await expect(page.locator(".facts")).to_contain_text(f"tenant/{INITECH}")

    await operator.lead_to("e")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Evaluations")
    (row,) = (row for row in await cells_of(page, "Scores by tenant and model") if row[0] == INITECH)
    assert any("worker" in cell for cell in row)
    (worker,) = await cells_of(page, "Workers, of all tenants")
    assert "silent" in worker[1]
    heard = f"{world.evaluated.heartbeat.at:%Y-%m-%d %H:%M}"
    assert heard in worker[2]

    await page.get_by_role("link", name=INITECH).first.click()
    missing = page.get_by_role("alert")
    await expect(missing).to_contain_text("they get lost at worker")
    await expect(missing).to_contain_text(heard)
    await expect(page.get_by_text("That is not a score of zero").first).to_be_visible()
    await operator.look()
    await missing.get_by_role("link", name="Runbook").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Traffic without scores")


async def test_what_was_said_under_the_tenants_own_key_can_be_read(operator: Person) -> None:
    page = operator.page
    await operator.goto(f"/evaluations/{INITECH}?last=24h")
    await page.locator(".worst tbody a").first.click()
    await page.get_by_role("button", name="Show what was said").click()
    await expect(page.get_by_text("How many days do I have to send back")).to_be_visible()
