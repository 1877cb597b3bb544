"""`llm-platform cost` before a real table: owners, a tenant, what is unknown, and nothing at all."""

import asyncio
import csv
import io
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from harness.cost_lines import INPUT, INSTANCE, SERVICE, CostTable, cost_table, used
from harness.wall_clock import DAY, well_within
from llmplatform.clock import SystemClock
from llmplatform.costs import UNUSED, CostLine
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy
from llmplatform.tenants import Tenants
from operator_cli.__main__ import main
from sandbox.emulator import CREDENTIALS, REGION, Emulator, sandbox_session
from sandbox.provision import provision

pytestmark = pytest.mark.asyncio(loop_scope="module")

THIS_YEAR = datetime.now(UTC).year
LAST_YEAR = datetime(THIS_YEAR - 1, 3, 10, 7, tzinfo=UTC)


@dataclass
class Desk:
    """An operator's shell, before an account with costs."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    async def run(self, *arguments: str, status: int = 0) -> str:
        """What the command says: on stdout, or on stderr where it fails."""
        self.capsys.readouterr()
        self.monkeypatch.setattr(sys, "argv", ["llm-platform", "cost", *arguments])
        ended = await asyncio.to_thread(self._main)
        told = self.capsys.readouterr()
        assert ended == status, told.err
        return told.err if status else told.out

    async def json(self, *arguments: str) -> Any:
        return json.loads(await self.run(*arguments, "--json"))

    def _main(self) -> int:
        try:
            main()
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else 1
        return 0


def at(hour: datetime, *lines: CostLine) -> list[CostLine]:
    return [replace(line, hour=hour) for line in lines]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def aws(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    """An account with a tenant's costs in the running hour and on one day of last year.

    The day goes on until all have looked at what it cost.
    """
    now = await well_within(DAY, left=timedelta(minutes=1))
    async with Emulator(tmp_path_factory.mktemp("state")) as running:
        session = sandbox_session()
        await provision(session, endpoint_url=running.url)
        async with session.client("ssm", endpoint_url=running.url) as ssm:
            tenants = Tenants(ssm, SystemClock())
            await tenants.create(TenantPolicy(tenant_id=TenantId("acme"), daily_budget_usd=Decimal(10)))
            await tenants.create(TenantPolicy(tenant_id=TenantId("quiet")))
        async with cost_table(running.url) as table:
            await fill(table, now.replace(minute=0, second=0, microsecond=0))
        yield running


async def fill(table: CostTable, hour: datetime) -> None:
    judged = replace(INPUT, layer="observability-layer", model_id="judge", unit_price_usd=Decimal("0.000003"))
    now = at(
        hour,
        used(INPUT, "4000000"),
        used(judged, "1000000"),
        used(INSTANCE, "0.25", tenant_id="globex"),
        used(INSTANCE, "0.75", tenant_id=UNUSED, model_id=None, tokens=None),
        used(SERVICE, "1000"),
    )
    await table.put(*now, state="open")
    unpriced = replace(INPUT, model_id="brand-new", price_key="brand.new", unit_price_usd=None)
    await table.put(*at(LAST_YEAR, used(INPUT, "1000000"), used(unpriced, "5")))


@pytest.fixture
def desk(aws: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CREDENTIALS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CREDENTIALS.secret_key)
    return Desk(monkeypatch, capsys)


async def test_all_owners_are_listed_with_what_nobody_used_and_what_watching_costs(desk: Desk) -> None:
    owners = {owner["tenant_id"]: owner for owner in (await desk.json("--days", "1"))["owners"]}
    assert list(owners) == ["acme", "globex", "quiet", "_unused", "_platform"]
    assert {name: Decimal(owner["amount_usd"]) for name, owner in owners.items()} == {
        "acme": Decimal(7),
        "globex": Decimal("0.352"),
        "quiet": Decimal(0),
        "_unused": Decimal("1.056"),
        "_platform": Decimal("0.000625"),
    }


async def test_a_budget_is_used_by_inference_alone(desk: Desk) -> None:
    """Of seven dollars three are for judging, which has a budget of its own."""
    acme, *others = (await desk.json("--days", "1"))["owners"]
    assert Decimal(acme["daily_budget_used_percent"]) == 40
    assert {other["daily_budget_used_percent"] for other in others} == {None}


async def test_the_table_adds_up_and_says_how_far_it_is(desk: Desk) -> None:
    told = await desk.run("--days", "1")
    assert "40 %" in told
    total = next(line for line in told.splitlines() if line.strip().startswith("total"))
    assert total.split() == ["total", "8.4086", "open"]
    assert "1 open" in told
    assert "last run" in told


async def test_a_tenant_is_told_by_model_with_quantities_and_prices(desk: Desk) -> None:
    told = await desk.run("acme", "--days", "1")
    line = next(line for line in told.splitlines() if "4,000,000 tokens" in line)
    assert line.split() == [
        "input",
        "4,000,000",
        "tokens",
        "1.00",
        "/",
        "M",
        "4.0000",
        "open",
    ]
    assert "bedrock  judging" in told
    assert "dollars per hour" in told


async def test_rows_for_programs_are_exact(desk: Desk) -> None:
    rows = (await desk.json("acme", "--days", "1"))["rows"]
    assert {row["model_id"]: Decimal(row["amount_usd"]) for row in rows} == {
        "claude-haiku-4-5": Decimal(4),
        "judge": Decimal(3),
    }
    printed = list(csv.DictReader(io.StringIO(await desk.run("acme", "--days", "1", "--csv"))))
    assert [{name: value or None for name, value in row.items()} for row in printed] == [
        {name: None if value is None else str(value) for name, value in row.items()} for row in rows
    ]


async def test_what_has_no_price_is_unpriced_and_the_rest_is_at_least(desk: Desk) -> None:
    month = f"{LAST_YEAR:%Y-%m}"
    told = await desk.run("acme", "--month", month)
    assert "≥ 1.0000 US dollars" in told
    line = next(line for line in told.splitlines() if " 5 tokens" in line)
    assert line.split() == ["input", "5", "tokens", "unknown", "unknown", "unpriced"]
    everybody = await desk.run("--month", month)
    assert "of all tenants: 1 line without a price" in everybody
    owners = {one["tenant_id"]: one for one in (await desk.json("--month", month))["owners"]}
    assert owners["acme"]["completeness"] == "unpriced"
    assert owners["quiet"]["completeness"] == "open"  # most hours of that month were never computed


async def test_a_month_that_is_over_has_no_today_and_no_budget(desk: Desk) -> None:
    told = await desk.run("--month", f"{LAST_YEAR:%Y-%m}")
    assert "today" not in told
    assert "budget" not in told


@pytest.mark.parametrize("by", ["class", "day"])
async def test_a_tenant_is_told_by_class_and_by_day(desk: Desk, by: str) -> None:
    told = await desk.run("acme", "--month", f"{LAST_YEAR:%Y-%m}", "--by", by)
    name = {"class": "input (tokens)", "day": f"{LAST_YEAR:%Y-%m-%d}"}[by]
    line = next(line for line in told.splitlines() if line.strip().startswith(name))
    assert line.split()[-3:] == ["≥", "1.0000", "unpriced"]


async def test_where_no_hour_was_computed_it_says_what_to_do(desk: Desk) -> None:
    told = await desk.run("--month", f"{LAST_YEAR - timedelta(days=365):%Y-%m}")
    assert "no hour of it has been computed yet: `python -m costagg run`" in told


async def test_a_tenant_that_spent_nothing_is_told_so(desk: Desk) -> None:
    assert "quiet, cost of today: 0.0000 US dollars" in await desk.run("quiet", "--days", "1")


async def test_nobody_of_that_name_is_an_error(desk: Desk) -> None:
    assert "there is no tenant nobody" in await desk.run("nobody", status=1)


async def test_a_month_to_come_is_an_error(desk: Desk) -> None:
    month = f"{THIS_YEAR + 2}-01"
    assert f"{month} has not begun" in await desk.run("--month", month, status=1)


@pytest.mark.parametrize(
    "wrong",
    [("--month", "november"), ("--month", "2026-11", "--days", "3"), ("--json", "--csv"), ("ACME",)],
)
async def test_what_makes_no_sense_is_refused(desk: Desk, wrong: tuple[str, ...]) -> None:
    assert "Invalid value" in await desk.run(*wrong, status=2)
