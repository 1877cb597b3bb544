"""The cost job's command line as an operator and a scheduler use it: what it says, and how it ends."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from harness.cost_account import HOUR, a_row, bedrock, put_rows, read_bill
from harness.cost_job import Ended, Process, costagg, ran, watched_dynamodb
from harness.cuttable import Cuttable
from harness.platform import eventually
from llmplatform.clock import SystemClock
from llmplatform.tenants import Tenants
from llmplatform.testing import make_policy
from llmplatform.usage import TokenUsage
from sandbox.emulator import Emulator, sandbox_session
from sandbox.provision import provision

pytestmark = pytest.mark.asyncio(loop_scope="module")

THIS_HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
PRICES = """
version = "commands"
[[prices]]
price_key = "vendor.a/geo"
regions = ["*"]
effective_from = 2020-01-01
source = "a test"
retrieved_on = 2026-01-01
usd_per_million_tokens = { input = 1.10, output = 5.50 }
"""
CATALOGUE = """
[models.a]
endpoint_type = "bedrock"
backend_model_id = "us.vendor.a-v1:0"
dialect = "converse"
price_key = "vendor.a/geo"
"""


@dataclass
class Shell:
    """Where commands are given: an emulated account with a tenant."""

    folder: Path
    aws: Emulator

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **self.aws.environment(),
            "LLM_PLATFORM_CATALOGUE": str(self.folder / "models.toml"),
            "LLM_PLATFORM_PRICES": str(self.folder / "prices.toml"),
            "COST_LOOK_BACK_H": "3",
            "COST_CLOSE_AFTER_H": "1",
            **more,
        }

    async def run(self, *arguments: str, **more: str) -> Ended:
        return await ran(self.folder, *arguments, environment=self.environment(**more))


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="shell")
async def a_shell(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shell]:
    folder = tmp_path_factory.mktemp("state")
    (folder / "models.toml").write_text(CATALOGUE)
    (folder / "prices.toml").write_text(PRICES)
    async with Emulator(folder) as aws:
        await provision(sandbox_session(), endpoint_url=aws.url)
        async with sandbox_session().client("ssm", endpoint_url=aws.url) as ssm:
            await Tenants(ssm, SystemClock()).create(make_policy("acme"))
        yield Shell(folder, aws)


def logged(told: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in told.splitlines() if line.startswith("{")]


def for_people(told: str) -> list[str]:
    return [line for line in told.splitlines() if not line.startswith("{")]


def hour_text(hour: datetime) -> str:
    return f"{hour:%Y-%m-%dT%H}"


async def put(shell: Shell, hour: datetime, price_key: str = "vendor.a/geo") -> None:
    call = bedrock("a", price_key, TokenUsage(input_tokens=1_000_000, output_tokens=0))
    await put_rows(shell.aws.url, [a_row("acme", hour, call)])


async def test_a_backfill_shows_each_hour_as_it_is_done(shell: Shell) -> None:
    first = THIS_HOUR - 48 * HOUR
    await put(shell, first)
    await put(shell, first + HOUR, "vendor.unknown/geo")
    ended = await shell.run("run", "--from", hour_text(first), "--to", hour_text(first + 2 * HOUR))
    assert ended.status == 0, ended.told
    lines = for_people(ended.told)
    assert [line.partition(":")[0] for line in lines] == [
        f"{hour_text(first + at * HOUR)} ({at + 1} of 3)" for at in range(3)
    ]
    assert "1 rows" in lines[0]
    assert "$1.100000" in lines[0]
    assert ", closed" in lines[0]
    assert " unpriced, 0 uncounted" in lines[1]
    (told,) = (line for line in logged(ended.told) if line["message"] == "costs are computed")
    assert (told["hours"], told["failed"], told["closed"], told["rows"]) == (3, 0, 3, 2)
    bill = await read_bill(shell.aws.url)
    assert all(bill.statuses[first + at * HOUR].closed for at in range(3))


async def test_one_hour_and_what_is_due(shell: Shell) -> None:
    hour = THIS_HOUR - 60 * HOUR
    await put(shell, hour)
    ended = await shell.run("run", "--hour", hour_text(hour))
    assert ended.status == 0, ended.told
    assert [line.partition(" ")[0] for line in for_people(ended.told)] == [hour_text(hour)]
    # A scheduled run keeps quiet but for its log.
    ended = await shell.run("run")
    assert ended.status == 0, ended.told
    assert for_people(ended.told) == []
    bill = await read_bill(shell.aws.url)
    assert bill.statuses[THIS_HOUR].run > 0


async def test_every_so_often_until_it_is_told_to_stop(shell: Shell) -> None:
    """Also in the middle of a run, and by its parent's end."""
    environment = shell.environment()
    async with costagg(shell.folder, "run", "--every", "0.2", environment=environment) as process:
        await eventually(lambda: process.told().count('"costs are computed"') >= 3 or None)
        process.process.terminate()
        assert (await process.ended()).status == 0
    async with costagg(
        shell.folder, "run", "--every", "60", "--until-stdin-ends", environment=environment, piped=True
    ) as process:
        await eventually(lambda: '"costs are computed"' in process.told() or None)
        assert process.process.stdin is not None
        process.process.stdin.close()
        assert (await process.ended()).status == 0


REFUSED: Sequence[tuple[Sequence[str], dict[str, str], str]] = [
    (("run", "--hour", "yesterday"), {}, "--hour: must be an hour in UTC such as 2026-11-23T20"),
    (("run", "--hour", hour_text(THIS_HOUR), "--every", "5"), {}, "--every"),
    (("run", "--every", "0"), {}, "--every"),
    (("run", "--every", "nan"), {}, "--every"),
    (("reconcile", "--month", "2999-12", "cur.parquet"), {}, "--month: 2999-12 has not begun"),
    (("export", "--focus", "--month", "9999-12", "--out", "out.csv"), {}, "--month: 9999-12 has not begun"),
    (("reconcile", "--month", "11.2026", "cur.parquet"), {}, "give a month as 2026-11"),
    (("reconcile", "--month", "2026-11", "--limit", "-1", "cur.parquet"), {}, "give a percentage"),
    (("export", "--focus", "--month", "2026-11", "--out", "/gone/out.csv"), {}, "/gone: no such folder"),
    (("run",), {"COST_LOOKBACK_H": "3"}, "COST_LOOKBACK_H"),
    (("run",), {"LLM_PLATFORM_PRICES": "/gone.toml"}, "LLM_PLATFORM_PRICES"),
    (("serve",), {"COST_API_PORT": "1", "COST_API_HOST": "192.0.2.1"}, "COST_API_HOST"),
]


async def test_what_cannot_be_done_is_refused_with_the_reason(shell: Shell) -> None:
    two_at_once = asyncio.Semaphore(2)

    async def refused(arguments: Sequence[str], more: dict[str, str], reason: str) -> None:
        async with two_at_once:
            ended = await shell.run(*arguments, **more)
        assert ended.status == 2, (arguments, more, ended.told)
        assert reason in ended.told
        assert "Traceback" not in ended.told

    await asyncio.gather(*(refused(*one) for one in REFUSED))


async def test_an_export_says_which_hours_it_knows_nothing_of(shell: Shell) -> None:
    hour = (THIS_HOUR - 30 * 24 * HOUR).replace(hour=5)
    await put(shell, hour)
    assert (await shell.run("run", "--hour", hour_text(hour))).status == 0
    days = ("--from", f"{hour:%Y-%m-%d}", "--to", f"{hour:%Y-%m-%d}")
    out = shell.folder / "costs.csv"
    ended = await shell.run("export", "--focus", *days, "--allow-unpriced", "--out", str(out))
    assert ended.status == 0, ended.told
    assert "1 rows, $1.100000" in ended.told
    assert "23 hours of these days were never computed" in ended.told
    assert len(out.read_text().splitlines()) == 2


async def test_what_went_wrong_is_the_exit_status(shell: Shell) -> None:
    async with Cuttable(shell.aws.port) as way:
        await way.cut()
        without_table, without_tenants = await asyncio.gather(
            shell.run("run", "--hour", hour_text(THIS_HOUR), AWS_ENDPOINT_URL_DYNAMODB=way.url),
            shell.run("run", "--hour", hour_text(THIS_HOUR), AWS_ENDPOINT_URL_SSM=way.url),
        )
    assert without_table.status == 1
    assert any("nothing is computed" in line["message"] for line in logged(without_table.told))
    assert without_tenants.status == 1
    assert any("tenants cannot be read" in line["message"] for line in logged(without_tenants.told))
    assert any(line["message"] == "costs are computed in part" for line in logged(without_tenants.told))
    for ended in (without_table, without_tenants):
        assert "Traceback" not in ended.told


async def test_a_run_that_is_stopped_on_its_way_says_so(shell: Shell) -> None:
    running: list[Process] = []

    def on_call(_operation: str) -> bool:
        running[0].process.terminate()
        return False  # it would try again

    async with watched_dynamodb(shell.aws.url, on_call) as way:
        environment = shell.environment(AWS_ENDPOINT_URL_DYNAMODB=way)
        async with costagg(shell.folder, "run", environment=environment) as process:
            running.append(process)
            ended = await process.ended()
    assert ended.status == 1
    assert "Traceback" not in ended.told


async def test_bills_are_served_until_it_is_told_to_stop(shell: Shell) -> None:
    environment = shell.environment(COST_API_PORT="0")
    async with costagg(shell.folder, "serve", environment=environment) as process:
        port = await eventually(lambda: _port(process.told()))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/v1/costs")).status_code == 401
        process.process.terminate()
        ended = await process.ended()
    assert ended.status == 0
    assert logged(ended.told)[-1]["message"] == "billing API has stopped serving"


def _port(told: str) -> int | None:
    for line in logged(told):
        if line["message"] == "billing API is ready":
            return int(line["port"])
    return None
