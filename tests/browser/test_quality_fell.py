"""Quality fell overnight: from the alarm's message to the moment, the worst answers and a trace."""

import json
import re

from playwright.async_api import Page, expect

from harness.chromium import Person, cells_of
from harness.night.account import HAIKU
from harness.night.scores import FALLEN, REASON, WORSE
from harness.night.world import World

ALARM = f"llm-platform/scores/acme/{HAIKU}/relevance/score-fallen"


async def test_the_message_leads_to_the_worst_answers(somebody: Person, world: World) -> None:
    page = somebody.page
    await somebody.goto(await link_in_message(world, ALARM))
    await somebody.sign_in(world.operator_key)

    await expect(page.get_by_role("heading", level=1)).to_have_text("Scores have fallen")
    await expect(page.locator(".facts .badge.critical")).to_contain_text("ALARM")
    await somebody.look()

    await page.get_by_role("link", name="See what happened then").click()
    await expect(page).to_have_url(re.compile(r"/evaluations/acme\?.*from="))
    await page.get_by_role("link", name="24h", exact=True).click()
    await expect(page).to_have_url(re.compile("last=24h"))
    await expect(page.get_by_label("Model")).to_have_value(HAIKU)
    await somebody.look()

    worst = await cells_of(page, "Worst answers")
    assert min(int(re.sub(r"\D", "", cell)) for cell in worst[0][4:6]) <= 2
    await page.locator(".worst tbody a").first.click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Trace")
    await page.get_by_role("button", name="Show what was said").click()
    await expect(page.get_by_text(WORSE)).to_be_visible()
    await expect(page.get_by_text(REASON).first).to_be_visible()


async def test_the_moment_of_change_is_drawn_and_told(operator: Person, world: World) -> None:
    page = operator.page
    await operator.lead_to("e")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Evaluations")
    await operator.look()
    rows = await cells_of(page, "Scores by tenant and model")
    fell = f"{world.evaluated.fell_at:%m-%d %H:%M} UTC"
    assert [row[0] for row in rows if fell in row[2]] == ["acme"]
    await page.get_by_role("link", name=HAIKU).first.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Evaluations of acme")
    await page.get_by_role("link", name="24h", exact=True).click()
    await expect(page).to_have_url(re.compile("last=24h"))

    told = await cells_of(page, "How scores stand")
    fallen = {row[0] for row in told if f"{world.evaluated.fell_at:%Y-%m-%d %H:%M}" in " ".join(row)}
    assert fallen == {"Relevance", "Factual fidelity"}
    assert len(fallen) == len(FALLEN)
    marks = await marks_of(page, "Relevance")
    assert [mark["at"] for mark in marks][:1] == [world.evaluated.fell_at.timestamp()]
    assert await marks_of(page, "Coherence") == []
    await page.get_by_role("heading", name="Over time").evaluate("title => title.scrollIntoView()")
    await operator.shot("evaluations")


async def test_the_judges_reasons_are_read_on_request(operator: Person, world: World) -> None:
    page = operator.page
    await operator.goto(f"/evaluations/acme?model={HAIKU}&last=24h")
    await expect(page.get_by_text(REASON)).to_have_count(0)
    await page.get_by_role("button", name="Show the judge's reasons").click()
    await expect(page.get_by_text(REASON).first).to_be_visible()
    assert any(line["message"] == "content_read" for line in world.logged())
    await operator.look()


async def link_in_message(world: World, alarm: str) -> str:
    """The link to the console in what whoever is on call is sent."""
    links = re.findall(r"https?://\S+/alarms/\S+", await world.message_of(alarm))
    assert len(links) == 1
    return str(links[0])


async def marks_of(page: Page, title: str) -> list[dict[str, float]]:
    chart = page.locator(".chart", has=page.get_by_role("heading", name=re.compile(rf"^{title}")))
    data = json.loads(await chart.locator('script[type="application/json"]').first.inner_text())
    marks: list[dict[str, float]] = data["marks"]
    return marks
