"""What anybody may have written anywhere is text: it executes nothing, and breaks no page."""

import csv
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest_asyncio
from playwright.async_api import expect

from harness.chromium import Person, cells_of, lines_of
from harness.cost_lines import INPUT
from harness.night.account import HAIKU, JUDGE
from harness.night.requests import Made
from harness.night.world import World
from llmplatform import ids
from llmplatform.aws.tables import EVAL_DETECTOR, EVAL_RESULTS, REQUEST_LEDGER
from llmplatform.clock import SystemClock
from llmplatform.eval_series import Series
from llmplatform.eval_status import (
    LOOKED,
    STATUS_ENTRY,
    STATUSES,
    Look,
    SeriesStatus,
    encode_look,
    encode_statuses,
)
from llmplatform.evaluations import EvalContent, EvalResult, encode_result
from llmplatform.ids import TenantId
from llmplatform.invocation import InvocationRecord, Outcome
from llmplatform.ledger import encode_item
from llmplatform.policy import ContentMode, TenantPolicy
from llmplatform.tenants import Tenants
from sandbox.emulator import sandbox_session

MALLORY = TenantId("mallory")
SCRIPT = "<script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>"
QUOTES = "\"><svg onload=window.hurt=1>'`{{7*7}}${7*7}</textarea></title>"
FORMULA = "=cmd|' /C calc'!A0"
BACKWARDS = "\u202eevil\u202c \u2066left\u2069"
LONG = "W" * 10_000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def planted(world: World) -> AsyncIterator[InvocationRecord]:
    """A tenant in all of whose fields is something hostile; the request that has most of it."""
    async with sandbox_session().client("ssm", endpoint_url=world.aws.url) as ssm:
        tenants = Tenants(ssm, SystemClock())
        await tenants.create(
            TenantPolicy(
                tenant_id=MALLORY, display_name=f"{SCRIPT} {BACKWARDS}", content_mode=ContentMode.FULL
            )
        )
        made = Made(99)
        now = datetime.now(UTC)
        records = [
            made.request(now - timedelta(minutes=number), MALLORY, HAIKU, **_hostile(text))
            for number, text in enumerate((SCRIPT, QUOTES, FORMULA, BACKWARDS, LONG), 1)
        ]
        records[0] = replace(
            records[0],
            attempts=(
                replace(
                    records[0].attempts[0],
                    model_id=SCRIPT,
                    backend_model_id=QUOTES,
                    price_key=FORMULA,
                    error_code=SCRIPT,
                    error_type=SCRIPT,
                    outcome=Outcome.BACKEND_FAILED,
                ),
            ),
        )
        await world.put(REQUEST_LEDGER.name, map(encode_item, records))
        await world.put(EVAL_RESULTS.name, [encode_result(_result(one)) for one in records])
        await world.put(EVAL_DETECTOR.name, [_standing(now)])
        hour = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=100)
        await world.put_costs(
            {hour: (replace(INPUT, tenant_id=MALLORY, hour=hour, model_id=SCRIPT, price_key=FORMULA),)}
        )
        yield records[0]
        await tenants.remove(MALLORY)


def _hostile(text: str) -> dict[str, Any]:
    return {
        "model_id": text,
        "requested_model_id": text,
        "backend_model_id": text,
        "error_code": text,
        "route_reason": text,
        "finish_reason": text,
        "sampled": True,
        "sampled_rate": 1.0,
        "sample_reason": text[:500],
    }


def _result(request: InvocationRecord) -> EvalResult:
    return EvalResult(
        tenant_id=MALLORY,
        request_id=request.request_id,
        trace_id=ids.as_uuid(request.trace.trace_id),
        event_at=request.completed_at,
        judged_at=request.completed_at,
        model_id=SCRIPT,
        endpoint_type="bedrock",
        sample_rate=1.0,
        sample_reason="rate",
        judge=replace(JUDGE, model_id=SCRIPT, rubric_id=QUOTES),
        scores={"relevance": 1, "coherence": 1},
        content_truncated=False,
        content=EvalContent(
            prompt=f"user: {SCRIPT}{QUOTES}{BACKWARDS}{LONG}",
            completion=f"{SCRIPT}\n{LONG}",
            reasons={"relevance": f"{SCRIPT} {QUOTES}", "coherence": LONG},
        ),
    )


def _standing(now: datetime) -> dict[str, object]:
    status = SeriesStatus(
        key=Series(MALLORY, SCRIPT, "relevance", JUDGE.identity).key,
        status="steady",
        current=True,
        began=now - timedelta(days=1),
        latest=now,
    )
    return {
        EVAL_DETECTOR.partition_key.name: {"S": MALLORY},
        EVAL_DETECTOR.sort_key.name: {"S": STATUS_ENTRY},
        STATUSES: encode_statuses([status]),
        LOOKED: encode_look(Look(now)),
    }


async def test_it_is_shown_as_text_on_every_page(operator: Person, planted: InvocationRecord) -> None:
    page = operator.page
    await expect(page.get_by_role("link", name="mallory")).to_be_visible()
    trace = ids.as_uuid(planted.trace.trace_id)
    for path in (
        "/",
        "/tenants",
        f"/tenants/{MALLORY}",
        f"/requests?tenant={MALLORY}&last=1h",
        f"/traces/{trace}",
        "/evaluations",
        f"/evaluations/{MALLORY}",
        f"/cost/{MALLORY}",
    ):
        await operator.goto(path)
        await unhurt(operator)
        await operator.look()


async def test_prompts_and_reasons_are_text_too(operator: Person, planted: InvocationRecord) -> None:
    page = operator.page
    await operator.goto(f"/traces/{ids.as_uuid(planted.trace.trace_id)}")
    await page.get_by_role("button", name="Show what was said").click()
    await expect(page.get_by_text(SCRIPT).first).to_be_visible()
    await expect(page.locator("pre", has_text="WWWWWW").first).to_be_visible()
    await unhurt(operator)
    await operator.look()
    await operator.goto(f"/evaluations/{MALLORY}")
    async with page.expect_navigation():
        await page.get_by_role("button", name="Show the judge's reasons").click()
    await unhurt(operator)
    await operator.look()


async def test_what_is_searched_for_is_said_back_as_text(operator: Person) -> None:
    page = operator.page
    for text in (SCRIPT, QUOTES, BACKWARDS):
        await page.get_by_role("searchbox", name="Trace id").fill(text)
        async with page.expect_navigation():
            await page.get_by_role("button", name="Find").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await unhurt(operator)
    with operator.refused(404):
        await page.goto(f"{operator.origin}/traces/%3Cscript%3Ewindow.hurt=1%3C%2Fscript%3E")
        await unhurt(operator)


async def test_a_file_holds_no_formula(operator: Person, planted: InvocationRecord) -> None:
    page = operator.page
    assert planted.tenant_id == MALLORY
    await operator.goto(f"/requests?tenant={MALLORY}&last=1h")
    shown = await cells_of(page, "Requests")
    assert any(FORMULA in cell for row in shown for cell in row)
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="CSV").click()
    cells = [cell for row in csv.reader(await lines_of(await downloading.value)) for cell in row]
    assert any("cmd|" in cell for cell in cells)
    assert not [cell for cell in cells if re.match(r"[=+@\t\r]|-\D", cell)]


async def unhurt(person: Person) -> None:
    """Nothing that was planted has done anything."""
    page = person.page
    assert await page.evaluate("window.hurt") is None
    assert (
        await page.locator("main script:not([type='application/json']), main img, main svg[onload]").count()
        == 0
    )
