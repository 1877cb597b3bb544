"""The console as it runs: a process of its own before an account."""

import asyncio
import os
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from harness.console import hidden, sign_in
from harness.console_process import ConsoleProcess, console_process
from llmplatform import apikeys
from llmplatform.aws.access import AccessStore
from llmplatform.clock import SystemClock
from llmplatform.ids import TenantId
from llmplatform.tenants import Tenants
from sandbox.children import Child
from sandbox.emulator import Emulator, sandbox_session

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHIN_S = 60


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def aws(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as emulator:
        yield emulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory, aws: Emulator) -> AsyncIterator[ConsoleProcess]:
    folder = tmp_path_factory.mktemp("watch")
    async with console_process(folder, aws, WATCH_POLICY_REFRESH_S="1") as process:
        yield process


async def test_an_operator_signs_in_and_out(running: ConsoleProcess) -> None:
    async with running.browser() as browser:
        assert (await sign_in(browser, running.operator_key)).status_code == 303
        page = await browser.get("/")
        assert page.status_code == 200
        assert "acme" in page.text
        assert "zeta" in page.text
        token = hidden(page.text, "csrf_token")
        assert (await browser.post("/logout", data={"csrf_token": token})).status_code == 303
        assert (await browser.get("/")).headers["location"] == "/login"


async def test_a_tenant_sees_itself_alone(running: ConsoleProcess) -> None:
    async with running.browser(key=running.tenant_keys["acme"]) as script:
        page = await script.get("/", follow_redirects=True)
        assert page.url.path == "/tenants/acme"
        assert "acme" in page.text
        assert "zeta" not in page.text


async def test_a_key_that_was_just_minted_opens_and_a_revoked_one_ends_its_session(
    running: ConsoleProcess, aws: Emulator
) -> None:
    async with sandbox_session().client("ssm", endpoint_url=aws.url) as ssm, running.browser() as operator:
        roles, tenants = AccessStore(ssm, SystemClock()), Tenants(ssm, SystemClock())
        key = await roles.add_key("operator")
        await until_let_in(operator, key)
        async with running.browser() as tenant:
            tenant_key = await tenants.add_key(TenantId("zeta"))
            await until_let_in(tenant, tenant_key)
            assert (await tenant.get("/tenants/zeta")).status_code == 200
            await roles.revoke_key("operator", apikeys.key_hash(key)[:12])
            await tenants.revoke_key(TenantId("zeta"), apikeys.key_hash(tenant_key)[:12])
            await until_sent_to_login(operator)
            await until_sent_to_login(tenant)


async def until_let_in(browser: httpx.AsyncClient, key: str) -> None:
    """At the first attempt, unless the store is slower than the console waits for it."""
    async with asyncio.timeout(WITHIN_S):
        while (await sign_in(browser, key)).status_code != 303:  # noqa: ASYNC110  # as a person tries again
            await asyncio.sleep(1)


async def until_sent_to_login(browser: httpx.AsyncClient) -> None:
    async with asyncio.timeout(WITHIN_S):
        while (await browser.get("/tenants")).status_code != 303:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.2)


async def test_no_key_is_in_the_log(running: ConsoleProcess) -> None:
    async with running.browser() as browser:
        await sign_in(browser, running.operator_key)
        await browser.get(f"/?key={running.operator_key}")
    logged = running.child.log_file.read_text()
    assert running.operator_key not in logged
    assert any(line["message"] == "request" and line["route"] == "/" for line in running.logged())


async def test_it_ends_in_order(tmp_path_factory: pytest.TempPathFactory, aws: Emulator) -> None:
    folder = tmp_path_factory.mktemp("ending")
    async with console_process(folder, aws, tenants=()) as process:
        assert await process.child.stop(WITHIN_S)
        assert process.child.returncode == 0
        assert process.logged()[-1]["message"] == "console has stopped serving"


async def test_a_misspelt_setting_stops_the_start(tmp_path_factory: pytest.TempPathFactory) -> None:
    log_file = tmp_path_factory.mktemp("misspelt") / "watch.log"
    environment = {**os.environ, "WATCH_PROT": "1"}
    child = await Child.start("watch", "watch", environment=environment, log_file=log_file)
    assert await asyncio.wait_for(child.ended, WITHIN_S) == 2
    assert "unknown setting WATCH_PROT" in log_file.read_text()
