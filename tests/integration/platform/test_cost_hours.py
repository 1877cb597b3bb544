"""Past hours, computed by the cost job as a process: shared instances, late rows, jobs that die or meet."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import pytest_asyncio

from harness.cost_account import (
    HOUR,
    MINUTE,
    Bill,
    a_row,
    bedrock,
    put_instances,
    put_rows,
    read_bill,
    sagemaker,
)
from harness.cost_job import Ended, costagg, ran, watched_dynamodb
from harness.platform import TENANT, Laptop, running_laptop
from llmplatform.clock import SystemClock
from llmplatform.costs import CostLine
from llmplatform.emf import encode_invocation
from llmplatform.invocation import InvocationRecord
from llmplatform.tenants import Tenants
from llmplatform.testing import make_policy
from llmplatform.usage import TokenUsage, UsageSource
from sandbox.emulator import sandbox_session
from sandbox.hardware import Hardware

pytestmark = pytest.mark.asyncio(loop_scope="module")

OTHER = "globex"
ONE, TWO = "one", "two"
"""Tenants whose requests are all in the metrics as well."""
LARGE = "vendor.large/geo"
THIS_HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
SHARED = THIS_HOUR - 2 * HOUR
KILLED = THIS_HOUR - 24 * HOUR
"""The first of several, one for each moment at which a job dies."""
MET = THIS_HOUR - 36 * HOUR

CATALOGUE = """
[models.large]
endpoint_type = "bedrock"
backend_model_id = "us.vendor.large-v1:0"
dialect = "converse"
price_key = "vendor.large/geo"
"""
ENDPOINT = """
[[endpoints.{name}.variants]]
name = "AllTraffic"
instance_type = "ml.g5.xlarge"
gpu_count = 1
"""
_ROW = """
regions = ["*"]
effective_from = 2020-01-01
source = "a test"
retrieved_on = 2026-01-01
"""
PRICES = f"""
version = "past-hours"
[[prices]]
price_key = "{LARGE}"
{_ROW}
usd_per_million_tokens = {{ input = 3.30, output = 16.50 }}
[[instance_prices]]
instance_type = "ml.g5.xlarge"
{_ROW}
usd_per_hour = 1.20
"""


@dataclass
class Past:
    """An account with two tenants, and a cost job."""

    laptop: Laptop

    @property
    def url(self) -> str:
        return self.laptop.aws.url

    def environment(self, **more: str) -> dict[str, str]:
        folder = self.laptop.folder
        return {
            **self.laptop.aws.environment(),
            "AWS_ENDPOINT_URL_SAGEMAKER": self.laptop.runtime.url,
            "AWS_EMF_AGENT_ENDPOINT": self.laptop.emf.address,
            "LLM_PLATFORM_CATALOGUE": str(folder / "catalogue.toml"),
            "LLM_PLATFORM_PRICES": str(folder / "prices.toml"),
            **more,
        }

    async def run(self, first: datetime, last: datetime | None = None) -> Ended:
        """`python -m costagg run` of these hours, which ends well."""
        hours = ("--from", hour_text(first), "--to", hour_text(last or first))
        ended = await ran(self.laptop.folder, "run", *hours, environment=self.environment())
        assert ended.status == 0, ended.told
        return ended

    async def bill(self) -> Bill:
        return await read_bill(self.url)

    async def put(self, records: Iterable[InvocationRecord]) -> None:
        """Both of what the gateway writes of a request: its row, and its line of metrics."""
        records = list(records)
        await put_rows(self.url, records)
        for record in records:
            self.laptop.emf.accept_line(encode_invocation(record))
        await self.laptop.emf.flush()
        assert not self.laptop.emf.rejected

    async def differences_percent(self, tenant: str) -> set[float]:
        """What the cost job's runs of the last minutes said: how far ledger and metrics are apart."""
        now = datetime.now(UTC)
        async with (
            asyncio.timeout(60),
            sandbox_session().client("cloudwatch", endpoint_url=self.url) as cloudwatch,
        ):
            while True:
                await self.laptop.emf.flush()
                answer = await cloudwatch.get_metric_statistics(
                    Namespace="LLMPlatform/Cost",
                    MetricName="ledger_difference_percent",
                    Dimensions=[{"Name": "tenant_id", "Value": tenant}],
                    StartTime=now - timedelta(minutes=10),
                    EndTime=now + timedelta(minutes=1),
                    Period=1,
                    Statistics=["Maximum"],
                )
                if answer["Datapoints"]:
                    return {point["Maximum"] for point in answer["Datapoints"]}
                await asyncio.sleep(0.1)  # what a process wrote last may still be on its way


def hour_text(hour: datetime) -> str:
    return f"{hour:%Y-%m-%dT%H}"


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="past")
async def a_past(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Past]:
    folder = tmp_path_factory.mktemp("state")
    endpoints = "".join(ENDPOINT.format(name=name) for name in ("llama", "mistral"))
    (folder / "catalogue.toml").write_text(CATALOGUE + endpoints)
    (folder / "prices.toml").write_text(PRICES)
    async with running_laptop(folder) as laptop:
        async with sandbox_session().client("ssm", endpoint_url=laptop.aws.url) as ssm:
            for tenant in (OTHER, ONE, TWO):
                await Tenants(ssm, SystemClock()).create(make_policy(tenant))
        long_ago = THIS_HOUR - timedelta(days=30)
        laptop.runtime.hardware["mistral"] = Hardware(instances=1, created_at=long_ago)
        yield Past(laptop)


def hosted(tenant: str, at: datetime, tokens: int, endpoint: str = "llama") -> InvocationRecord:
    return a_row(tenant, at, sagemaker(endpoint, TokenUsage(input_tokens=tokens - 1, output_tokens=1)))


def asked(tenant: str, at: datetime, tokens: int, **fields: object) -> InvocationRecord:
    return a_row(
        tenant, at, bedrock("large", LARGE, TokenUsage(input_tokens=tokens, output_tokens=0), **fields)
    )


def instance_bill(bill: Bill, hour: datetime, endpoint: str = "llama") -> dict[str, Decimal | None]:
    lines = [line for line in bill.lines[hour] if line.endpoint_name == endpoint]
    assert {line.usage_source for line in lines} == {"metered"}
    return {line.tenant_id: line.amount_usd for line in lines}


async def test_instance_hours_are_shared_to_the_cent_and_late_rows_share_anew(past: Past) -> None:
    """Two instances at 1.20 an hour: an instance minute is 0.02, and the hour 2.40, whoever used it."""
    at = SHARED + 10 * MINUTE
    await put_instances(past.url, "llama", SHARED, [2] * 60)
    await put_instances(past.url, "mistral", SHARED, [1] * 30)
    await past.put([hosted(ONE, at, 300), hosted(TWO, at, 100), asked(ONE, at, 1_000_000)])
    await past.run(SHARED)
    bill = await past.bill()
    # One minute was used, by two instances: 0.04, three to one. 118 instance minutes were not.
    assert instance_bill(bill, SHARED) == {
        ONE: Decimal("0.03"),
        TWO: Decimal("0.01"),
        "_unused": Decimal("2.36"),
    }
    # Half an hour is metered; then the endpoint still was there, by its description.
    assert instance_bill(bill, SHARED, "mistral") == {"_unused": Decimal("1.20")}
    (tokens,) = (line for line in bill.lines[SHARED] if line.charge_class == "input")
    assert (tokens.tenant_id, tokens.amount_usd) == (ONE, Decimal("3.30"))
    assert bill.statuses[SHARED].total_usd == Decimal("2.40") + Decimal("1.20") + Decimal("3.30")
    assert await past.differences_percent(ONE) == {0}

    first = bill.of(SHARED)
    await past.run(SHARED)
    bill = await past.bill()
    assert bill.of(SHARED) == first

    await past.put([hosted(TWO, SHARED + 30 * MINUTE, 400)])
    await past.run(SHARED)
    bill = await past.bill()
    # Two minutes of two instances: 0.08, 300 to 500 tokens; 116 instance minutes were not used.
    assert instance_bill(bill, SHARED) == {
        ONE: Decimal("0.03"),
        TWO: Decimal("0.05"),
        "_unused": Decimal("2.32"),
    }
    assert bill.statuses[SHARED].total_usd == Decimal("6.90")
    assert await past.differences_percent(TWO) == {0}
    assert bill.hidden == 0


DEATHS = [
    ("UpdateItem", 2),  # the claim
    ("UpdateItem", 3),  # whose lines there will be
    ("BatchWriteItem", 1),  # its lines
    ("UpdateItem", 4),  # the publication
    ("GetItem", 2),  # what is to be swept
    ("BatchWriteItem", 2),  # those of the run before, away
]
"""Before which call the job is killed: an operation, and the how many-eth of its kind in the run."""


async def test_a_job_that_is_killed_anywhere_and_run_again_leaves_what_one_leaves(past: Past) -> None:
    hours = [KILLED + number * HOUR for number in range(len(DEATHS) + 1)]
    undisturbed = hours[-1]
    for hour in hours:
        at = hour + 10 * MINUTE
        rows = [hosted(TENANT, at, 300, "mistral"), asked(TENANT, at, 1_000), asked(OTHER, at, 10)]
        await put_rows(past.url, rows)
    await past.run(hours[0], hours[-1])
    before = await past.bill()
    for hour in hours:
        at = hour + 20 * MINUTE
        # More lines, other amounts, and lines that go: instances were described, and now are metered.
        later = [hosted(OTHER, at, 100, "mistral"), asked(OTHER, at, 5, usage_source=UsageSource.DRAINED)]
        await put_rows(past.url, later)
        await put_instances(past.url, "mistral", hour, [1] * 60)

    await asyncio.gather(*(_die(past, hour, *death) for hour, death in zip(hours, DEATHS, strict=False)))
    between = await past.bill()
    await past.run(hours[0], hours[-1])
    after = await past.bill()

    expected = _alike(after.lines[undisturbed], undisturbed)
    assert expected != _alike(before.lines[undisturbed], undisturbed)
    for hour, death in zip(hours, DEATHS, strict=False):
        assert _alike(after.lines[hour], undisturbed) == expected, death
        _check_readers(before, between, after, hour)
    assert after.hidden == 0
    # It died before, in and after publishing: else nothing was tried.
    assert Counter(between.statuses[hour].run for hour in hours) == {1: 5, 2: 2}


async def _die(past: Past, hour: datetime, operation: str, nth: int) -> None:
    """Run an hour, and kill the job before its `nth` such call."""
    calls: Counter[str] = Counter()
    pids: list[int] = []

    def on_call(called: str) -> bool:
        calls[called] += 1
        if (called, calls[called]) == (operation, nth):
            os.kill(pids[0], signal.SIGKILL)
        return calls[operation] < nth

    async with watched_dynamodb(past.url, on_call) as way:
        environment = past.environment(AWS_ENDPOINT_URL_DYNAMODB=way)
        hours = ("run", "--hour", hour_text(hour))
        async with costagg(past.laptop.folder, *hours, environment=environment) as process:
            pids.append(process.process.pid)
            ended = await process.ended()
    assert ended.status == -signal.SIGKILL, (operation, nth, calls, ended.told)


def _alike(lines: Iterable[CostLine], hour: datetime) -> set[CostLine]:
    """Lines as they would be in another hour."""
    return {replace(line, hour=hour) for line in lines}


def _check_readers(before: Bill, between: Bill, after: Bill, hour: datetime) -> None:
    """What a reader had while the job was dead: one run's lines."""
    status, seen = between.statuses[hour], between.of(hour)
    whole = before if status.run == before.statuses[hour].run else after
    assert seen == whole.of(hour)
    assert status.amounts_usd == whole.statuses[hour].amounts_usd
    assert status.closed == (status.claimed_run == status.run)


async def test_jobs_that_meet_leave_what_one_leaves(past: Past) -> None:
    hours = [MET, MET + HOUR]
    for hour in hours:
        at = hour + 10 * MINUTE
        await put_rows(past.url, [hosted(TENANT, at, 300, "mistral"), asked(OTHER, at, 1_000_000)])
    await asyncio.gather(*(past.run(hours[0], hours[-1]) for _ in range(2)))
    met = await past.bill()
    await past.run(hours[0], hours[-1])
    alone = await past.bill()
    for hour in hours:
        assert met.of(hour) == alone.of(hour)
        assert [line.amount_usd for line in met.lines[hour] if line.tenant_id == OTHER] == [Decimal("3.30")]
        assert met.statuses[hour].total_usd == alone.statuses[hour].total_usd
        assert met.statuses[hour].run == met.statuses[hour].claimed_run == 2
    assert met.hidden == 0
