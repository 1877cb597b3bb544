"""The command against a real table: lines that the job wrote, an export on disk, a report, what is kept."""

import asyncio
import io
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from costagg.reconciliation.running import ReconcileArguments, run
from costagg.reconciliation.store import Kept, ReconciliationStore
from costagg.reconciliation.usage_types import load_usage_types
from costagg.store import CostStore
from harness.cost_lines import INPUT
from harness.cur import Making, line_items, write_parquet
from harness.sinks import KeepingSink
from llmplatform.aws.cost_reader import CostReader
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.aws.tables import TENANT_COST
from llmplatform.clock import SystemClock
from llmplatform.costs import CostLine, HourStatus
from sandbox.emulator import CREDENTIALS, REGION, Emulator, sandbox_session
from sandbox.provision import create_table

pytestmark = pytest.mark.asyncio(loop_scope="module")

TYPES = load_usage_types()
DAY = date(2026, 11, 2)
NOW = datetime(2026, 12, 3, 6, tzinfo=UTC)


def lines_of(hour: datetime) -> list[CostLine]:
    return [
        replace(
            INPUT,
            tenant_id=tenant,
            hour=hour,
            price_key="anthropic.claude-sonnet-4-6/geo",
            quantity=Decimal(tokens),
            unit_price_usd=Decimal("0.0000033"),
            amount_usd=tokens * Decimal("0.0000033"),
        )
        for tenant, tokens in (("acme", 3_000_001), ("globex", 777_777))
    ]


LINES = [
    line
    for number in range(24)
    for line in lines_of(datetime(2026, 11, 2, tzinfo=UTC) + timedelta(hours=number))
]


@dataclass(slots=True)
class Ran:
    status: int
    out: str
    err: str
    metrics: list[dict[str, Any]]


@dataclass(slots=True)
class Desk:
    """Where the command is run."""

    dynamodb: DynamoDb
    aws: Emulator
    sink: KeepingSink[bytes] = field(default_factory=lambda: KeepingSink("emf"))

    async def reconcile(self, *files: Path, **more: Any) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        sink: KeepingSink[bytes] = KeepingSink("emf")
        arguments = ReconcileArguments(
            files=tuple(map(str, files)), first=more.pop("first", DAY), last=more.pop("last", DAY), **more
        )
        reader = CostReader(self.dynamodb)
        status = await run(arguments, reader, self.dynamodb, sink, NOW, out=out, err=err)
        return Ran(status, out.getvalue(), err.getvalue(), [json.loads(item) for item in sink.items])

    async def kept(self) -> dict[str | None, Kept]:
        return {row.tenant_id: row for row in await ReconciliationStore(self.dynamodb).read(DAY)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        async with sandbox_session().client("dynamodb", endpoint_url=aws.url) as client:
            await create_table(client, TENANT_COST)
        async with SignedHttp(
            service="dynamodb",
            url=aws.url,
            region=REGION,
            credentials=lambda: CREDENTIALS,
            clock=SystemClock(),
            connections=16,
            timeout_s=60.0,
        ) as http:
            dynamodb = DynamoDb(http)
            await attribute(dynamodb)
            yield Desk(dynamodb, aws)


async def attribute(dynamodb: DynamoDb) -> None:
    """What the cost job leaves of a day: all hours closed but the last."""
    store = CostStore(dynamodb)
    for number in range(24):
        hour = datetime(2026, 11, 2, tzinfo=UTC) + timedelta(hours=number)
        lines = lines_of(hour)
        claim = await store.claim(hour)
        assert await store.write(claim, lines)
        status = HourStatus(
            hour=hour,
            state="open" if number == 23 else "closed",
            claimed_run=claim.run,
            run=claim.run,
            computed_at=hour + timedelta(hours=7),
            ledger_rows=6,
            amounts_usd={line.tenant_id: line.amount_usd for line in lines},
        )
        assert await store.publish(claim, status)


async def test_a_true_bill_is_within_the_limit_and_is_kept(desk: Desk, tmp_path: Path) -> None:
    ran = await desk.reconcile(write_parquet(line_items(LINES, TYPES), tmp_path))
    assert (ran.status, ran.err) == (0, "")
    assert "OK: no error is over 2 %" in ran.out
    assert "note: hours that are not closed: 1" in ran.out
    kept = await desk.kept()
    assert set(kept) == {None, "acme", "globex"}
    assert kept[None].error_percent == 0
    assert kept[None].open_hours == 1
    assert kept["acme"].usage_usd == sum(line.amount_usd or 0 for line in LINES if line.tenant_id == "acme")
    (metric,) = ran.metrics
    assert metric["service"] == "AmazonBedrock"
    assert metric["reconciliation_error_percent"] == pytest.approx(0, abs=0.000001)


async def test_a_bill_over_the_limit_exits_with_1_names_the_rows_and_takes_the_place_of_the_first(
    desk: Desk, tmp_path: Path
) -> None:
    stray = replace(LINES[0], tenant_id="stray", quantity=Decimal(10**9), amount_usd=Decimal(3_300))
    folder = write_parquet(line_items([*LINES, stray], TYPES), tmp_path / "more")
    ran = await desk.reconcile(folder)
    assert ran.status == 1
    assert "OVER THE LIMIT of 2 %: AmazonBedrock" in ran.out
    assert "USE1-Claude4.6Sonnet-input-tokens" in ran.out
    assert set(await desk.kept()) == {None, "acme", "globex", "stray"}

    again = await desk.reconcile(write_parquet(line_items(LINES, TYPES), tmp_path / "true"))
    assert again.status == 0
    kept = await desk.kept()
    assert set(kept) == {None, "acme", "globex"}
    assert not kept[None].over_limit


async def test_the_limit_is_the_operators(desk: Desk, tmp_path: Path) -> None:
    dearer = Making(dearer_percent={"anthropic.claude-sonnet-4-6": Decimal(3)})
    folder = write_parquet(line_items(LINES, TYPES, dearer), tmp_path)
    assert (await desk.reconcile(folder)).status == 1
    assert (await desk.reconcile(folder, limit_percent=Decimal(5))).status == 0


async def test_programs_get_money_as_texts(desk: Desk, tmp_path: Path) -> None:
    making = Making(tax_percent=Decimal(19))
    ran = await desk.reconcile(write_parquet(line_items(LINES, TYPES, making), tmp_path), as_json=True)
    document = json.loads(ran.out)
    (service,) = document["services"]
    attributed = sum(line.amount_usd or Decimal(0) for line in LINES)
    assert Decimal(service["attributed_usd"]) == attributed
    assert set(service["residuals_usd"]) <= {"tax", "rounding"}
    assert sum(map(Decimal, service["residuals_usd"].values())) == Decimal(service["billed_usd"]) - attributed
    assert document["over_limit"] is False


async def test_what_is_not_to_be_kept_leaves_no_trace(desk: Desk, tmp_path: Path) -> None:
    before = await desk.kept()
    making = Making(dearer_percent={"anthropic.claude-sonnet-4-6": Decimal(50)})
    folder = write_parquet(line_items(LINES, TYPES, making), tmp_path)
    ran = await desk.reconcile(folder, keep=False)
    assert (ran.status, ran.metrics) == (1, [])
    assert await desk.kept() == before


async def test_bad_input_exits_with_2_says_why_and_keeps_nothing(desk: Desk, tmp_path: Path) -> None:
    folder = write_parquet(line_items(LINES, TYPES), tmp_path / "good")
    before = await desk.kept()
    nothing = await desk.reconcile(tmp_path / "nothing")
    assert (nothing.status, nothing.out, nothing.metrics) == (2, "", [])
    assert "no Parquet or CSV file there" in nothing.err
    backwards = await desk.reconcile(folder, first=date(2026, 11, 3), last=DAY)
    assert backwards.status == 2
    long = await desk.reconcile(folder, last=date(2026, 12, 1))
    assert "reconcile one at a time" in long.err
    table = await desk.reconcile(folder, usage_types=tmp_path / "none.toml")
    assert "--usage-types names the file" in table.err
    assert await desk.kept() == before


async def test_a_table_that_is_away_exits_with_2(desk: Desk, tmp_path: Path) -> None:
    folder = write_parquet(line_items(LINES, TYPES), tmp_path)
    err = io.StringIO()
    arguments = ReconcileArguments(files=(str(folder),), first=DAY, last=DAY)
    async with SignedHttp(
        service="dynamodb",
        url="http://127.0.0.1:9",
        region=REGION,
        credentials=lambda: CREDENTIALS,
        clock=SystemClock(),
        connections=4,
        timeout_s=1.0,
    ) as http:
        away = DynamoDb(http)
        status = await run(arguments, CostReader(away), away, desk.sink, NOW, out=io.StringIO(), err=err)
    assert status == 2
    assert err.getvalue().startswith("costagg reconcile: ")


async def test_a_bill_of_other_days_is_no_bill_without_errors(desk: Desk, tmp_path: Path) -> None:
    export = write_parquet(line_items(LINES, TYPES), tmp_path)
    ran = await desk.reconcile(export, first=date(2026, 10, 1), last=date(2026, 10, 31), keep=False)
    assert (ran.status, ran.out) == (2, "")
    assert "no line item from 2026-10-01 to 2026-10-31" in ran.err


async def test_as_a_process_its_report_has_standard_output_for_itself(desk: Desk, tmp_path: Path) -> None:
    export = write_parquet(line_items(LINES, TYPES), tmp_path)
    days = ("--from", str(DAY), "--to", str(DAY))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "costagg", "reconcile", "--json", *days, str(export)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **desk.aws.environment()},
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err
    assert json.loads(out)["over_limit"] is False
    (metric,) = (json.loads(line) for line in err.splitlines() if b'"_aws"' in line)
    assert metric["service"] == "AmazonBedrock"
