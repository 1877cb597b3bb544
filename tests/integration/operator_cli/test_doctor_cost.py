"""The doctor's looks at an account's costs: a job that ran, prices that are missing, a table that is away."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from harness.cost_lines import INPUT, cost_table, status_of, used
from harness.wall_clock import HOUR, well_within
from llmplatform.aws.access import AccessStore
from llmplatform.aws.sessions import aws_session
from llmplatform.aws.tables import TENANT_COST
from llmplatform.clock import SystemClock
from operator_cli.check import Check
from operator_cli.doctor_cost import Cost
from sandbox.emulator import REGION, Emulator, sandbox_session
from sandbox.provision import provision


@pytest_asyncio.fixture
async def account(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        await provision(sandbox_session(), endpoint_url=running.url)
        yield running


async def looks() -> dict[str, Check]:
    cost = Cost()
    assert [check.status for check in cost.offline(None, datetime.now(UTC).date(), REGION)] == ["ok"]
    session = aws_session(REGION)
    return {name: await look(session) for name, look in cost.online()}


async def test_a_new_account_is_told_what_it_lacks_and_a_table_that_is_away_by_its_name(
    account: Emulator,
) -> None:
    found = await looks()
    assert {name: check.status for name, check in found.items()} == {
        "cost hours": "failed",
        "cost usage": "warning",
        "billing keys": "warning",
    }
    assert "none was ever computed" in found["cost hours"].found
    async with sandbox_session().client("dynamodb", endpoint_url=account.url) as dynamodb:
        await dynamodb.delete_table(TableName=TENANT_COST.name)
    found = await looks()
    assert (found["cost hours"].status, found["cost usage"].status) == ("failed", "failed")
    assert TENANT_COST.name in found["cost hours"].fix


async def test_what_a_run_left_behind_is_found(account: Emulator) -> None:
    now = await well_within(HOUR, left=timedelta(minutes=1))  # what is told is about the running one
    running = now.replace(minute=0, second=0, microsecond=0)
    unpriced = replace(INPUT, unit_price_usd=None, price_key="vendor.new/geo")
    forgotten = running - timedelta(hours=90)
    async with cost_table(account.url) as table:
        for hour in (forgotten, running):
            line = used(unpriced, "1000", hour=hour)
            claim = await table.store.claim(hour)
            assert await table.store.write(claim, [line])
            status = status_of([line], hour, state="open", computed_at=now)
            assert await table.store.publish(claim, status)
    async with sandbox_session().client("ssm", endpoint_url=account.url) as ssm:
        await AccessStore(ssm, SystemClock()).add_key("billing")
    found = await looks()
    assert {name: check.status for name, check in found.items()} == {
        "cost hours": "failed",
        "cost usage": "warning",
        "billing keys": "ok",
    }
    assert "vendor.new/geo" in found["cost usage"].found

    async with cost_table(account.url) as table:  # the hour before, as the job would have computed it
        await table.put(used(INPUT, "1000", hour=running - timedelta(hours=1)))
        claim = await table.store.claim(running - timedelta(hours=1))
        assert await table.store.publish(claim, status_of([], claim.hour, computed_at=now))
    told = (await looks())["cost hours"]
    assert told.status == "warning"
    # And the hours after it that no run ever came to, as far as a scheduled run does not look back.
    last = running - timedelta(hours=73)
    assert f"--from {forgotten:%Y-%m-%dT%H} --to {last:%Y-%m-%dT%H}" in told.fix


async def test_a_document_of_roles_that_is_broken_is_told(account: Emulator) -> None:
    async with sandbox_session().client("ssm", endpoint_url=account.url) as ssm:
        await ssm.put_parameter(Name="/llm-platform/_platform/access", Value="{]", Type="SecureString")
    told = (await looks())["billing keys"]
    assert told.status == "failed"
    assert "/llm-platform/_platform/access" in told.fix
