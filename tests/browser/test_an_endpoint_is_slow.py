"""A GPU endpoint is slow: from the alarm's message to the hardware and the latency under one crosshair."""

import re
from datetime import timedelta

from playwright.async_api import expect

from harness.chromium import Person, cells_of
from harness.night.account import ENDPOINT, VARIANT
from harness.night.world import World

ALARM = f"llm-platform/endpoint/{ENDPOINT}/{VARIANT}/gpu-failing"


async def test_the_message_leads_to_the_endpoint_with_its_time_set(somebody: Person, world: World) -> None:
    page = somebody.page
    message = await world.message_of(ALARM)
    (link,) = re.findall(r"https?://\S+/alarms/\S+", message)
    await somebody.goto(link)
    await somebody.sign_in(world.operator_key)
    await expect(page.get_by_role("heading", level=1)).to_have_text(
        "GPUs are under pressure and the endpoint is failing"
    )
    await somebody.look()

    await page.get_by_role("link", name="See what happened then").click()
    await expect(page).to_have_url(re.compile(rf"/endpoints/{ENDPOINT}\?from=.*&to="))
    await expect(page.locator(".chart canvas").nth(5)).to_be_attached()
    await somebody.look()

    for chart in ("gpu", "ttft"):
        await page.locator(f"#chart-endpoint-{chart} summary").click()
    mean, busiest = (await cells_of(page, "GPU utilisation, per GPU"))[:2]
    for row in (mean, busiest):
        shown = [float(figure) for cell in row for figure in re.findall(r"([\d.]+) %", cell)]
        assert shown
        assert max(shown) <= 100
    assert "98.0 %" in busiest
    ttft = " ".join(cell for row in await cells_of(page, "Time to first token") for cell in row)
    late = [float(figure.replace(",", "")) for figure in re.findall(r"([\d,.]+) ms", ttft)]
    assert max(late) > 4_000


async def test_one_crosshair_reads_hardware_and_latency_together(operator: Person, world: World) -> None:
    page = operator.page
    first = world.now - timedelta(hours=1)
    await operator.goto(f"/endpoints/{ENDPOINT}?from={first:%Y-%m-%dT%H:%MZ}&to={world.now:%Y-%m-%dT%H:%MZ}")
    gpu, ttft = (page.locator(f"#chart-endpoint-{name}") for name in ("gpu", "ttft"))
    await expect(ttft.locator("canvas")).to_be_attached()
    await gpu.locator(".plot").focus()
    await page.keyboard.press("End")
    for _ in range(4):
        await page.keyboard.press("ArrowLeft")
    await expect(gpu.locator("[data-reading]")).to_have_text(
        re.compile(r"UTC: mean 98 %, busiest instance 98 %")
    )
    await expect(ttft.locator(".u-legend .u-value").nth(2)).to_have_text(
        re.compile(r"[5-9],\d{3} ms|1\d\.?\d* s")
    )
    await page.emulate_media(color_scheme="dark")
    await operator.shot("endpoint")


async def test_the_runbook_leads_back_to_this_endpoint(operator: Person) -> None:
    page = operator.page
    await page.get_by_role("link", name="GPUs are under pressure and the endpoint is failing").first.click()
    await page.get_by_role("link", name="Runbook").click()
    await expect(page).to_have_url(re.compile("/runbooks/"))
    await expect(page.get_by_role("heading", level=1)).to_have_text(
        "GPUs are under pressure and the endpoint is failing"
    )
    await operator.look()
    await page.get_by_role("link", name=f"/endpoints/{ENDPOINT}").first.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"Endpoint {ENDPOINT}")
