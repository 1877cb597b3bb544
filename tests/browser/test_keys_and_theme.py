"""What works everywhere: keys, the theme, local times, the skip link."""

import re

from playwright.async_api import expect

from harness.chromium import NewPerson, Person
from harness.night.world import World


async def test_keys_lead_to_every_place(operator: Person) -> None:
    page = operator.page
    for key, title in (
        ("r", "Requests"),
        ("e", "Evaluations"),
        ("c", "Cost of"),
        ("a", "Alarms"),
        ("o", "Overview"),
    ):
        await operator.lead_to(key)
        await expect(page.get_by_role("heading", level=1)).to_contain_text(title)
        await expect(page.locator(".places a[aria-current=page]")).to_have_attribute("data-key", key)


async def test_the_list_of_keys_opens_and_closes(operator: Person) -> None:
    page = operator.page
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await operator.look()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.keyboard.press("/")
    await expect(page.get_by_role("searchbox", name="Trace id")).to_be_focused()
    await page.keyboard.type("gat?")  # typed, and no key
    await expect(page.get_by_role("searchbox", name="Trace id")).to_have_value("gat?")


async def test_the_theme_is_chosen_and_kept(operator: Person) -> None:
    page = operator.page
    toggle = page.get_by_role("button", name="Theme")
    colour = "getComputedStyle(document.documentElement).backgroundColor"
    light = await page.evaluate(colour)
    await toggle.click()
    await expect(toggle).to_have_text("Theme: dark")
    dark = await page.evaluate(colour)
    assert dark != light
    await operator.goto("/cost")
    assert await page.evaluate(colour) == dark
    await page.keyboard.press("t")
    await expect(toggle).to_have_text("Theme: light")
    await page.emulate_media(color_scheme="dark")
    assert await page.evaluate(colour) == light
    await page.keyboard.press("t")
    await expect(toggle).to_have_text("Theme: system")
    assert await page.evaluate(colour) == dark


async def test_charts_and_their_legends_take_the_themes_colours(operator: Person) -> None:
    page = operator.page
    marker = page.locator(".chart .u-series:nth-child(2) .u-marker").first
    await expect(marker).to_be_visible()
    colour = "marker => getComputedStyle(marker).borderTopColor"
    light = await marker.evaluate(colour)
    await page.get_by_role("button", name="Theme").click()
    assert await marker.evaluate(colour) != light


async def test_the_first_tab_skips_to_the_content(operator: Person) -> None:
    page = operator.page
    await operator.goto("/cost")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#content")).to_be_focused()


async def test_times_are_utc_with_the_local_time_beside_them(new_person: NewPerson, world: World) -> None:
    async with new_person(timezone_id="Asia/Kolkata") as abroad:
        await abroad.goto("/requests?last=1h")
        await abroad.sign_in(world.operator_key)
        time = abroad.page.locator("tbody time").first
        await expect(time).to_have_text(re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d.* local"))
        moment = await time.get_attribute("datetime")
        assert moment is not None
        assert moment.endswith("Z")
        await abroad.look()
