"""The drift job over an emulated account: results are put, time is told, metrics and rows are looked at."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from evalworker.drift.job import DriftReport, TenantReport, run_once
from evalworker.drift.rows import decode_tenant
from evalworker.drift.settings import DriftSettings
from evalworker.drift.store import DriftStore
from evalworker.drift.traffic import TrafficReader
from harness.score_series import BAD, GOOD
from harness.sinks import KeepingSink
from llmplatform import ledger
from llmplatform.aws.eval_reader import EvalReader
from llmplatform.aws.tables import EVAL_DETECTOR, EVAL_MINUTES, EVAL_RESULTS, REQUEST_LEDGER
from llmplatform.eval_heartbeat import READ, UNFINISHED, Heartbeat, encode_heartbeat
from llmplatform.eval_series import JUDGE_BINS, MinuteScores, Series, encode_minute
from llmplatform.eval_status import STATUS_ENTRY, SeriesStatus, decode_statuses
from llmplatform.evaluations import DIMENSIONS, JUDGE_DIMENSIONS, EvalResult, Judge, encode_result
from llmplatform.policy import TenantPolicy
from llmplatform.testing import FakeClock, make_policy, make_record
from sandbox.emulator import Emulator, sandbox_session
from sandbox.provision import create_table

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SETTINGS = DriftSettings()
JUDGE_A = Judge("judge-a", "vendor.judge-v1:0", "answer-quality", "1")
JUDGE_B = replace(JUDGE_A, identity="judge-b", rubric_version="2")
TABLES = (EVAL_RESULTS, EVAL_MINUTES, EVAL_DETECTOR, REQUEST_LEDGER)
NUMBERS = count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="aws")
async def emulated(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        async with sandbox_session().client("dynamodb", endpoint_url=aws.url) as dynamodb:
            for table in TABLES:
                await create_table(dynamodb, table)
        yield aws


@pytest_asyncio.fixture(loop_scope="module")
async def world(aws: Emulator) -> "AsyncIterator[World]":
    async with sandbox_session().client("dynamodb", endpoint_url=aws.url) as dynamodb:
        found = World(dynamodb, f"t-{next(NUMBERS)}")
        dynamodb.meta.events.register("before-call.dynamodb", found.called)
        yield found


@dataclass
class World:
    """One tenant of its own, and a clock."""

    dynamodb: Any
    tenant_id: str
    clock: FakeClock = field(default_factory=lambda: FakeClock(NOON))
    sink: KeepingSink[bytes] = field(default_factory=lambda: KeepingSink("lines"))
    calls: Counter[str] = field(default_factory=Counter)
    fields: dict[str, Any] = field(default_factory=dict)
    drawn: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))

    def called(self, model: Any, **_: Any) -> None:
        self.calls[model.name] += 1

    @property
    def policy(self) -> TenantPolicy:
        return make_policy(self.tenant_id, **self.fields)

    async def run(
        self,
        *,
        settings: DriftSettings = SETTINGS,
        rebuild: bool = False,
        others: Sequence[TenantPolicy] = (),
    ) -> TenantReport:
        return (await self.run_all(settings=settings, rebuild=rebuild, others=others)).tenants[0]

    async def run_all(
        self,
        *,
        settings: DriftSettings = SETTINGS,
        rebuild: bool = False,
        others: Sequence[TenantPolicy] = (),
    ) -> DriftReport:
        store = DriftStore(self.dynamodb, EvalReader(self.dynamodb, self.clock))
        return await run_once(
            store,
            TrafficReader(self.dynamodb),
            [self.policy, *others],
            self.sink,
            now=self.clock.now(),
            settings=settings,
            rebuild=rebuild,
        )

    def result(
        self,
        score: int,
        at: datetime,
        *,
        model_id: str = "small",
        judge: Judge = JUDGE_A,
        dimensions: Sequence[str] = ("relevance",),
        judged_after_s: float = 5.0,
        bertscore: float | None = None,
    ) -> EvalResult:
        number = next(NUMBERS)
        return EvalResult(
            tenant_id=self.tenant_id,
            request_id=f"r-{number:08}",
            trace_id=f"4bf92f35-77b3-4da6-a3ce-{number:012d}",
            event_at=at,
            judged_at=at + timedelta(seconds=judged_after_s),
            model_id=model_id,
            endpoint_type="bedrock",
            sample_rate=0.05,
            sample_reason="rate",
            judge=judge,
            scores=dict.fromkeys(dimensions, score),
            content_truncated=False,
            bertscore_f1=bertscore,
            bertscore_identity=None if bertscore is None else "scorer-a",
        )

    def minute_of_results(
        self, chances: Any = GOOD, *, n: int = 10, judge: Judge = JUDGE_A, before: timedelta = MINUTE
    ) -> list[EvalResult]:
        start = self.clock.now() - before
        scores = self.drawn.choice([1, 2, 3, 4, 5], size=n, p=chances)
        return [
            self.result(int(score), start + timedelta(seconds=3 * at), judge=judge)
            for at, score in enumerate(scores)
        ]

    async def put(self, results: Iterable[EvalResult]) -> None:
        await self.write(EVAL_RESULTS.name, [encode_result(result) for result in results])

    async def write(self, table: str, items: Sequence[Any]) -> None:
        for at in range(0, len(items), 25):
            writes = [{"PutRequest": {"Item": item}} for item in items[at : at + 25]]
            await self.dynamodb.batch_write_item(RequestItems={table: writes})

    async def history(self, *, days: float = 3, judge: Judge = JUDGE_A) -> None:
        """Minutes of normal scores until an hour ago, ten scores every ten minutes."""
        series = Series(self.tenant_id, "small", "relevance", judge.identity)
        until = self.clock.now() - timedelta(hours=1)
        rows = []
        for at in range(int(days * 144), 0, -1):
            counts = self.drawn.multinomial(10, GOOD)
            values = counts @ np.asarray(JUDGE_BINS), counts @ np.asarray(JUDGE_BINS) ** 2
            rows.append(
                encode_minute(
                    series,
                    MinuteScores(
                        until - at * 10 * MINUTE,
                        10,
                        200.0,
                        float(values[0]) * 20,
                        float(values[1]) * 20,
                        tuple(counts.tolist()),
                    ),
                )
            )
        await self.write(EVAL_MINUTES.name, rows)

    async def minutes(self, chances: Any, times: int, *, judge: Judge = JUDGE_A) -> list[TenantReport]:
        """Let minutes with traffic pass, with a run in each."""
        reports = []
        for _ in range(times):
            self.clock.advance(s=60)
            await self.put(self.minute_of_results(chances, judge=judge))
            reports.append(await self.run())
        return reports

    async def head(self) -> Any:
        key = {"owner": {"S": self.tenant_id}, "entry": {"S": STATUS_ENTRY}}
        return (await self.dynamodb.get_item(TableName=EVAL_DETECTOR.name, Key=key))["Item"]

    async def statuses(self) -> tuple[SeriesStatus, ...]:
        return decode_statuses(await self.head())

    async def rows(self) -> dict[str, Any]:
        """Everything that the job keeps of the tenant, without the number of the run."""
        kept: dict[str, Any] = {}
        for table in (EVAL_DETECTOR, EVAL_MINUTES):
            async for page in self.dynamodb.get_paginator("scan").paginate(TableName=table.name):
                for item in page["Items"]:
                    owner, entry = item[table.partition_key.name]["S"], item[table.sort_key.name]["S"]
                    if owner.partition("#")[0] == self.tenant_id and entry != "drift.claim":
                        kept[f"{owner} {entry}"] = {n: v for n, v in item.items() if n != "claim"}
        return kept

    def published(self, name: str) -> list[float]:
        """All values of a metric, oldest first."""
        return [line[name] for line in map(json.loads, self.sink.items) if name in line]


async def test_a_steady_series_is_quiet_and_a_fall_is_one_alarm_within_minutes(world: World) -> None:
    await world.history()
    quiet = await world.minutes(GOOD, 15)
    assert not any(report.changed for report in quiet)
    assert set(world.published("score_fallen")) == {0}
    assert set(world.published("score_dropped")) <= {0}

    world.sink.items.clear()
    fallen = await world.minutes(BAD, 8)
    changes = [change for report in fallen for change in report.changed]
    assert [(change.before, change.after) for change in changes] == [("steady", "fallen")]
    rung_after = next(at for at, report in enumerate(fallen, 1) if report.changed)
    assert rung_after <= 6  # two of them are the time that a minute is given to settle
    assert sorted(set(world.published("score_fallen"))) == [0, 1]
    assert world.published("score_fallen")[-1] == 1
    assert world.published("score_dropped")[-1] == 1
    assert world.published("score_drop_percent")[-1] > 15
    assert set(world.published("availability")) == {1}
    (status,) = await world.statuses()
    assert status.status == "fallen"
    assert status.current
    assert status.fall is not None
    assert status.fall.baseline_mean == pytest.approx(4.28, abs=0.1)
    assert status.fall.level < 4


async def test_another_judge_begins_anew_and_rings_nothing(world: World) -> None:
    await world.history()
    await world.minutes(GOOD, 3)
    world.sink.items.clear()
    reports = await world.minutes(BAD, 6, judge=JUDGE_B)
    begun = [epoch for report in reports for epoch in report.epochs]
    assert [(epoch.series.epoch, epoch.before) for epoch in begun] == [("judge-b", "judge-a")]
    assert world.published("epoch_changed") == [1]
    assert 1 not in world.published("score_fallen")
    assert not any(report.changed for report in reports)
    assert {report.series for report in reports} == {1}
    statuses = {status.series.epoch: status for status in await world.statuses()}
    assert statuses["judge-b"].current
    assert not statuses["judge-a"].current
    assert statuses["judge-b"].status == "warming_up"
    assert statuses["judge-b"].missing_samples is not None
    assert statuses["judge-a"].status == "steady"


async def test_an_old_time_that_is_judged_anew_is_not_what_scores_come_from_now(world: World) -> None:
    await world.minutes(GOOD, 3)
    replayed = world.minute_of_results(judge=JUDGE_B, before=timedelta(days=2))
    await world.put(replace(result, judged_at=world.clock.now()) for result in replayed)
    reports = await world.minutes(GOOD, 2)
    assert not any(report.epochs for report in reports)
    assert [status.series.epoch for status in await world.statuses() if status.current] == ["judge-a"]
    reports = await world.minutes(GOOD, 20, judge=JUDGE_B)  # now it is
    assert [epoch.before for report in reports for epoch in report.epochs] == ["judge-a"]


async def test_late_results_go_back_and_end_in_the_state_of_a_rebuild(world: World) -> None:
    await world.history()
    await world.minutes(GOOD, 4)
    # an outage of 70 minutes: what was asked meanwhile is judged afterwards, at once
    for _ in range(70):
        world.clock.advance(s=60)
        await world.put(
            replace(result, judged_at=NOON + timedelta(minutes=74, seconds=30))
            for result in world.minute_of_results(BAD, n=2)
        )
    reports = await world.minutes(BAD, 3)
    assert max(report.judged for report in reports) >= 140
    assert [change.after for report in reports for change in report.changed] == ["fallen"]
    # and one that is later still
    late = world.minute_of_results(GOOD, n=1, before=timedelta(hours=2, minutes=5))[0]
    await world.put([replace(late, judged_at=world.clock.now() + timedelta(seconds=5))])
    (report,) = await world.minutes(BAD, 1)
    assert report.refolded == 1
    before, head = await world.rows(), decode_tenant(await world.head())
    rebuilt = await world.run(rebuild=True)
    assert rebuilt.outcome == "done"
    assert decode_tenant(await world.head()).folds == head.folds
    assert await world.rows() == before


async def test_a_run_again_writes_the_same(world: World) -> None:
    await world.minutes(GOOD, 65)
    before = await world.rows()
    assert any("hour#" in key for key in before)
    again = await world.run()
    assert again.refolded == 0
    assert await world.rows() == before


async def test_two_jobs_at_once_leave_what_one_would(world: World) -> None:
    await world.minutes(GOOD, 5)
    for _ in range(6):
        world.clock.advance(s=60)
        await world.put(world.minute_of_results())
        reports = await asyncio.gather(world.run(), world.run())
        assert {report.outcome for report in reports} <= {"done", "superseded"}
        assert any(report.outcome == "done" for report in reports)
    head = decode_tenant(await world.head())
    await world.run(rebuild=True)
    assert decode_tenant(await world.head()).folds == head.folds


async def test_more_results_than_a_run_reads_are_read_by_the_next(world: World) -> None:
    small = replace(SETTINGS, max_judged=40)
    for _ in range(12):
        world.clock.advance(s=60)
        await world.put(world.minute_of_results())
    reports = [await world.run(settings=small)]
    while not reports[-1].caught_up and len(reports) < 8:
        reports.append(await world.run(settings=small))
    assert reports[-1].caught_up
    assert all(40 <= report.judged <= 50 for report in reports[:-1])
    (fold,) = decode_tenant(await world.head()).folds.values()
    assert sum(minute.n for minute in fold.recent) == 120


async def test_a_tenant_that_fails_is_told_and_the_others_go_on(world: World) -> None:
    other = replace(world, tenant_id=f"{world.tenant_id}-other")
    await world.minutes(GOOD, 3)
    await other.put(other.minute_of_results())
    broken = {**(await world.head()), "state": {"B": b"of another version"}}
    await world.write(EVAL_DETECTOR.name, [broken])
    world.sink.items.clear()
    report = await world.run_all(others=[other.policy])
    assert [tenant.outcome for tenant in report.tenants] == ["failed", "done"]
    assert world.published("availability") == [0]
    repaired = await world.run_all(others=[other.policy], rebuild=True)
    assert repaired.complete
    assert world.published("availability") == [0, 1]
    (fold,) = decode_tenant(await world.head()).folds.values()
    assert sum(minute.n for minute in fold.recent) == 30


@pytest.mark.parametrize("at_hours_end", [False, True])
async def test_calls_of_a_steady_minute_do_not_grow_with_series(world: World, *, at_hours_end: bool) -> None:
    models = ("small", "large", "larger")
    busy = len(models) * len(DIMENSIONS)
    start = 57 if at_hours_end else 20
    world.clock.advance(s=60 * start)
    calls = []
    for _ in range(8):
        world.clock.advance(s=60)
        await world.put(
            world.result(
                4,
                world.clock.now() - MINUTE,
                model_id=model_id,
                dimensions=JUDGE_DIMENSIONS,
                bertscore=0.8,
            )
            for model_id in models
        )
        world.calls.clear()
        report = await world.run()
        assert report.series == busy
        calls.append(world.calls.total())
    steady = calls[-1]
    assert steady <= 8
    if at_hours_end:
        # two reads and a row a series, once an hour; another read before its first hour is over
        assert max(calls[3:]) <= steady + 4 * busy
    else:
        assert calls[3:] == [steady] * 5


async def with_requests(world: World, *, sampled: bool, requests: int = 240) -> None:
    """Requests of the last half hour."""
    rows = []
    for at in range(requests):
        number = next(NUMBERS)
        rows.append(
            ledger.encode_item(
                make_record(
                    tenant_id=world.tenant_id,
                    request_id=f"r-{number:08}",
                    completed_at=world.clock.now() - timedelta(seconds=200 + at),
                    sampled=sampled,
                    sampled_rate=0.05 if sampled else 0.0,
                )
            )
        )
    await world.write(REQUEST_LEDGER.name, rows)


def heartbeat(world: World, **last_s: float) -> Heartbeat:
    now = world.clock.now()
    return Heartbeat(
        worker=f"w-{next(NUMBERS)}",
        started_at=now - timedelta(days=1),
        at=now,
        read=9,
        scored=0,
        known=0,
        skipped={},
        parked={},
        unfinished=9,
        lag_s=60.0,
        judge_failed={"throttled": 3},
        last_at={world.tenant_id: {what: now - timedelta(seconds=ago) for what, ago in last_s.items()}},
    )


async def test_the_watchdog_names_where_scores_get_lost(world: World) -> None:
    world.clock.advance(s=86_400)  # so that no heartbeat of another test is heard
    assert (await world.run()).missing is None

    world.clock.advance(s=300)
    await with_requests(world, sampled=False)
    assert (await world.run()).missing == "sampling"

    world.clock.advance(s=300)
    await with_requests(world, sampled=True)
    assert (await world.run()).missing == "worker"
    assert world.published("scores_missing") == [0, 1, 1]
    stages = [json.loads(line).get("stage") for line in world.sink.items]
    assert [stage for stage in stages if stage] == ["sampling", "worker"]

    world.clock.advance(s=300)
    await world.write(EVAL_DETECTOR.name, [encode_heartbeat(heartbeat(world))])
    assert (await world.run()).missing == "stream"

    world.clock.advance(s=300)
    failing = heartbeat(world, **{READ: 10, UNFINISHED: 9})
    await world.write(EVAL_DETECTOR.name, [encode_heartbeat(failing)])
    assert (await world.run()).missing == "judge"

    await world.put(world.minute_of_results())
    world.clock.advance(s=60)
    assert (await world.run()).missing is None
    assert world.published("scores_missing")[-1] == 0


async def test_the_ledger_is_read_for_silent_tenants_only_and_now_and_then(world: World) -> None:
    world.clock.advance(s=600)
    await with_requests(world, sampled=False)
    reads = []
    for _ in range(6):
        world.calls.clear()
        assert (await world.run()).missing == "sampling"
        reads.append(world.calls["Query"] - 1)  # one is for what was judged
        world.clock.advance(s=60)
    assert reads == [17, 0, 0, 0, 0, 17]  # two hours of eight partitions, and the workers
    world.calls.clear()
    world.fields["eval_sample_rate"] = 0
    await world.run()
    assert world.calls["Query"] == 1
