"""An hour's lines in a real table: reruns, two runs in every order, crashes anywhere, readers meanwhile."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from contract.receivers import HttpReceiver, json_answer
from costagg.store import ATTEMPTS, CALLS_IN_FLIGHT, Claim, CostStore, StoreUnavailable
from llmplatform.aws import patient_dynamodb
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.aws.tables import TENANT_COST
from llmplatform.clock import SystemClock
from llmplatform.costs import (
    CostLine,
    HourStatus,
    StoredLine,
    amounts_by_owner,
    beginning_key,
    decode_line,
    decode_status,
    partition_key,
    status_key,
)
from sandbox.emulator import CREDENTIALS, REGION, Emulator, sandbox_session
from sandbox.provision import create_table

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOUR = datetime(2026, 11, 23, 20, tzinfo=UTC)
OWNERS = ("acme", "globex", "initech", "_unused")


def line(tenant_id: str, about: str, amount: str, hour: datetime = HOUR) -> CostLine:
    return CostLine(
        tenant_id=tenant_id,
        hour=hour,
        layer="inference",
        service="AmazonBedrock",
        endpoint_type="bedrock",
        model_id=about,
        endpoint_name=None,
        price_key=f"anthropic.{about}/geo",
        region="us-east-1",
        service_tier="default",
        charge_class="input",
        unit="tokens",
        quantity=Decimal(1_000),
        unit_price_usd=Decimal(amount) / 1_000,
        amount_usd=Decimal(amount),
        requests=3,
        usage_source="reported",
        computed_from="request-ledger",
        allocation_method="direct/1",
        price_version="2026-11-23",
    )


def status_of(lines: Sequence[CostLine], hour: datetime = HOUR) -> HourStatus:
    return HourStatus(
        hour=hour,
        state="open",
        claimed_run=0,
        run=0,
        computed_at=hour + timedelta(hours=7),
        ledger_rows=len(lines),
        amounts_usd=amounts_by_owner(lines),
        price_version="2026-11-23",
    )


class Crash(Exception):
    """The process is gone."""


class Dying(DynamoDb):
    """A connection that is gone after so many calls: before the next one, or before its answer."""

    def __init__(self, http: SignedHttp, calls: int, *, lands: bool) -> None:
        super().__init__(http)
        self._left = calls
        self._lands = lands

    async def call(self, operation: str, request: Mapping[str, Any] | bytes) -> dict[str, Any]:
        if self._left == 0:
            if self._lands:
                self._lands = False
                await super().call(operation, request)
            raise Crash
        self._left -= 1
        return await super().call(operation, request)


class Watched(DynamoDb):
    """A connection that counts."""

    def __init__(self, http: SignedHttp) -> None:
        super().__init__(http)
        self.operations: list[str] = []
        self.under_way = 0
        self.most_under_way = 0

    async def call(self, operation: str, request: Mapping[str, Any] | bytes) -> dict[str, Any]:
        self.operations.append(operation)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await super().call(operation, request)
        finally:
            self.under_way -= 1


@dataclass(slots=True)
class Table:
    """What stands in the table, as a reader has it."""

    http: SignedHttp
    name: str

    def store(self, dynamodb: DynamoDb | None = None) -> CostStore:
        return CostStore(dynamodb or DynamoDb(self.http), table=self.name, first_pause_s=0.001)

    async def item(self, hour: datetime = HOUR) -> dict[str, Any]:
        answer = await DynamoDb(self.http).call(
            "GetItem", {"TableName": self.name, "Key": status_key(hour), "ConsistentRead": True}
        )
        item: dict[str, Any] = answer["Item"]
        return item

    async def status(self, hour: datetime = HOUR) -> HourStatus:
        return decode_status(await self.item(hour))

    async def stored(self, hour: datetime = HOUR, owners: Iterable[str] = OWNERS) -> list[StoredLine]:
        query = {
            "TableName": self.name,
            "KeyConditionExpression": "tenant_date = :key AND begins_with(line, :hour)",
            "ConsistentRead": True,
        }
        answers = await asyncio.gather(
            *(
                DynamoDb(self.http).call(
                    "Query",
                    query
                    | {
                        "ExpressionAttributeValues": {
                            ":key": {"S": partition_key(owner, hour.date())},
                            ":hour": {"S": f"{hour:%H}#"},
                        }
                    },
                )
                for owner in owners
            )
        )
        return [decode_line(item) for answer in answers for item in answer["Items"]]

    async def visible(self, hour: datetime = HOUR) -> set[CostLine]:
        while True:
            status = await self.status(hour)
            stored = await self.stored(hour)
            if (await self.status(hour)).run == status.run:  # else swept while it was read
                return {one.line for one in stored if status.shows(one)}


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="aws")
async def emulated(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        yield aws


def http_at(url: str) -> SignedHttp:
    return SignedHttp(
        service="dynamodb",
        url=url,
        region=REGION,
        credentials=lambda: CREDENTIALS,
        clock=SystemClock(),
        connections=64,
        timeout_s=60.0,
    )


@pytest_asyncio.fixture(loop_scope="module")
async def table(aws: Emulator) -> AsyncIterator[Table]:
    name = f"{TENANT_COST.name}-{secrets.token_hex(4)}"
    async with sandbox_session().client("dynamodb", endpoint_url=aws.url) as client:
        await create_table(client, replace(TENANT_COST, name=name))
    async with http_at(aws.url) as http:
        yield Table(http, name)


async def run(store: CostStore, lines: Sequence[CostLine], hour: datetime = HOUR) -> Claim:
    """One whole run, as the job makes it."""
    claim = await store.claim(hour)
    if await store.write(claim, lines):
        await store.publish(claim, status_of(lines, hour))
    await store.sweep(hour)
    return claim


BEFORE = [line("acme", "haiku", "1.5"), line("acme", "sonnet", "2"), line("globex", "haiku", "0.25")]
AFTER = [line("acme", "haiku", "1.75"), line("initech", "opus", "9"), line("_unused", "haiku", "3")]


async def test_an_hour_that_nobody_published_shows_nothing(table: Table) -> None:
    store = table.store()
    claim = await store.claim(HOUR)
    assert await store.write(claim, BEFORE)
    assert len(await table.stored()) == 3
    assert await table.visible() == set()


async def test_the_same_hour_twice_is_the_same_table(table: Table) -> None:
    await run(table.store(), BEFORE)
    assert await table.visible() == set(BEFORE)
    again = await run(table.store(), BEFORE)
    assert await table.visible() == set(BEFORE)
    assert [stored.run for stored in await table.stored()] == [again.run] * 3


async def test_lines_that_hold_no_longer_are_gone(table: Table) -> None:
    await run(table.store(), BEFORE)
    await run(table.store(), AFTER)
    assert await table.visible() == set(AFTER)
    assert {stored.line for stored in await table.stored()} == set(AFTER)


async def test_a_sweep_tells_how_many_lines_it_removed(table: Table) -> None:
    store = table.store()
    await run(store, [line(f"tenant-{number}", f"m{at}", "1") for number in range(40) for at in range(2)])
    assert await store.publish(await store.claim(HOUR), status_of([]))
    assert await store.sweep(HOUR) == 80
    assert await store.sweep(HOUR) == 0


async def test_an_hour_without_lines_is_known_to_have_none(table: Table) -> None:
    await run(table.store(), BEFORE)
    await run(table.store(), [])
    assert (await table.status()).owners == ()
    assert await table.stored() == []


async def test_other_hours_of_the_day_are_left_alone(table: Table) -> None:
    earlier = HOUR - timedelta(hours=18)
    theirs = [replace(one, hour=earlier) for one in BEFORE]
    await run(table.store(), theirs, earlier)
    await run(table.store(), BEFORE)
    await run(table.store(), AFTER)
    assert await table.visible(earlier) == set(theirs)


async def test_a_claim_tells_what_was_known_before_and_leaves_it(table: Table) -> None:
    store = table.store()
    first = await store.claim(HOUR)
    assert (first.run, first.before.claimed_run, first.before.run) == (1, 0, 0)
    await store.publish(first, replace(status_of(BEFORE), state="closed"))
    second = await store.claim(HOUR)
    assert second.run == 2
    assert second.before == replace(status_of(BEFORE), state="closed", claimed_run=1, run=1)
    assert second.before.closed
    assert await table.status() == replace(second.before, claimed_run=2)
    assert not (await table.status()).closed


async def test_what_is_no_longer_known_of_an_hour_goes_from_its_status(table: Table) -> None:
    store = table.store()
    await store.publish(await store.claim(HOUR), status_of(BEFORE))
    await store.publish(await store.claim(HOUR), replace(status_of(BEFORE), ledger_rows=None))
    assert (await table.status()).ledger_rows is None


async def test_rows_go_when_their_time_is_over(table: Table) -> None:
    await table.store().claim(HOUR)
    ends = int((await table.item())["expires_at"]["N"])
    assert ends == HOUR.timestamp() + TENANT_COST.retention_days * 86_400


async def test_no_name_keeps_the_other_lines_from_being_written(table: Table) -> None:
    lines = [*BEFORE, line("acme", "a#b", "1"), line("acme", "a", "2")]
    await run(table.store(), lines)
    assert await table.visible() == set(lines)


async def test_many_lines_are_written_some_at_once(table: Table) -> None:
    watched = Watched(table.http)
    lines = [line("acme", f"model-{number}", "1") for number in range(200)]
    await run(table.store(watched), lines)
    assert await table.visible() == set(lines)
    assert watched.most_under_way == CALLS_IN_FLIGHT
    assert "Query" not in watched.operations  # nothing can be older than the first run


@dataclass(slots=True)
class Run:
    """A run that is led by the hand, one step after the other; a superseded one only sweeps."""

    store: CostStore
    hour: datetime
    lines: Sequence[CostLine]
    claim: Claim | None = None
    superseded: bool = False
    published: bool = False
    steps: list[str] = field(default_factory=lambda: ["claim", "write", "write", "publish", "sweep"])
    unwritten: list[CostLine] = field(default_factory=list)

    async def step(self) -> None:
        match self.steps.pop(0):
            case "claim":
                self.claim = await self.store.claim(self.hour)
                self.unwritten = list(self.lines)
            case "write" if not self.superseded:
                assert self.claim is not None
                self.superseded = not await self.store.write(self.claim, [self.unwritten.pop(0)])
            case "publish" if not self.superseded:
                assert self.claim is not None
                self.published = await self.store.publish(self.claim, status_of(self.lines, self.hour))
                self.superseded = not self.published
            case "sweep":
                await self.store.sweep(self.hour)


ORDERS = [
    tuple("A" if at in ours else "B" for at in range(10)) for ours in combinations(range(10), 5) if 0 in ours
]
"""Every order of two runs' five steps in which A begins; the others are the same with the names changed."""


@pytest.mark.parametrize("rerun", [False, True], ids=["first", "rerun"])
async def test_two_runs_in_any_order_end_with_the_later_claim(table: Table, rerun: bool) -> None:  # noqa: FBT001
    assert len(ORDERS) == 126
    for number, order in enumerate(ORDERS):
        hour = HOUR + timedelta(hours=number)
        if rerun:
            before = [replace(one, hour=hour) for one in BEFORE]
            await run(table.store(), before, hour)
        runs = {
            "A": Run(
                table.store(), hour, [line("acme", "haiku", "1", hour), line("initech", "opus", "2", hour)]
            ),
            "B": Run(
                table.store(), hour, [line("acme", "haiku", "4", hour), line("_unused", "opus", "8", hour)]
            ),
        }
        for name in order:
            await runs[name].step()
            await check_readers(table, hour, runs.values())
        later = max(runs.values(), key=claimed_run)
        assert later.published, order
        assert await table.visible(hour) == set(later.lines), order
        assert {stored.line for stored in await table.stored(hour)} == set(later.lines), order
        assert (await table.status(hour)).total_usd == status_of(later.lines).total_usd, order


def claimed_run(one: Run) -> int:
    return one.claim.run if one.claim is not None else 0


async def check_readers(table: Table, hour: datetime, runs: Iterable[Run]) -> None:
    """What a reader may rely on after every step."""
    if all(one.claim is None for one in runs):
        return
    status = await table.status(hour)
    stored = await table.stored(hour)
    assert all(one.run == status.run > 0 for one in stored if status.shows(one))
    published = [one for one in runs if one.published]
    assert status.run == max((claimed_run(one) for one in published), default=status.run)
    for one in published:
        if claimed_run(one) == status.claimed_run:
            assert {kept.line for kept in stored if status.shows(kept)} == set(one.lines)


@pytest.mark.parametrize("lands", [False, True], ids=["before-the-call", "before-its-answer"])
async def test_a_crash_anywhere_and_a_rerun_give_the_same(
    table: Table,
    lands: bool,  # noqa: FBT001  # a parameter of the cases
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patient_dynamodb, "ROWS_PER_CALL", 1)  # a crash between any two rows
    crashes = 0
    for calls in range(100):
        hour = HOUR + timedelta(hours=calls)
        before, after = ([replace(one, hour=hour) for one in lines] for lines in (BEFORE, AFTER))
        await run(table.store(), before, hour)
        try:
            await run(table.store(Dying(table.http, calls, lands=lands)), after, hour)
        except* Crash:
            crashes += 1
        else:
            break
        finally:
            assert await table.visible(hour) in (set(before), set(after))  # whatever happened
        # What the dead run alone had written is swept as well, though the rerun has no such line.
        await run(table.store(), before, hour)
        assert await table.visible(hour) == set(before), calls
        assert {stored.line for stored in await table.stored(hour)} == set(before), calls
    assert crashes > 10  # claim, owners, three lines, publish, status, three or four queries, deletes


async def test_a_claim_that_comes_to_nothing_takes_nothing_away(table: Table) -> None:
    store = table.store()
    await run(store, BEFORE)
    late = await store.claim(HOUR)
    await store.write(late, AFTER[:1])
    await store.claim(HOUR)  # by one that dies at once
    assert not await store.publish(late, status_of(AFTER))
    assert await store.sweep(HOUR) == 0
    assert await table.visible() == set(BEFORE)
    await run(store, AFTER)
    assert await table.visible() == set(AFTER)


async def test_a_line_that_lands_after_the_later_run_has_swept_is_never_seen(table: Table) -> None:
    store = table.store()
    early = await store.claim(HOUR)
    assert await store.write(early, [line("acme", "haiku", "1")])
    await run(store, BEFORE)
    late = {**await one_item(table), "model_id": {"S": "late"}, "line": {"S": "20#late#1"}}
    await DynamoDb(table.http).call("PutItem", {"TableName": table.name, "Item": late})
    assert await table.visible() == set(BEFORE)
    assert await store.sweep(HOUR) == 1
    assert len(await table.stored()) == 3


async def one_item(table: Table) -> dict[str, Any]:
    """A stored row, as the first run would write it."""
    answer = await DynamoDb(table.http).call(
        "Query",
        {
            "TableName": table.name,
            "KeyConditionExpression": "tenant_date = :key",
            "ExpressionAttributeValues": {":key": {"S": partition_key("acme", HOUR.date())}},
        },
    )
    return {**answer["Items"][0], "run": {"N": "1"}}


async def test_an_older_run_cannot_write_over_a_newer_one(table: Table) -> None:
    store = table.store()
    early, late = await store.claim(HOUR), await store.claim(HOUR)
    assert await store.write(late, BEFORE)
    # Noticed at its first step, before a line is written.
    assert not await store.write(early, [line("initech", "opus", "1")])
    assert not await store.publish(early, status_of(BEFORE))
    assert len(await table.stored()) == 3


async def test_a_published_hour_whose_answer_was_lost_is_known_to_be_published(table: Table) -> None:
    store = table.store()
    claim = await store.claim(HOUR)
    assert await store.publish(claim, status_of(BEFORE))
    await store.claim(HOUR)
    assert await store.publish(claim, status_of(BEFORE))  # asked again after somebody claimed


async def test_readers_never_see_another_sum_while_the_hour_is_computed_again(table: Table) -> None:
    lines = [line(owner, f"model-{number}", "1.25") for owner in OWNERS for number in range(10)]
    await run(table.store(), lines)
    stop, sums = asyncio.Event(), []

    async def read() -> None:
        while not stop.is_set():
            sums.append(sum((one.amount_usd or Decimal(0) for one in await table.visible()), Decimal(0)))

    async with asyncio.TaskGroup() as readers:
        for _ in range(3):
            readers.create_task(read())
        for _ in range(4):
            await asyncio.gather(run(table.store(), lines), run(table.store(), lines))
        stop.set()
    assert len(sums) > 3
    assert set(sums) == {Decimal(50)}
    assert await table.visible() == set(lines)


async def test_many_runs_at_once_end_with_the_last_claim(table: Table) -> None:
    bills = [
        [line("acme", "haiku", str(number)), line(OWNERS[number % 4], f"m{number}", "1")]
        for number in range(8)
    ]
    claims = await asyncio.gather(*(run(table.store(), bill) for bill in bills))
    last = max(range(8), key=lambda at: claims[at].run)
    assert await table.visible() == set(bills[last])
    assert {stored.line for stored in await table.stored()} == set(bills[last])


async def answering(
    answer: Callable[[HttpReceiver, web.BaseRequest, bytes], web.Response],
) -> tuple[HttpReceiver, SignedHttp]:
    server = HttpReceiver(answer)
    await server.start()
    return server, http_at(server.url)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "ProvisionedThroughputExceededException"),
        (400, "ThrottlingException"),
        (500, "InternalServerError"),
        (503, ""),
    ],
)
async def test_what_may_pass_is_tried_again(status: int, kind: str) -> None:
    asked: list[bytes] = []

    def answer(_: HttpReceiver, __: web.BaseRequest, body: bytes) -> web.Response:
        asked.append(body)
        if len(asked) < ATTEMPTS:
            return json_answer({"__type": f"com.amazonaws.dynamodb.v20120810#{kind}"}, status=status)
        return json_answer({})

    server, http = await answering(answer)
    async with http:
        store = CostStore(DynamoDb(http), first_pause_s=0.0001)
        claim = Claim(HOUR, 1, HourStatus(HOUR, "open", claimed_run=0, run=0))
        assert await store.publish(claim, status_of(BEFORE))
    await server.stop()
    assert len(asked) == ATTEMPTS
    assert len(set(asked)) == 1


@pytest.mark.parametrize(
    ("kind", "attempts"), [("ValidationException", 1), ("ThrottlingException", ATTEMPTS)]
)
async def test_a_table_that_will_not_is_told_and_not_asked_for_ever(kind: str, attempts: int) -> None:
    asked: list[bytes] = []

    def answer(_: HttpReceiver, __: web.BaseRequest, body: bytes) -> web.Response:
        asked.append(body)
        return json_answer({"__type": f"com.amazonaws.dynamodb.v20120810#{kind}"}, status=400)

    server, http = await answering(answer)
    async with http:
        with pytest.raises(StoreUnavailable, match=kind):
            await CostStore(DynamoDb(http), first_pause_s=0.0001).claim(HOUR)
    await server.stop()
    assert len(asked) == attempts


async def test_a_table_that_is_not_there_is_unavailable() -> None:
    async with http_at("http://127.0.0.1:9") as http:
        store = CostStore(DynamoDb(http), first_pause_s=0.0001)
        with pytest.raises(StoreUnavailable, match="no answer"):
            await store.claim(HOUR)
        claim = Claim(HOUR, 1, HourStatus(HOUR, "open", claimed_run=0, run=0))
        with pytest.raises(StoreUnavailable, match="no answer"):
            await store.write(claim, BEFORE)


async def test_the_platform_begins_with_the_earliest_hour_that_was_computed(table: Table) -> None:
    store = table.store()
    for hour in (HOUR, HOUR + timedelta(hours=1), HOUR - timedelta(hours=2), HOUR):
        await store.begin(hour)
    row = {"TableName": table.name, "Key": beginning_key(), "ConsistentRead": True}
    stored = (await DynamoDb(table.http).call("GetItem", row))["Item"]
    assert datetime.fromisoformat(stored["hour"]["S"]) == HOUR - timedelta(hours=2)
