"""A browser without JavaScript still tells the essential."""

from playwright.async_api import expect

from harness.chromium import NewPerson
from harness.night.account import ENDPOINT, GLOBEX, INITECH
from harness.night.requests import COMPLAINT
from harness.night.scores import PROMPT
from harness.night.world import World


async def test_the_essential_is_there(new_person: NewPerson, world: World) -> None:
    async with new_person(java_script_enabled=False) as plain:
        page = plain.page
        await plain.goto("/")
        await plain.sign_in(world.operator_key)
        await expect(page.locator(".alarms")).to_contain_text("Scores have fallen")
        await expect(page.locator("tr", has_text=GLOBEX)).to_contain_text("239 %")

        await page.get_by_role("searchbox", name="Trace id").fill(COMPLAINT)
        await page.get_by_role("button", name="Find").click()
        await expect(page.locator("table", has_text="Call 1: failed")).to_contain_text("14,200.0")
        await page.get_by_role("button", name="Show what was said").click()
        await expect(page.get_by_text(PROMPT)).to_be_visible()

        await plain.goto(f"/endpoints/{ENDPOINT}?last=1h")
        await page.locator("#chart-endpoint-gpu summary").click()
        await expect(page.locator("#chart-endpoint-gpu table")).to_contain_text("98.0 %")
        await plain.goto(f"/evaluations/{INITECH}")
        await expect(page.get_by_role("alert")).to_contain_text("they get lost at worker")
        await plain.goto(f"/cost/{GLOBEX}")
        assert await page.locator("table", has_text="claude-sonnet-4-6").count()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("button", name="Sign in")).to_be_visible()


async def test_tables_are_sorted_by_links(new_person: NewPerson, world: World) -> None:
    async with new_person(java_script_enabled=False) as plain:
        await plain.goto("/")
        await plain.sign_in(world.operator_key)
        table = plain.page.locator("table", has=plain.page.locator("caption", has_text="Tenants"))
        for owner in (GLOBEX, "initech-bank"):
            await table.get_by_role("link", name="Spend today").click()
            await expect(table.locator("tbody tr").first).to_contain_text(owner)
