"""A tenant says: this request took forever, and tells its trace id."""

import re
from decimal import Decimal

from playwright.async_api import expect

from harness.chromium import Person, cells_of
from harness.night.requests import COMPLAINT
from harness.night.scores import PROMPT
from harness.night.world import World


async def test_the_trace_tells_what_happened_to_the_request(operator: Person) -> None:
    page = operator.page
    await page.keyboard.press("/")
    await page.keyboard.type(COMPLAINT)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_contain_text(COMPLAINT)

    parts = await cells_of(page, "Where the time went")
    assert [row[0] for row in parts if "Call" in row[0]] == [
        "✕ Call 1: failed",
        "✕ Call 2: failed",
        "Call 3: until its first token",
        "Call 3: the rest of the answer",
    ]
    lengths = [Decimal(row[-1].replace(",", "")) for row in parts[:-1]]
    assert sum(lengths) == Decimal(parts[-1][-1].replace(",", "")) == 14_200

    calls = await cells_of(page, "Calls to models")
    assert [re.sub(r"^\W+", "", row[1]) for row in calls] == ["requested", "retry", "fallback"]
    assert "backend_timeout" in calls[0][3]
    assert "ModelError" in calls[1][3]
    assert calls[2][2].startswith("claude-haiku-4-5")
    await operator.shot("trace")
    await operator.look()


async def test_tokens_times_prices_are_the_cost(operator: Person) -> None:
    await operator.goto(f"/traces/{COMPLAINT}")
    *rows, total = await cells_of(operator.page, "Tokens and their prices")
    billed = [row for row in rows if row[0] == "3"]
    assert [row[1] for row in billed] == ["input", "output", "cache read"]
    for row in billed:
        assert Decimal(row[2].replace(",", "")) * Decimal(row[5]) / 1_000_000 == Decimal(row[7])
    assert sum(Decimal(row[7]) for row in billed) == Decimal(total[7])
    assert all("nobody bills it" in row[7] for row in rows if row[0] in {"1", "2"})


async def test_what_was_said_is_shown_on_request_and_each_reading_is_written_down(
    operator: Person, world: World
) -> None:
    page = operator.page
    await operator.goto(f"/traces/{COMPLAINT}")
    await expect(page.get_by_text(PROMPT)).to_have_count(0)
    before = readings(world)
    await page.get_by_role("button", name="Show what was said").click()
    await expect(page.get_by_text(PROMPT)).to_be_visible()
    await expect(page.get_by_text("Returns: 30 days from delivery")).to_be_visible()
    (read,) = readings(world)[len(before) :]
    assert read["viewer"]
    assert read["tenant_id"] == "acme"
    await operator.look()
    await operator.goto(page.url)  # the address alone shows nothing
    await expect(page.get_by_text(PROMPT)).to_have_count(0)


def readings(world: World) -> list[dict[str, str]]:
    trace_id = COMPLAINT.replace("-", "")
    return [
        line
        for line in world.logged()
        if line["message"] == "content_read" and line["trace_id"].replace("-", "") == trace_id
    ]


async def test_the_log_has_its_line(operator: Person) -> None:
    page = operator.page
    await operator.goto(f"/traces/{COMPLAINT}")
    await page.get_by_role("link", name="The log's lines").click()
    line = page.locator("#log ~ .said pre, section[aria-labelledby=log] pre").first
    await expect(line).to_contain_text(COMPLAINT)
    await expect(line).to_contain_text('"tenant_id":"acme"')
    assert PROMPT not in await page.content()


async def test_an_id_that_nobody_knows_says_where_was_looked(operator: Person) -> None:
    page = operator.page
    unknown = "0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f"
    with operator.refused(404):
        await page.get_by_role("searchbox", name="Trace id").fill(unknown)
        await page.get_by_role("button", name="Find").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("No such trace")
    await expect(page.get_by_text("the ledger's index of traces")).to_be_visible()
    await operator.look()
