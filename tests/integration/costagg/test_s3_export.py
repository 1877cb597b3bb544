"""A month of the bill from S3, as AWS Data Exports delivers it, and the command that is told where it is."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from costagg.reconciliation.charges import BillFault
from costagg.reconciliation.s3_export import ExportAddress, fetch
from costagg.reconciliation.usage_types import load_usage_types
from harness.cost_job import ran
from harness.cost_lines import INPUT
from harness.cur import line_items, write_parquet
from harness.wall_clock import DAY, well_within
from llmplatform.bill_export import EXPORT_NAME, EXPORT_PREFIX, data_prefix, manifest_key
from sandbox.emulator import Emulator, sandbox_session
from sandbox.provision import provision

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOVEMBER: Final = date(2026, 11, 1)
FOLDER: Final = f"{EXPORT_PREFIX}/{EXPORT_NAME}"
MANIFEST: Final = manifest_key(FOLDER, NOVEMBER)
DATA: Final = data_prefix(FOLDER, NOVEMBER)


@dataclass
class Delivery:
    """A bucket that AWS delivers an export to."""

    aws: Emulator
    s3: Any
    bucket: str

    @property
    def export(self) -> ExportAddress:
        return ExportAddress(self.bucket, FOLDER)

    async def put(self, key: str, data: bytes) -> None:
        await self.s3.put_object(Bucket=self.bucket, Key=key, Body=data)

    async def deliver(self, *files: Path, named: tuple[str, ...] = ()) -> None:
        """The files, then the manifest that names them, as the last."""
        keys = [f"{DATA}{EXPORT_NAME}-{at:05}.snappy.parquet" for at, _ in enumerate(files, start=1)]
        for key, file in zip(keys, files, strict=True):
            await self.put(key, file.read_bytes())
        named = (*(f"s3://{self.bucket}/{key}" for key in keys), *named)
        await self.put(MANIFEST, json.dumps({"exportName": EXPORT_NAME, "dataFiles": named}).encode())


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="account")
async def an_account(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        await provision(sandbox_session(), endpoint_url=aws.url)
        yield aws


@pytest_asyncio.fixture(loop_scope="module", name="delivery")
async def a_delivery(account: Emulator, request: pytest.FixtureRequest) -> AsyncIterator[Delivery]:
    bucket = f"bill-{abs(hash(request.node.name))}"
    async with sandbox_session().client("s3", endpoint_url=account.url) as s3:
        await s3.create_bucket(Bucket=bucket)
        yield Delivery(account, s3, bucket)


def a_bill(folder: Path, *, files: int = 2) -> list[Path]:
    line = INPUT
    items = line_items([line] * 6, load_usage_types())
    return sorted(write_parquet(items, folder, files=files).rglob("*.parquet"))


async def test_the_files_of_the_manifest_are_brought_and_no_others(
    delivery: Delivery, tmp_path: Path
) -> None:
    files = a_bill(tmp_path / "made")
    await delivery.deliver(*files)
    await delivery.put(f"{DATA}left-over-from-before.snappy.parquet", b"none of this month's")
    into = tmp_path / "into"
    into.mkdir()
    brought = await fetch(delivery.s3, delivery.export, NOVEMBER, into)
    assert [path.read_bytes() for path in brought] == [file.read_bytes() for file in files]
    assert all(path.name.endswith(".snappy.parquet") for path in brought)


async def test_a_month_that_was_not_delivered_yet_says_so(delivery: Delivery, tmp_path: Path) -> None:
    with pytest.raises(BillFault, match=r"2026-11/llm-platform-Manifest.json: NoSuchKey; an export's first"):
        await fetch(delivery.s3, delivery.export, NOVEMBER, tmp_path)


@pytest.mark.parametrize("manifest", [b"", b"{}", b'{"dataFiles": []}', b'{"dataFiles": [1]}', b"[1, 2"])
async def test_what_is_no_manifest_is_refused(delivery: Delivery, tmp_path: Path, manifest: bytes) -> None:
    await delivery.put(MANIFEST, manifest)
    with pytest.raises(BillFault, match="is no manifest"):
        await fetch(delivery.s3, delivery.export, NOVEMBER, tmp_path)


@pytest.mark.parametrize(
    "strange",
    [
        "s3://somebody-elses/cur/llm-platform/data/BILLING_PERIOD=2026-11/a.parquet",
        f"{EXPORT_PREFIX}/{EXPORT_NAME}/data/BILLING_PERIOD=2026-10/a.parquet",
        "/etc/passwd",
    ],
)
async def test_a_manifest_leads_nowhere_else(delivery: Delivery, tmp_path: Path, strange: str) -> None:
    await delivery.deliver(named=(strange,))
    with pytest.raises(BillFault, match="which is not below"):
        await fetch(delivery.s3, delivery.export, NOVEMBER, tmp_path)


async def test_a_file_that_the_manifest_names_must_be_there(delivery: Delivery, tmp_path: Path) -> None:
    await delivery.deliver(named=(f"s3://{delivery.bucket}/{DATA}gone.snappy.parquet",))
    with pytest.raises(BillFault, match=r"gone.snappy.parquet: 404, though the manifest names it"):
        await fetch(delivery.s3, delivery.export, NOVEMBER, tmp_path)


class Redelivering:
    """A client of S3 under which AWS delivers the month anew, while its files are read."""

    def __init__(self, delivery: Delivery, files: list[Path]) -> None:
        self._delivery = delivery
        self._files = files

    async def get_object(self, **asked: Any) -> Any:
        return await self._delivery.s3.get_object(**asked)

    async def download_file(self, *asked: str) -> None:
        await self._delivery.s3.download_file(*asked)
        await self._delivery.deliver(*self._files)


async def test_a_month_that_is_delivered_anew_while_it_is_read_is_refused(
    delivery: Delivery, tmp_path: Path
) -> None:
    await delivery.deliver(*a_bill(tmp_path / "old"))
    client: Any = Redelivering(delivery, a_bill(tmp_path / "new", files=3))
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(BillFault, match="delivered the month anew"):
        await fetch(client, delivery.export, NOVEMBER, into)


@pytest.mark.parametrize("url", ["s3://", "s3://bucket", "s3://bucket/", "s3://bucket/a?b=c", "s3:///a/b"])
async def test_an_address_that_names_no_export_is_refused(url: str) -> None:
    with pytest.raises(BillFault, match="s3://BUCKET/PREFIX/NAME"):
        ExportAddress.parse(url)


async def test_the_command_reads_the_last_month_from_s3(delivery: Delivery, tmp_path: Path) -> None:
    """As the schedule has it run; the last month depends on the day on which this is tested."""
    now = await well_within(DAY, left=timedelta(minutes=2))
    month = now.date().replace(day=1) - timedelta(days=1)
    url = f"s3://{delivery.bucket}/{FOLDER}"
    ended = await ran(
        tmp_path, "reconcile", "--last-month", "--dry-run", url, environment=delivery.aws.environment()
    )
    assert ended.status == 2
    assert f"BILLING_PERIOD={month:%Y-%m}/llm-platform-Manifest.json: NoSuchKey" in ended.told


async def test_the_command_reconciles_what_it_read_from_s3(delivery: Delivery, tmp_path: Path) -> None:
    await delivery.deliver(*a_bill(tmp_path / "made"))
    url = f"s3://{delivery.bucket}/{FOLDER}"
    ended = await ran(
        tmp_path, "reconcile", "--month", "2026-11", "--dry-run", url, environment=delivery.aws.environment()
    )
    assert ended.status == 1, ended.told  # billed, and nothing of it was attributed


async def test_last_month_goes_without_another_period(delivery: Delivery, tmp_path: Path) -> None:
    asked = ("reconcile", "--last-month", "--month", "2026-11", "a.parquet")
    ended = await ran(tmp_path, *asked, environment=delivery.aws.environment())
    assert ended.status == 2
    assert "--last-month: goes without" in ended.told
