"""The job's story, with real readers and stores on an emulated account, parts of which are away at times.

Each test has a day of its own, and tenants of its own.
"""

import itertools
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from costagg.allocation import HourCost, allocate
from costagg.hours import HourRules
from costagg.job import Terms
from costagg.usage import HourUsage
from harness.cost_account import (
    Account,
    a_row,
    bedrock,
    put_instances,
    put_rows,
    read_bill,
    sagemaker,
)
from harness.cuttable import Cuttable
from llmplatform.catalogue import Catalogue, Endpoint, Variant
from llmplatform.costs import CostLine
from llmplatform.emf import encode_invocation
from llmplatform.erasure import Tombstone, Tombstones
from llmplatform.ids import TenantId
from llmplatform.invocation import InvocationRecord
from llmplatform.prices import parse_prices
from llmplatform.tenants import Tenants
from llmplatform.testing import FakeClock, make_model, make_policy
from llmplatform.usage import TokenUsage
from sandbox.emf_intake import serve_emf
from sandbox.emulator import Emulator, sandbox_session
from sandbox.hardware import Hardware
from sandbox.provision import provision
from sandbox.runtime import serve_runtime

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRICE_KEY = "vendor.a/geo"
_ROW = """
regions = ["*"]
effective_from = 2020-01-01
source = "a test"
retrieved_on = 2026-01-01
"""
PRICES = parse_prices(
    f"""
version = "test"
[[prices]]
price_key = "{PRICE_KEY}"
{_ROW}
usd_per_million_tokens = {{ input = 1.10, output = 5.50, cache_read = 0.11 }}
[[instance_prices]]
instance_type = "ml.g5.xlarge"
{_ROW}
usd_per_hour = 1.20
"""
)
SOON = timedelta(hours=1, minutes=5)
"""After an hour's start: it is over, and open."""
SETTLED = timedelta(hours=7, minutes=1)
"""Late enough for it to be closed."""

_TODAY = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
"""The same for all tests, whenever midnight is: each takes a day of its own before it."""
_days = itertools.count(1)


@asynccontextmanager
async def an_account(folder: Path) -> AsyncIterator[Account]:
    async with AsyncExitStack() as stack:
        aws = await stack.enter_async_context(Emulator(folder))
        await provision(sandbox_session(), endpoint_url=aws.url)
        runtime = await stack.enter_async_context(serve_runtime())
        ways = {
            name: await stack.enter_async_context(Cuttable(aws.port))
            for name in ("ledger", "costs", "cloudwatch", "ssm")
        }
        yield Account(aws, runtime, ways)


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="account")
async def emulated(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Account]:
    """An account whose platform began two weeks ago."""
    async with an_account(tmp_path_factory.mktemp("state")) as account:
        began = _TODAY - timedelta(days=15)
        async with account.job(terms(), FakeClock(began)) as job:
            await job.run(began)
        yield account


@pytest.fixture(name="hour")
def an_hour() -> datetime:
    """Noon of a day that no other test has, of the last two weeks: CloudWatch takes nothing older."""
    return _TODAY - timedelta(days=next(_days))


@pytest.fixture(name="tenant")
def a_tenant(hour: datetime) -> str:
    return f"acme-{hour:%m%d}"


def terms(*endpoints: str, **hours: timedelta) -> Terms:
    variant = Variant(name="AllTraffic", instance_type="ml.g5.xlarge", gpu_count=1)
    return Terms(
        region="us-east-1",
        catalogue=Catalogue(
            models={"a": make_model("a", price_key=PRICE_KEY)},
            endpoints={name: Endpoint(variants=(variant,)) for name in endpoints},
        ),
        prices=PRICES,
        hours=HourRules(**hours),
    )


def asked(tenant: str, at: datetime, tokens: int, output: int = 0, **fields: Any) -> InvocationRecord:
    usage = TokenUsage(input_tokens=tokens, output_tokens=output, **fields)
    return a_row(tenant, at, bedrock("a", PRICE_KEY, usage))


async def publish(account: Account, records: Iterable[InvocationRecord]) -> None:
    """What the gateway publishes of these requests."""
    async with serve_emf(sandbox_session(), endpoint_url=account.aws.url) as intake:
        for record in records:
            intake.accept_line(encode_invocation(record))
        await intake.flush()
        assert not intake.rejected


async def configure(account: Account, tenant: str, **policy: Any) -> None:
    async with sandbox_session().client("ssm", endpoint_url=account.aws.url) as ssm:
        await Tenants(ssm, FakeClock()).create(make_policy(tenant, **policy))


async def bill_of(account: Account, hour: datetime, tenant: str) -> dict[str, Decimal | None]:
    """What a tenant pays in an hour, by class of charge; one line each."""
    lines = [
        line for line in (await read_bill(account.aws.url)).lines.get(hour, ()) if line.tenant_id == tenant
    ]
    amounts: dict[str, Decimal | None] = {line.charge_class: line.amount_usd for line in lines}
    assert len(amounts) == len(lines)
    return amounts


async def all_of(account: Account, hour: datetime) -> dict[tuple[str, str], CostLine]:
    return (await read_bill(account.aws.url)).of(hour)


async def test_without_the_ledger_the_metrics_tell_until_it_is_back(
    account: Account, hour: datetime, tenant: str
) -> None:
    """Langfuse and litellm lose what they cannot read; here it is estimated, said so, and put right."""
    await configure(account, tenant)
    rows = [
        asked(tenant, hour + timedelta(minutes=5), 1_000, 50, cache_read_tokens=100),
        asked(tenant, hour + timedelta(minutes=50), 2_000, 0),
    ]
    await put_rows(account.aws.url, rows)
    await publish(account, rows)
    clock = FakeClock(hour + SOON)
    async with account.job(terms(), clock) as job:
        await account.ways["ledger"].cut()
        try:
            report = await job.run(hour)
            assert [one.computed_from for one in report.hours] == ["cloudwatch-metrics"]
            estimated = await all_of(account, hour)
            # 3,000 input at 1.10, 50 output at 5.50, 100 cache reads at 0.11, each for a million.
            expected = {
                "input": Decimal("0.0033"),
                "output": Decimal("0.000275"),
                "cache_read": Decimal("0.000011"),
            }
            assert await bill_of(account, hour, tenant) == expected
            assert {line.usage_source for line in estimated.values()} == {"estimated"}
            assert {line.computed_from for line in estimated.values()} == {"cloudwatch-metrics"}
            assert job.figure("ledger_difference_percent", tenant_id=tenant) is None

            clock.advance(s=(SETTLED - SOON).total_seconds())
            report = await job.run(hour)
            assert not report.hours[0].closed  # an estimate is not the last word
        finally:
            await account.ways["ledger"].mend()
        report = await job.run(hour)
        assert (report.hours[0].computed_from, report.hours[0].closed) == ("request-ledger", True)
        assert await bill_of(account, hour, tenant) == expected
        of_tenant = [line for line in (await all_of(account, hour)).values() if line.tenant_id == tenant]
        assert {(line.usage_source, line.computed_from) for line in of_tenant} == {
            ("reported", "request-ledger")
        }
        assert (await read_bill(account.aws.url)).statuses[hour].closed
        assert job.figure("ledger_difference_percent", tenant_id=tenant) == 0


async def test_an_estimate_takes_the_place_of_nothing_that_the_ledger_told(
    account: Account, hour: datetime, tenant: str
) -> None:
    await configure(account, tenant)
    row = asked(tenant, hour, 1_000_000)
    await put_rows(account.aws.url, [row])
    await publish(account, [asked(tenant, hour, 7)])
    async with account.job(terms(), FakeClock(hour + SOON)) as job:
        assert (await job.run(hour)).complete
        before = await all_of(account, hour)
        await account.ways["ledger"].cut()
        try:
            report = await job.run(hour)
        finally:
            await account.ways["ledger"].mend()
        assert [one.outcome for one in report.hours] == ["failed"]
        assert not report.complete
        assert job.figure("availability", component="costagg") == 0
        assert await all_of(account, hour) == before
        assert await bill_of(account, hour, tenant) == {"input": Decimal("1.10")}
        # 1,000,000 by the ledger, 7 by the metrics.
        assert (await job.run(hour)).complete
        assert job.figure("ledger_difference_percent", tenant_id=tenant) == pytest.approx(99.9993)


async def test_the_running_hour_goes_on_from_metrics_and_back(
    account: Account, hour: datetime, tenant: str
) -> None:
    """What the ledger told of half an hour is less than the metrics know of all of it."""
    await configure(account, tenant)
    first, second = asked(tenant, hour, 1_000_000), asked(tenant, hour + timedelta(minutes=40), 1_000_000)
    await put_rows(account.aws.url, [first, second])
    await publish(account, [first, second])
    clock = FakeClock(hour + timedelta(minutes=30))
    async with account.job(terms(), clock) as job:
        await job.run(hour)
        clock.advance(s=35 * 60)
        await account.ways["ledger"].cut()
        try:
            report = await job.run(hour)
        finally:
            await account.ways["ledger"].mend()
        assert report.hours[0].computed_from == "cloudwatch-metrics"
        assert await bill_of(account, hour, tenant) == {"input": Decimal("2.20")}


async def test_without_cloudwatch_tokens_are_priced_and_instances_described(
    account: Account, hour: datetime, tenant: str
) -> None:
    endpoint = f"llama-{hour:%m%d}"
    account.runtime.hardware[endpoint] = Hardware(instances=2, created_at=hour - timedelta(days=1))
    await configure(account, tenant)
    at = hour + timedelta(minutes=10)
    await put_rows(
        account.aws.url,
        [
            asked(tenant, at, 1_000_000, 1_000_000),
            a_row(tenant, at, sagemaker(endpoint, TokenUsage(input_tokens=5, output_tokens=5))),
        ],
    )
    clock = FakeClock(hour + SETTLED)
    async with account.job(terms(endpoint), clock) as job:
        await account.ways["cloudwatch"].cut()
        try:
            report = await job.run(hour)
        finally:
            await account.ways["cloudwatch"].mend()
        assert report.complete
        # 2 instances at 1.20 an hour; of sixty minutes one was used.
        assert await bill_of(account, hour, tenant) == {
            "input": Decimal("1.10"),
            "output": Decimal("5.50"),
            "instance": Decimal("0.04"),
        }
        assert await bill_of(account, hour, "_unused") == {"instance": Decimal("2.36")}
        instances = [
            line for line in (await all_of(account, hour)).values() if line.charge_class == "instance"
        ]
        assert {line.usage_source for line in instances} == {"described"}
        # Neither who was there nor how many instances ran is known as well as it can be.
        assert not report.hours[0].closed

        # In truth there was one instance, and three in the last ten minutes: 80 instance minutes.
        await put_instances(account.aws.url, endpoint, hour, [1] * 50 + [3] * 10)
        report = await job.run(hour)
        assert report.hours[0].closed
        assert (await bill_of(account, hour, tenant))["instance"] == Decimal("0.02")
        assert await bill_of(account, hour, "_unused") == {"instance": Decimal("1.58")}


async def test_without_parameter_store_known_tenants_are_computed_and_no_hour_is_closed(
    account: Account, hour: datetime, tenant: str
) -> None:
    fresh = f"fresh-{tenant}"
    await configure(account, tenant)
    clock = FakeClock(hour + SOON)
    await put_rows(account.aws.url, [asked(tenant, hour, 1_000_000)])
    async with account.job(terms(), clock) as job:
        await job.run(hour)
        await configure(account, fresh)
        await put_rows(
            account.aws.url,
            [asked(tenant, hour, 1_000_000), asked(fresh, hour, 1_000_000)],
        )
        clock.advance(s=(SETTLED - SOON).total_seconds())
        await account.ways["ssm"].cut()
        try:
            report = await job.run(hour)
        finally:
            await account.ways["ssm"].mend()
        # Whom the run did not know of is not in it: it says so, and does not close the hour.
        assert [one.outcome for one in report.hours] == ["done"]
        assert not report.complete
        assert not report.hours[0].closed
        assert job.figure("availability", component="costagg") == 0
        assert await bill_of(account, hour, tenant) == {"input": Decimal("2.20")}
        assert await bill_of(account, hour, fresh) == {}
        report = await job.run(hour)
        assert report.complete
        assert report.hours[0].closed
        assert await bill_of(account, hour, fresh) == {"input": Decimal("1.10")}


async def test_who_is_gone_pays_for_what_was_used(account: Account, hour: datetime, tenant: str) -> None:
    """A tenant that was removed, one that was erased, one of which only its metrics tell."""
    removed, erased, seen = (f"{name}-{tenant}" for name in ("removed", "erased", "seen"))
    for name in (removed, erased):
        await configure(account, name)
    at = hour + timedelta(minutes=59)
    rows = {name: asked(name, at, 1_000_000) for name in (removed, erased, seen)}
    earlier = hour - timedelta(hours=1)
    await put_rows(account.aws.url, [*rows.values(), asked(removed, earlier, 10)])
    await publish(account, [rows[seen]])
    clock = FakeClock(earlier + SOON)
    async with account.job(terms(), clock) as job:
        await job.run(earlier)
        async with sandbox_session().client("ssm", endpoint_url=account.aws.url) as ssm:
            for name in (removed, erased):
                await Tenants(ssm, clock).remove(TenantId(name))
            await Tombstones(ssm).put(Tombstone(tenant_id=TenantId(erased), erased_at=hour))
        clock.advance(s=3_600)
        assert (await job.run(hour)).complete
    for name in (removed, erased, seen):
        assert await bill_of(account, hour, name) == {"input": Decimal("1.10")}


async def test_an_hour_closes_and_changes_no_more_unless_it_is_asked_for(
    account: Account, hour: datetime, tenant: str
) -> None:
    await configure(account, tenant)
    await put_rows(account.aws.url, [asked(tenant, hour, 1_000_000)])
    clock = FakeClock(hour + SOON)
    rules = terms(close_after=timedelta(hours=1), look_back=timedelta(hours=4))
    async with account.job(rules, clock) as job:
        report = await job.run()
        assert len(report.hours) == 5  # as far as the job looks back, the running one included
        assert report.hours[-1].hour == hour + timedelta(hours=1)
        assert not (await read_bill(account.aws.url)).statuses[hour].closed
        late = asked(tenant, hour + timedelta(minutes=59), 1_000_000)
        await put_rows(account.aws.url, [late])
        clock.advance(s=3_600)
        report = await job.run()
        assert [one.hour for one in report.hours if one.closed][-1] == hour
        assert await bill_of(account, hour, tenant) == {"input": Decimal("2.20")}

        await put_rows(account.aws.url, [asked(tenant, hour, 1_000_000)])  # far too late
        report = await job.run()
        assert hour not in [one.hour for one in report.hours]
        assert await bill_of(account, hour, tenant) == {"input": Decimal("2.20")}
        assert (await job.run(hour)).hours[0].closed
        assert await bill_of(account, hour, tenant) == {"input": Decimal("3.30")}


async def test_what_is_asked_for_first_is_not_where_the_platform_begins(tmp_path: Path) -> None:
    """Else the hours before it would be closed, unread."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    before = hour - timedelta(hours=2)
    async with an_account(tmp_path) as account:
        await configure(account, "acme")
        await put_rows(account.aws.url, [asked("acme", before, 1_000_000)])
        rules = terms(close_after=timedelta(hours=1), look_back=timedelta(hours=4))
        async with account.job(rules, FakeClock(hour + timedelta(minutes=30))) as job:
            await job.run(hour)
            await job.run()
        assert await bill_of(account, before, "acme") == {"input": Decimal("1.10")}


async def test_hours_that_were_left_open_are_told(
    account: Account, hour: datetime, tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The job was away for a day: what it began and cannot look back at is for an operator to compute."""
    await configure(account, tenant)
    await put_rows(account.aws.url, [asked(tenant, hour, 1_000_000)])
    clock = FakeClock(hour + timedelta(minutes=30))
    rules = terms(close_after=timedelta(hours=1), look_back=timedelta(hours=3))
    async with account.job(rules, clock) as job:
        await job.run(hour)
        clock.advance(s=6 * 3_600)
        with caplog.at_level(logging.WARNING):
            report = await job.run()
        assert hour in report.left_open
        assert hour not in [one.hour for one in report.hours]
        assert (await job.run(hour)).hours[0].closed
        assert hour not in (await job.run()).left_open


async def test_a_table_that_is_away_is_told_by_the_metrics_and_by_nothing_else(
    account: Account, hour: datetime, tenant: str
) -> None:
    await configure(account, tenant)
    async with account.job(terms(), FakeClock(hour + SOON)) as job:
        await account.ways["costs"].cut()
        try:
            assert await job.run(hour) is None
        finally:
            await account.ways["costs"].mend()
        assert job.figure("availability", component="costagg") == 0
        assert job.figure("cost_today_usd", tenant_id=tenant) is None
        assert hour not in (await read_bill(account.aws.url)).statuses
        assert (await job.run(hour)).complete
        assert job.figure("availability", component="costagg") == 1


async def test_a_day_of_which_no_hour_could_be_computed_is_not_free(tmp_path: Path) -> None:
    hour, tenant = _TODAY - timedelta(days=1), "acme"
    figures = ("cost_today_usd", "budget_used_percent", "token_budget_used_percent")
    async with (
        an_account(tmp_path) as account,
        account.job(terms(), FakeClock(hour + SOON), daily_usd=Decimal(1)) as job,
    ):
        await configure(account, tenant, daily_budget_usd=Decimal(2), daily_budget_tokens=4_000_000)
        await put_rows(account.aws.url, [asked(tenant, hour, 1_000_000)])
        for way in ("ledger", "cloudwatch"):
            await account.ways[way].cut()
        try:
            assert (await job.run(hour)).hours[0].outcome == "failed"
        finally:
            for way in ("ledger", "cloudwatch"):
                await account.ways[way].mend()
        assert [job.figure(name, tenant_id=tenant) for name in figures] == [None, None, None]
        assert job.figure("unpriced_usage", component="costagg") is None
        assert job.figure("observability_budget_used_percent", component="costagg") is None
        await job.run(hour)
        assert [job.figure(name, tenant_id=tenant) for name in figures] == [1.1, 55, 25]


async def test_figures_say_how_budgets_stand(account: Account, hour: datetime, tenant: str) -> None:
    await configure(account, tenant, daily_budget_usd=Decimal(2), daily_budget_tokens=4_000_000)
    unpriced = bedrock("b", "vendor.b/geo", TokenUsage(input_tokens=3, output_tokens=4))
    uncounted = bedrock("a", PRICE_KEY, TokenUsage(output_tokens=0))
    at, yesterday = hour - timedelta(hours=1), hour - timedelta(hours=20)
    await put_rows(
        account.aws.url,
        [
            asked(tenant, hour, 1_000_000),
            a_row(tenant, hour, unpriced),
            a_row(tenant, at, uncounted),
            asked(tenant, yesterday, 1_000_000),
        ],
    )
    clock = FakeClock(hour + SOON)
    async with account.job(terms(), clock) as job:
        await job.run(yesterday, at, hour)
        # 1.10 of 2; 1,000,007 of 4,000,000 tokens; the hour ended five minutes ago.
        assert job.figure("cost_today_usd", tenant_id=tenant) == 1.1
        assert job.figure("budget_used_percent", tenant_id=tenant) == 55
        assert job.figure("token_budget_used_percent", tenant_id=tenant) == pytest.approx(25.000175)
        assert job.figure("unpriced_usage", price_key="vendor.b/geo") == 2
        assert job.figure("uncounted_requests", component="costagg") == 1
        assert job.figure("cost_age_seconds", component="costagg") == 300
        month = 2.2 if yesterday.month == hour.month else 1.1
        assert job.figure("cost_month_to_date_usd", tenant_id=tenant) == pytest.approx(month)


async def test_observing_that_costs_too_much_is_held_down_and_let_go(
    account: Account, hour: datetime, tenant: str
) -> None:
    await configure(account, tenant)
    usage = TokenUsage(input_tokens=1_000_000, output_tokens=0)
    judged = a_row(tenant, hour, bedrock("judge", PRICE_KEY, usage), origin="judge")
    await put_rows(account.aws.url, [judged])
    clock = FakeClock(hour + SOON)
    # 1.10 of 1.25 is 88 %; from 80 % on it falls in a line: (100 - 88) / 20.
    async with account.job(terms(), clock, daily_usd=Decimal("1.25")) as job:
        await job.run(hour)
        assert job.figure("observability_budget_used_percent", component="costagg") == 88
        assert job.figure("sampling_factor", reason="observability_budget") == 0.6
        assert await brake(account) == (0.6, hour + SOON + timedelta(hours=2.5))
        (line,) = (line for line in (await all_of(account, hour)).values() if line.tenant_id == tenant)
        assert (line.layer, line.amount_usd) == ("observability-layer", Decimal("1.10"))
        assert job.figure("budget_used_percent", tenant_id=tenant) is None
        clock.advance(s=3_600)
        await job.run(hour)
        assert await brake(account) == (0.6, hour + SOON + timedelta(hours=3.5))  # held on
    async with account.job(terms(), clock, daily_usd=Decimal(11)) as job:
        await job.run(hour)
        assert job.figure("sampling_factor", reason="observability_budget") == 1
        assert (await brake(account))[0] == 1
        await job.run(hour)
    async with account.job(terms(), clock, daily_usd=Decimal("1.25")) as job:
        clock.advance(s=9 * 3_600)
        await job.run(hour)
        assert (await brake(account))[0] == 0.6
        clock.advance(s=3_600)  # the next day
        await job.run(hour + timedelta(hours=12))
        assert (await brake(account))[0] == 1


async def brake(account: Account) -> tuple[float, datetime]:
    """What gateways read."""
    name = "/llm-platform/_platform/sampling_factor/observability_budget"
    async with sandbox_session().client("ssm", endpoint_url=account.aws.url) as ssm:
        document = orjson.loads((await ssm.get_parameter(Name=name))["Parameter"]["Value"])
    return document["factor"], datetime.fromisoformat(document["expires_at"])


async def test_a_rerun_says_the_same_and_a_late_row_changes_what_it_must(
    account: Account, hour: datetime, tenant: str
) -> None:
    await configure(account, tenant)
    other = f"other-{tenant}"
    await configure(account, other)
    await put_rows(account.aws.url, [asked(tenant, hour, 1_000_000), asked(other, hour, 10)])
    clock = FakeClock(hour + SOON)
    async with account.job(terms(), clock) as job:
        await job.run(hour)
        first = await all_of(account, hour)
        await job.run(hour)
        assert await all_of(account, hour) == first
        late = asked(tenant, hour + timedelta(minutes=59), 0, 1_000_000)
        await put_rows(account.aws.url, [late, late])  # written twice: it is one row
        await job.run(hour)
        after = await all_of(account, hour)
    changed = {key: line for key, line in after.items() if first.get(key) != line}
    assert {line.tenant_id for line in changed.values()} == {tenant, "_platform"}
    assert await bill_of(account, hour, tenant) == {"input": Decimal("1.10"), "output": Decimal("5.50")}
    assert {key: line for key, line in after.items() if key not in changed} == {
        key: line for key, line in first.items() if key not in changed
    }
    total = sum((line.amount_usd for line in after.values() if line.amount_usd is not None), Decimal(0))
    status = (await read_bill(account.aws.url)).statuses[hour]
    assert status.total_usd == total == Decimal("6.600011")


async def test_a_fault_of_ours_in_one_hour_takes_no_other_hours_bill_with_it(
    account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    faulty = _TODAY.replace(hour=3) - timedelta(days=14)
    good = faulty + timedelta(hours=1)
    await configure(account, "unlucky")
    await put_rows(account.aws.url, [asked("unlucky", hour, 1_000_000) for hour in (faulty, good)])

    def allocated(usage: HourUsage, *facts: Any, **terms: Any) -> HourCost:
        if usage.hour == faulty:
            raise ValueError("a bug")
        return allocate(usage, *facts, **terms)

    monkeypatch.setattr("costagg.job.allocate", allocated)
    async with account.job(terms(), FakeClock(good + SETTLED)) as job:
        report = await job.run(faulty, good)
    assert [one.outcome for one in report.hours] == ["failed", "done"]
    assert not report.complete
    assert await bill_of(account, good, "unlucky") == {"input": Decimal("1.10")}
    assert "is not computed" in caplog.text
