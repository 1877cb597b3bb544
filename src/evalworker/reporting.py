"""What the worker says of itself: metrics each minute, a heartbeat, and the brake on sampling while it lags.

All of it fails open: a store that does not answer costs a report, never a verdict.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from evalworker.brake import LAG, BrakeRule, next_brake, next_factor
from evalworker.feeds.figures import FeedFigures
from evalworker.judging.bedrock import BedrockJudge
from evalworker.publishing import FLUSH_S, ScoreLines
from evalworker.standing import Standing
from evalworker.tally import Tally
from llmplatform.aws.sampling_brake import BrakeParameter
from llmplatform.clock import Clock
from llmplatform.emf import MetricValue, encode_figures
from llmplatform.eval_heartbeat import Heartbeat
from llmplatform.metrics import (
    AVAILABILITY,
    CIRCUIT_OPEN,
    EVAL_LAG_SECONDS,
    EVAL_PARKED,
    EVAL_RECORDS,
    EVAL_SKIPPED,
    EVAL_UNFINISHED,
    EVALWORKER,
    JUDGE_FAILED,
    PIPELINE,
    POLICY_AGE_SECONDS,
    SAMPLING_FACTOR,
)
from llmplatform.process.sink_figures import SinkFigures
from llmplatform.redaction import describe_fault
from llmplatform.sinks import Sink

logger = logging.getLogger(__name__)

COMPONENT: Final = EVALWORKER
LOOK_EVERY_S: Final = 20.0
REPORT_EVERY_S: Final = 60.0


Line = tuple[Mapping[str, str], Mapping[str, MetricValue | None]]
"""Dimensions, and figures by name."""


class Reporter:
    """Reports on one worker until it is cancelled."""

    def __init__(
        self,
        *,
        writer: str,
        tally: Tally,
        feed: Callable[[], FeedFigures],
        judge: BedrockJudge,
        standing: Standing,
        policy_age_s: Callable[[], float | None],
        scores: ScoreLines,
        sinks: SinkFigures,
        lines: Sink[bytes],
        brake: BrakeParameter,
        rule: BrakeRule,
        beat: Callable[[Heartbeat], Awaitable[None]],
        write_spending: Callable[[], Awaitable[None]],
        clock: Clock,
        look_every_s: float = LOOK_EVERY_S,
        report_every_s: float = REPORT_EVERY_S,
    ) -> None:
        self._writer = writer
        self._tally = tally
        self._feed = feed
        self._judge = judge
        self._standing = standing
        self._policy_age_s = policy_age_s
        self._scores = scores
        self._sinks = sinks
        self._lines = lines
        self._brake = brake
        self._rule = rule
        self._beat = beat
        self._write_spending = write_spending
        self._clock = clock
        self._look_every_s = look_every_s
        self._report_every_s = report_every_s
        self._started_at = clock.now()
        self._factor = 1.0
        self._reported: dict[tuple[str, str], int] = {}

    async def run(self) -> None:
        """Report for ever, beginning with a sign of life."""
        await _failing_open("report", self.look)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._every(FLUSH_S, self._flush))
            tasks.create_task(self._every(self._look_every_s, self.look))
            tasks.create_task(self._every(self._report_every_s, self._report))

    async def look(self) -> None:
        """Tell how we are, and hold sampling down or let it go; no part waits for a store of another's."""
        now = self._clock.now()
        lag_s = self.lag_s(now)
        self._factor = next_factor(self._factor, lag_s, self._rule)
        await asyncio.gather(
            _failing_open("heartbeat", partial(self._beat, self._heartbeat(now, lag_s))),
            _failing_open("spending", self._write_spending),
            _failing_open("calibration", partial(self._standing.look, now)),
            _failing_open("sampling brake", partial(self._hold_down, now)),
        )

    async def _hold_down(self, now: datetime) -> None:
        published = await self._brake.read()
        brake = next_brake(published, self._factor, writer=self._writer, now=now, rule=self._rule)
        if brake is not None:
            await self._brake.publish(brake)

    def lag_s(self, now: datetime) -> float | None:
        """Age of the oldest sampled request that waits, as far as is known here; None where nothing is."""
        oldest = self._tally.oldest_pending()
        ages = [(now - oldest).total_seconds()] if oldest is not None else []
        ages += [ms / 1_000 for ms in self._feed().millis_behind_latest.values() if ms is not None]
        return max(ages, default=None)

    @property
    def available(self) -> bool | None:
        """Whether what is sampled can be judged here and now; None for a worker that has no shard to read."""
        feed = self._feed()
        if feed.starts and not feed.leases_held:  # what was never started does not feed us: Lambda does
            return None
        return self._policy_age_s() is not None and not self._judge.circuit_open

    def report(self) -> None:
        """Write the figures since the last report."""
        now = self._clock.now()
        for dimensions, values in self._figures(now):
            self._lines.accept(encode_figures(now, PIPELINE, dimensions, values))
        for line in self._sinks.lines(now):
            self._lines.accept(line)

    def _figures(self, now: datetime) -> Iterator[Line]:
        tally = self._tally
        yield (
            {"component": COMPONENT},
            {
                AVAILABILITY.name: self.available if self.available is None else int(self.available),
                EVAL_LAG_SECONDS.name: self.lag_s(now),
                EVAL_UNFINISHED.name: self._since("unfinished", "", tally.unfinished),
                POLICY_AGE_SECONDS.name: self._policy_age_s(),
            },
        )
        yield {"reason": LAG}, {SAMPLING_FACTOR.name: self._factor}
        yield (
            {"model_id": self._judge.judge.model_id},
            {CIRCUIT_OPEN.name: int(self._judge.circuit_open)},
        )
        if standing := self._standing.figures(now):
            yield {"judge_identity": self._judge.judge.identity}, standing
        for dimension, metric, counts in (
            ("result", EVAL_RECORDS, tally.by_result()),
            ("reason", EVAL_SKIPPED, tally.skipped),
            ("reason", EVAL_PARKED, tally.parked),
            ("reason", JUDGE_FAILED, self._judge.counts),
        ):
            for name, count in counts.items():
                grown = {metric.name: self._since(metric.name, name, count)}
                yield {dimension: name, "component": COMPONENT}, grown

    def _since(self, metric: str, name: str, count: int) -> int:
        """How much a count has grown since it was last reported."""
        grown = count - self._reported.get((metric, name), 0)
        self._reported[metric, name] = count
        return grown

    def _heartbeat(self, now: datetime, lag_s: float | None) -> Heartbeat:
        tally = self._tally
        return Heartbeat(
            worker=self._writer,
            started_at=self._started_at,
            at=now,
            read=tally.read,
            scored=tally.scored,
            known=tally.known,
            skipped=_texts(tally.skipped),
            parked=_texts(tally.parked),
            unfinished=tally.unfinished,
            lag_s=lag_s,
            judge_failed=_texts(self._judge.counts),
            last_at=tally.activity.last_at,
        )

    async def _flush(self) -> None:
        self._scores.flush()

    async def _report(self) -> None:
        self.report()

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            await _failing_open("report", work)


def _texts(counts: Mapping[Any, int]) -> dict[str, int]:
    return {str(name): count for name, count in counts.items()}


async def _failing_open(what: str, work: Callable[[], Awaitable[None]]) -> None:
    """Let no failure of telemetry out, and say that there was one."""
    try:
        await work()
    except Exception as error:  # noqa: BLE001  # whatever it is, judging goes on
        logger.warning("%s: %s", what, describe_fault(error))
