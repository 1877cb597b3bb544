"""What a worker says of itself: figures since the last report, a heartbeat, the brake; none may stop it."""

import asyncio
import json
import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from evalworker.brake import BrakeRule
from evalworker.ends import End, Parked, Skipped, Unfinished
from evalworker.feeds.figures import FeedFigures
from evalworker.publishing import ScoreLines
from evalworker.records import StreamRecord
from evalworker.reporting import Reporter
from evalworker.standing import Standing
from evalworker.tally import Tally
from harness.sinks import KeepingSink
from llmplatform.eval_heartbeat import Heartbeat
from llmplatform.process.sink_figures import SinkFigures
from llmplatform.sampling import SamplingBrake
from llmplatform.testing import START, FakeClock

IDLE = FeedFigures({"shard-0": None}, 0, 0, 0, 0, 1, None)
CANARY = "CANARY-IN-AN-EXCEPTION"


class StoreDown(Exception):
    """What a client raises, with whatever text it likes."""

    def __init__(self) -> None:
        super().__init__(CANARY)


@dataclass
class Desk:
    """A reporter, and all that it reports on and to."""

    clock: FakeClock = field(default_factory=FakeClock)
    tally: Tally = field(default_factory=Tally)
    feed: FeedFigures = IDLE
    policy_age_s: float | None = 1.0
    judge: Any = field(
        default_factory=lambda: SimpleNamespace(
            judge=SimpleNamespace(model_id="judge-1", identity="9f3c"), counts=Counter(), circuit_open=False
        )
    )
    lines: KeepingSink[bytes] = field(default_factory=lambda: KeepingSink("emf"))
    beats: list[Heartbeat] = field(default_factory=list)
    brakes: list[SamplingBrake] = field(default_factory=list)
    spendings: int = 0
    down: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.reporter = Reporter(
            writer="w-1",
            tally=self.tally,
            feed=lambda: self.feed,
            judge=self.judge,
            policy_age_s=lambda: self.policy_age_s,
            scores=ScoreLines(self.lines),
            sinks=SinkFigures((self.lines,)),
            lines=self.lines,
            brake=self,  # type: ignore[arg-type]  # the two methods of a brake's parameter
            rule=BrakeRule(),
            beat=self.beat,
            write_spending=self.write_spending,
            standing=Standing(self.newest_calibration),
            clock=self.clock,
            look_every_s=0.001,
            report_every_s=0.001,
        )

    def wait(self, number: int) -> StreamRecord:
        record = StreamRecord("shard-0", str(number), self.clock.now(), b"")
        self.tally.begin([record])
        return record

    def figures(self) -> dict[tuple[str, str], Any]:
        """Of a new report, by metric and dimension."""
        self.lines.items.clear()
        self.reporter.report()
        found: dict[tuple[str, str], Any] = {}
        for line in map(json.loads, self.lines.items):
            names = {m["Name"] for d in line["_aws"]["CloudWatchMetrics"] for m in d["Metrics"]}
            told = {name: value for name, value in line.items() if name not in names and name != "_aws"}
            if len(told) > 1:  # beside what a figure is told by, who tells it
                del told["component"]
            label = ",".join(map(str, told.values()))
            found |= {(name, label): line[name] for name in names}
        return found

    async def beat(self, heartbeat: Heartbeat) -> None:
        self._use("beat")
        self.beats.append(heartbeat)

    async def write_spending(self) -> None:
        self._use("spending")
        self.spendings += 1

    async def newest_calibration(self) -> None:
        self._use("calibration")

    async def read(self) -> SamplingBrake | None:
        self._use("brake")
        return self.brakes[-1] if self.brakes else None

    async def publish(self, brake: SamplingBrake) -> None:
        self.brakes.append(brake)

    def _use(self, what: str) -> None:
        if what in self.down:
            raise StoreDown


def test_counts_are_reported_since_the_last_report() -> None:
    desk = Desk()
    ends: tuple[End, ...] = (Skipped("budget"), Skipped("budget"), Parked("undecodable"))
    for number, end in enumerate(ends):
        desk.tally.settle(desk.wait(number), end, tenant_id="acme", at=START)
    desk.tally.settle(desk.wait(9), Unfinished("store"), tenant_id="acme", at=START)
    desk.judge.counts["throttled"] += 2
    first = desk.figures()
    assert first["eval_records", "read"] == 4
    assert first["eval_records", "skipped"] == first["eval_skipped", "budget"] == 2
    assert first["eval_records", "parked"] == first["eval_parked", "undecodable"] == 1
    assert first["eval_unfinished", "evalworker"] == 1
    assert first["judge_failed", "throttled"] == 2
    desk.tally.settle(desk.wait(10), Skipped("budget"), tenant_id="acme", at=START)
    second = desk.figures()
    assert second["eval_records", "read"] == second["eval_skipped", "budget"] == 1
    assert second["eval_parked", "undecodable"] == second["judge_failed", "throttled"] == 0


def test_lag_is_the_oldest_of_what_waits_here_and_in_the_stream() -> None:
    desk = Desk()
    assert desk.reporter.lag_s(desk.clock.now()) is None, "unknown is not 0"
    assert ("eval_lag_seconds", "evalworker") not in desk.figures()
    record = desk.wait(1)
    desk.clock.advance(s=90)
    assert desk.figures()["eval_lag_seconds", "evalworker"] == 90
    desk.feed = FeedFigures({"shard-0": 30_000, "shard-1": 120_000, "shard-2": None}, 0, 0, 0, 0, 1, None)
    assert desk.reporter.lag_s(desk.clock.now()) == 120
    desk.tally.settle(record, Skipped("budget"), tenant_id="acme", at=START)
    desk.feed = FeedFigures({"shard-0": 0}, 0, 0, 0, 0, 1, None)
    assert desk.reporter.lag_s(desk.clock.now()) == 0


def test_a_worker_is_available_when_all_that_judging_takes_is_there() -> None:
    desk = Desk()
    assert desk.figures()["availability", "evalworker"] == 1
    desk.feed = FeedFigures({}, 0, 0, 0, 0, 1, None)
    assert ("availability", "evalworker") not in desk.figures(), "other workers have all shards"
    desk.feed = FeedFigures({}, 0, 0, 0, 0, 0, None)
    assert desk.figures()["availability", "evalworker"] == 1, "Lambda feeds without leases"
    desk.policy_age_s = None
    assert desk.figures()["availability", "evalworker"] == 0, "nobody knows the tenants"
    desk.policy_age_s, desk.judge.circuit_open = 1.0, True
    assert desk.figures()["availability", "evalworker"] == 0, "the judge does not answer"


async def test_a_look_beats_writes_spending_and_pulls_the_brake() -> None:
    desk = Desk()
    desk.tally.settle(desk.wait(1), Skipped("budget"), tenant_id="acme", at=START)
    desk.wait(2)
    desk.clock.advance(s=BrakeRule().brake_over_s + 1)
    await desk.reporter.look()
    (beat,) = desk.beats
    assert (beat.worker, beat.read, beat.skipped, beat.lag_s) == ("w-1", 2, {"budget": 1}, 121)
    assert beat.at - beat.started_at == timedelta(seconds=121)
    assert beat.last_at == {"acme": {"read": START, "skipped:budget": START}}
    assert desk.spendings == 1
    assert [brake.factor for brake in desk.brakes] == [0.5]
    assert desk.figures()["sampling_factor", "lag"] == 0.5


@pytest.mark.parametrize("down", ["beat", "spending", "brake"])
async def test_what_does_not_answer_takes_nothing_else_along(
    down: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(down=frozenset({down}))
    desk.wait(1)
    desk.clock.advance(s=500)
    with caplog.at_level(logging.INFO):
        await desk.reporter.look()
    assert (len(desk.beats), desk.spendings, len(desk.brakes)) == tuple(
        int(down != what) for what in ("beat", "spending", "brake")
    )
    assert "StoreDown" in caplog.text
    assert CANARY not in caplog.text


async def test_reporting_goes_on_whatever_fails_and_ends_when_it_is_told() -> None:
    desk = Desk(down=frozenset({"beat", "spending", "brake"}))
    accept = desk.lines.accept
    desk.lines.accept = _refuse  # type: ignore[assignment, method-assign]
    running = asyncio.create_task(desk.reporter.run())
    await asyncio.sleep(0.02)
    assert not running.done()
    desk.lines.accept = accept  # type: ignore[method-assign]
    desk.down = frozenset()
    async with asyncio.timeout(60):
        while not desk.beats or not desk.lines.items:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.005)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def _refuse(_: bytes) -> None:
    raise StoreDown


async def test_a_store_that_hangs_keeps_nothing_else_from_being_told(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    desk.wait(1)
    desk.clock.advance(s=BrakeRule().brake_over_s + 1)

    async def hangs(_: Heartbeat) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(desk.reporter, "_beat", hangs)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await desk.reporter.look()
    assert desk.brakes
    assert desk.spendings == 1
