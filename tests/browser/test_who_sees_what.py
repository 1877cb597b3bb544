"""A tenant's role in the browser, the billing role, and sessions that end."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.async_api import expect

from harness.chromium import Person
from harness.night.account import ENDPOINT, GLOBEX, HAIKU, INITECH
from harness.night.requests import COMPLAINT
from harness.night.world import SESSION_KEY, World
from harness.platform import until
from llmplatform import apikeys
from llmplatform.aws.access import AccessStore
from llmplatform.clock import SystemClock
from sandbox.emulator import sandbox_session
from watch.console.sessions import Session, SessionSeal


async def test_a_tenant_sees_itself_alone(somebody: Person, world: World) -> None:
    page = somebody.page
    await somebody.goto("/")
    await somebody.sign_in(world.tenant_keys[GLOBEX])
    await expect(page).to_have_url(re.compile(f"/tenants/{GLOBEX}"))
    for path in (f"/tenants/{GLOBEX}", "/requests", f"/cost/{GLOBEX}", "/alarms", "/evaluations"):
        await somebody.goto(path)
        text = await page.content()
        assert GLOBEX in text
        assert not [other for other in ("acme", INITECH, "umbrella") if other in text]
        await somebody.look()


@pytest.mark.parametrize(
    "path",
    [
        "/tenants/acme",
        f"/traces/{COMPLAINT}",
        "/cost/acme",
        "/evaluations/acme",
        f"/endpoints/{ENDPOINT}",
        f"/models/{HAIKU}",
        "/platform",
        "/alarms/llm-platform%2Ftenant%2Facme%2Fttft-p99",
    ],
)
async def test_what_is_anothers_is_not_there(somebody: Person, world: World, path: str) -> None:
    await somebody.goto("/")
    await somebody.sign_in(world.tenant_keys[GLOBEX])
    await somebody.goto("/requests")
    before = len(world.logged())
    response = await somebody.page.goto(f"{world.console_url}{path}")
    assert response is not None
    assert response.status in {403, 404}
    assert "acme" not in (await somebody.page.inner_text("main")).replace(path, "")
    assert not [line for line in world.logged()[before:] if line["message"] == "content_read"]
    somebody.problems = [told for told in somebody.problems if str(response.status) not in told]


async def test_hash_only_content_is_not_there_to_be_shown(somebody: Person, world: World) -> None:
    own = next(one for one in reversed(world.requests.all) if one.tenant_id == GLOBEX)
    await somebody.goto(f"/traces/{own.trace.trace_id}")
    await somebody.sign_in(world.tenant_keys[GLOBEX])
    await expect(somebody.page.get_by_text("Not shown: not kept by policy (hash_only)")).to_be_visible()
    await expect(somebody.page.get_by_role("button", name="Show what was said")).to_have_count(0)


async def test_a_wrong_key_is_told_and_a_right_one_leads_on(somebody: Person, world: World) -> None:
    page = somebody.page
    await somebody.goto("/cost?month=")
    await somebody.look()
    with somebody.refused(401):
        await page.get_by_label("Key", exact=True).fill("llmp-operator_wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_be_visible()
    await somebody.look()
    await somebody.sign_in(world.operator_key)
    await expect(page).to_have_url(re.compile(r"/cost"))
    await page.get_by_role("button", name="Sign out").click()
    await expect(page).to_have_url(re.compile(r"/login"))
    await page.go_back()
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()


async def test_a_session_that_has_expired_asks_for_the_key_and_leads_back(
    somebody: Person, world: World
) -> None:
    page = somebody.page
    expired = Session(
        id="0" * 32,
        role="operator",
        key_sha256=apikeys.key_hash(world.operator_key),
        expires_s=int((datetime.now(UTC) - timedelta(seconds=1)).timestamp()),
    )
    await somebody.goto("/")
    await somebody.sign_in(world.operator_key)
    (cookie,) = [one for one in await page.context.cookies() if "session" in one.get("name", "")]
    seal = SessionSeal(SESSION_KEY.encode())
    assert seal.open(str(cookie.get("value")), datetime.now(UTC)) is not None
    await page.context.add_cookies(
        [{"name": str(cookie.get("name")), "value": seal.seal(expired), "url": world.console_url}]
    )
    await somebody.goto("/requests?last=1h")
    await expect(page).to_have_url(re.compile(r"/login\?next=/requests"))
    await somebody.sign_in(world.operator_key)
    await expect(page).to_have_url(re.compile(r"/requests\?last=1h"))


async def test_a_revoked_key_ends_its_session(somebody: Person, world: World) -> None:
    page = somebody.page
    async with sandbox_session().client("ssm", endpoint_url=world.aws.url) as ssm:
        roles = AccessStore(ssm, SystemClock())
        key = await roles.add_key("operator")
        async with httpx.AsyncClient(base_url=world.console_url, timeout=60) as http:
            await until(http.get, "/", headers={"authorization": f"Bearer {key}"})
        await somebody.goto("/")
        await somebody.sign_in(key)
        await roles.revoke_key("operator", apikeys.key_hash(key)[:12])
    async with asyncio.timeout(60):
        while "/login" not in page.url:
            await somebody.goto("/runbooks")
