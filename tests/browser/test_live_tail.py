"""The live tail: a request is there within seconds of its end, without a reload."""

from playwright.async_api import expect

from harness.chromium import Person
from harness.night.account import GLOBEX, HAIKU, SONNET
from harness.night.world import World
from llmplatform import ids


async def test_a_new_request_appears(operator: Person, world: World) -> None:
    page = operator.page
    await operator.goto("/requests?last=15m")
    await page.keyboard.press("l")
    await expect(page.get_by_role("status")).to_contain_text("Live")
    made = await world.another_request("acme", HAIKU)
    link = page.get_by_role("link", name=ids.as_uuid(made.trace.trace_id))
    await expect(link).to_be_visible()
    await operator.look()
    await page.keyboard.press("l")
    await expect(page.get_by_role("status")).to_contain_text("stopped")
    await link.click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text(ids.as_uuid(made.trace.trace_id))


async def test_filters_hold_for_it_too(operator: Person, world: World) -> None:
    page = operator.page
    await operator.goto(f"/requests?last=15m&tenant={GLOBEX}")
    await page.get_by_role("button", name="Live tail").click()
    other = await world.another_request("acme", HAIKU)
    own = await world.another_request(GLOBEX, SONNET)
    await expect(page.get_by_role("link", name=ids.as_uuid(own.trace.trace_id))).to_be_visible()
    await expect(page.get_by_role("link", name=ids.as_uuid(other.trace.trace_id))).to_have_count(0)
