"""The first `watch apply` of an account with traffic: what is well is not told, and what is not is."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from harness.alarm_feed import AlarmFeed
from harness.alarm_receiver import AlarmReceiver, serve_receiver
from llmplatform.aws.tables import CRITICAL_ALARMS, WARNING_ALARMS
from llmplatform.catalogue import load_catalogue
from llmplatform.clock import SystemClock
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy
from llmplatform.prices import load_prices
from sandbox.alarms.evaluator import AlarmEvaluator
from sandbox.emf_intake import serve_emf
from sandbox.emulator import Emulator, sandbox_session
from watch.alarming.applying import Applying, Wanted
from watch.alarming.counting import Budgets
from watch.alarming.definitions import AccountNames, alarm_name
from watch.alarming.planning import OK_ACTIONS, PUT_LAST, Plan, Selection
from watch.alarms import BY_KEY
from watch.aws.alarm_store import AlarmStore
from watch.aws.pacer import Pacer
from watch.aws.world_reader import Seen
from watch.limits import Limits
from watch.tables.rules import MetricRule
from watch.tables.targets import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACCOUNT: Final = AccountNames("000000000000", "us-east-1")
TENANTS: Final = tuple(
    Tenant(TenantPolicy(tenant_id=TenantId(name), daily_budget_usd=Decimal(5))) for name in ("acme", "globex")
)
ACME, GLOBEX = TENANTS
WANTED: Final = Wanted(load_catalogue(), Limits(), load_prices(None), Budgets(10_000, 10_000))
SETTLED: Final = timedelta(seconds=10)


class FixedWorld:
    """As many tenants as there are so far."""

    def __init__(self) -> None:
        self.tenants: tuple[Tenant, ...] = ()

    async def read(self, catalogue: Any) -> Seen:
        return Seen(World(catalogue, tuple(tenant.policy for tenant in self.tenants)), {}, {})


@dataclass(slots=True)
class Account:
    """An account with traffic and somebody on call."""

    cloudwatch: Any
    applying: Applying
    world: FixedWorld
    feed: AlarmFeed
    evaluator: AlarmEvaluator
    receiver: AlarmReceiver

    async def apply(self, *tenants: Tenant) -> None:
        self.world.tenants = tenants
        applied = await self.applying.apply(await self.applying.plan(WANTED, Selection()))
        assert applied.failed == ()

    async def plan(self) -> Plan:
        return (await self.applying.plan(WANTED, Selection())).plan

    async def traffic(self, tenant: Tenant, until: datetime, *, used_percent: float) -> None:
        """Quick answers, and so much of the daily budget used."""
        for minute in range(30):
            at = until - timedelta(minutes=minute + 0.5)
            for key, value in (("latency-p99", 900.0), ("ttft-p99", 200.0), ("budget-usd", used_percent)):
                rule = BY_KEY[key]
                assert isinstance(rule, MetricRule)
                await self.feed.put(rule.reading.series(tenant.variables), at, (value,))
        await self.feed.send()

    async def sent(self) -> list[tuple[str, str]]:
        """Name and state of each message since this was last asked, those on their way included."""
        await self.receiver.all_told(self.cloudwatch)
        told = [(each["AlarmName"], each["NewStateValue"]) for each in self.receiver.messages()]
        self.receiver.forget()
        return told


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="account")
async def with_traffic(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Account]:
    session = sandbox_session()
    async with (
        Emulator(tmp_path_factory.mktemp("state")) as aws,
        session.client("cloudwatch", endpoint_url=aws.url) as cloudwatch,
        session.client("resourcegroupstaggingapi", endpoint_url=aws.url) as tagging,
        serve_emf(session, endpoint_url=aws.url) as intake,
        serve_receiver() as receiver,
    ):
        for topic in (CRITICAL_ALARMS, WARNING_ALARMS):
            await receiver.subscribe(session, aws.url, topic.name)
        clock = SystemClock()

        async def at_once(_: float) -> None:
            """The emulator has no quotas."""

        pacer, world = Pacer(clock, pause=at_once), FixedWorld()
        reads: Any = world
        applying = Applying(AlarmStore(cloudwatch, tagging, pacer), reads, ACCOUNT, pacer, clock)
        feed, evaluator = AlarmFeed(intake, cloudwatch), AlarmEvaluator(cloudwatch)
        yield Account(cloudwatch, applying, world, feed, evaluator, receiver)


async def test_what_is_well_is_not_told_and_what_is_not_is_told_once(account: Account) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    await account.traffic(ACME, now, used_percent=150)
    await account.traffic(GLOBEX, now, used_percent=10)
    await account.apply(ACME, GLOBEX)
    assert (await account.plan()).empty
    await account.evaluator.look(now + SETTLED)
    over_budget = alarm_name(ACME, "budget-usd")
    assert await account.sent() == [(over_budget, "ALARM")]
    await account.traffic(ACME, now + timedelta(minutes=30), used_percent=0)  # after midnight
    await account.evaluator.look(now + timedelta(minutes=30) + SETTLED)
    assert await account.sent() == [(over_budget, "OK")]


async def test_cut_off_in_the_middle_the_next_run_completes_them_as_quietly(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Tenant(TenantPolicy(tenant_id=TenantId("late"), daily_budget_usd=Decimal(5)))

    async def refused(*_: Any) -> None:
        raise ClientError({"Error": {"Code": "Throttling", "Message": "Rate exceeded"}}, "PutMetricAlarm")

    account.world.tenants = (ACME, GLOBEX, late)
    with monkeypatch.context() as cut:
        cut.setattr(AlarmStore, "complete", refused)
        half = await account.applying.apply(await account.applying.plan(WANTED, Selection()))
    plan = await account.plan()
    assert not plan.create
    assert {one.definition.name for one in plan.update} == {name for name, _ in half.failed}
    assert all(OK_ACTIONS in one.changed and set(one.changed) <= PUT_LAST for one in plan.update)
    await account.apply(ACME, GLOBEX, late)
    assert (await account.plan()).empty
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    await account.traffic(late, now, used_percent=10)
    await account.evaluator.look(now + SETTLED)
    await account.evaluator.look(now + timedelta(minutes=10))  # what waited for a suppressor has waited
    assert [told for told in await account.sent() if "/late/" in told[0]] == []
