"""Evaluates the account's alarms over the wire: DescribeAlarms and GetMetricData in, SetAlarmState out.

`evaluate_once` is one look at everything, at a time that the caller may choose; `serve_alarms` looks every
few seconds, at each alarm when it is due (`windows`). Deciding is pure and elsewhere. It fails open: a
CloudWatch that is away is asked again.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import aioboto3
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.alarms.account import AlarmAccount
from sandbox.alarms.composing import compose, still_held_by
from sandbox.alarms.composites import Node, RuleError, children, in_order, parse
from sandbox.alarms.deciding import Decision, Point, decide
from sandbox.alarms.definitions import (
    CompositeAlarm,
    MetricAlarm,
    Rule,
    Series,
    State,
    Status,
)
from sandbox.alarms.windows import window_end, window_starts

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_cloudwatch import CloudWatchClient

logger = logging.getLogger(__name__)

EVERY_S: Final = 5.0
SETTLE_S: Final = 5.0
"""How long after a period its datapoint counts as complete: as long as EMF may take to come in."""
HELD_BY: Final = "sandbox:heldBy"
"""Says to the emulator what holds a composite's actions; see `inside_emulator/alarms.py`."""

_CALLS_IN_FLIGHT: Final = 8
# A pause is at least so many times as long as the look before it: thousands of alarms leave room for others.
_PAUSE_PER_LOOK: Final = 4

_AWAY: Final = (BotoCoreError, ClientError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm that changed its state."""

    name: str
    old: State
    new: State
    reason: str


@dataclass(frozen=True, slots=True)
class Round:
    """What one look found. Names; `not_evaluated` are alarms of kinds that this cannot evaluate."""

    changes: tuple[Change, ...]
    ringing: frozenset[str]
    """In ALARM after it."""
    released: frozenset[str]
    """Composite alarms whose held actions were taken."""
    not_evaluated: frozenset[str]
    evaluated: int
    """How many metric alarms were due."""


@dataclass(slots=True)
class _Looked:
    """What a look gathers on its way."""

    now: datetime
    statuses: dict[str, Status]
    changes: list[Change] = field(default_factory=list)
    released: set[str] = field(default_factory=set)
    not_evaluated: set[str] = field(default_factory=set)
    evaluated: int = 0

    def changed(self, status: Status, decision: Decision) -> None:
        """Take note of a state that was set."""
        if decision.state != status.state:
            self.changes.append(Change(status.name, status.state, decision.state, decision.reason))
            self.statuses[status.name] = replace(status, state=decision.state, transitioned_at=self.now)


class AlarmEvaluator:
    """Looks at alarms again and again, and remembers at which it has looked when.

    A state that somebody sets by hand lasts until the alarm is due again, as on AWS: a metric alarm within a
    minute, a composite once one of its children changes.
    """

    def __init__(self, cloudwatch: "CloudWatchClient", *, settle_s: float = SETTLE_S) -> None:
        self._account = AlarmAccount(cloudwatch)
        self._settle_s = settle_s
        self._seen: dict[str, tuple[Rule, datetime]] = {}
        self._composed: dict[str, tuple[str, tuple[State | None, ...]]] = {}
        self.failed_looks = 0
        self.not_evaluated: frozenset[str] = frozenset()
        """Names of the alarms that the latest look could not evaluate, and left as INSUFFICIENT_DATA."""

    async def look(self, now: datetime) -> Round:
        """Evaluate what is due at `now`. Raises what the SDK raises."""
        metric_alarms, composite_alarms = await self._account.describe()
        statuses = {alarm.status.name: alarm.status for alarm in metric_alarms}
        statuses |= {alarm.status.name: alarm.status for alarm in composite_alarms}
        self._forget(statuses)
        looked = _Looked(now, statuses)
        await self._look_at_metrics(metric_alarms, looked)
        await self._look_at_composites(composite_alarms, looked)
        not_evaluated = frozenset(looked.not_evaluated)
        if not_evaluated != self.not_evaluated:
            logger.info("alarms that cannot be evaluated here", extra={"alarms": len(not_evaluated)})
        self.not_evaluated = not_evaluated
        return Round(
            changes=tuple(looked.changes),
            ringing=frozenset(name for name, status in statuses.items() if status.state == "ALARM"),
            released=frozenset(looked.released),
            not_evaluated=not_evaluated,
            evaluated=looked.evaluated,
        )

    async def look_for_ever(self, every_s: float) -> None:
        """Look until cancelled; what fails is tried again, and told once."""
        told = False
        while True:
            started_s = time.monotonic()
            try:
                await self.look(datetime.now(UTC))
                told = False
            except _AWAY as error:
                self.failed_looks += 1
                if not told:
                    logger.warning("alarms not evaluated", extra={"error_type": type(error).__name__})
                told = True
            await asyncio.sleep(max(every_s, _PAUSE_PER_LOOK * (time.monotonic() - started_s)))

    def _forget(self, statuses: Mapping[str, Status]) -> None:
        for name in self._seen.keys() - statuses.keys():
            del self._seen[name]
        for name in self._composed.keys() - statuses.keys():
            del self._composed[name]

    async def _look_at_metrics(self, alarms: Iterable[MetricAlarm], looked: _Looked) -> None:
        due: list[tuple[Status, Rule, datetime]] = []
        decided: list[tuple[Status, Decision]] = []
        for alarm in alarms:
            if isinstance(alarm.rule, str):
                looked.not_evaluated.add(alarm.status.name)
                reason = f"Unchecked: {alarm.rule}"
                decided.append((alarm.status, Decision("INSUFFICIENT_DATA", reason, "")))
                continue
            end = window_end(alarm.rule, looked.now, settle_s=self._settle_s)
            if self._seen.get(alarm.status.name) != (alarm.rule, end):
                due.append((alarm.status, alarm.rule, end))
        values = await self._account.values((rule, end) for _, rule, end in due)
        for status, rule, end in due:
            points = _points(rule, end, values)
            decided.append((status, decide(rule, points, state=status.state, now=looked.now)))
        looked.evaluated = len(due)
        await self._set_all(decided, looked)
        self._seen.update({status.name: (rule, end) for status, rule, end in due})

    async def _look_at_composites(self, alarms: Sequence[CompositeAlarm], looked: _Looked) -> None:
        """Decide composites, children first: what one becomes, its parents see."""
        by_name = {alarm.status.name: alarm for alarm in alarms}
        rules: dict[str, Node] = {}
        for name, alarm in by_name.items():
            try:
                rules[name] = parse(alarm.rule)
            except RuleError:
                looked.not_evaluated.add(name)
        ordered, in_cycles = in_order(rules)
        looked.not_evaluated.update(in_cycles)
        for name in ordered:
            await self._look_at_composite(by_name[name], rules[name], looked)

    async def _look_at_composite(self, alarm: CompositeAlarm, rule: Node, looked: _Looked) -> None:
        status = alarm.status
        below = tuple(
            looked.statuses[child].state if child in looked.statuses else None for child in children(rule)
        )
        if self._composed.get(status.name) != (alarm.rule, below):
            decision = compose(alarm, rule, looked.statuses)
            await self._set_all([(status, decision)], looked)
            self._composed[status.name] = (alarm.rule, below)
            if decision.state != status.state:
                return  # its actions are taken, or held anew, by whoever keeps it
        if alarm.held_by is None:
            return
        held_by = still_held_by(alarm, looked.statuses, looked.now)
        if held_by != alarm.held_by:
            told = Decision(status.state, status.reason, json.dumps({HELD_BY: held_by or ""}))
            await self._account.set(status, told)
            if held_by is None:
                looked.released.add(status.name)

    async def _set_all(self, decided: Iterable[tuple[Status, Decision]], looked: _Looked) -> None:
        """Set what differs from what is."""
        differing = [
            (status, decision)
            for status, decision in decided
            if decision.state != status.state
            or (decision.reason.startswith("Unchecked") and decision.reason != status.reason)
        ]
        in_flight = asyncio.Semaphore(_CALLS_IN_FLIGHT)

        async def set_one(status: Status, decision: Decision) -> None:
            async with in_flight:
                await self._account.set(status, decision)
            looked.changed(status, decision)

        done = await asyncio.gather(*(set_one(*one) for one in differing), return_exceptions=True)
        for outcome in done:
            if isinstance(outcome, BaseException):
                raise outcome


async def evaluate_once(
    session: aioboto3.Session,
    *,
    endpoint_url: str | None = None,
    now: datetime | None = None,
    settle_s: float = SETTLE_S,
) -> Round:
    """Evaluate every alarm at `now`, this moment without one, and tell what rings.

    Only periods that are over count: a datapoint that is put now is seen from the next full minute on, so to
    see it at once say `now=datetime.now(UTC) + timedelta(seconds=70)`. Raises what the SDK raises.
    """
    async with session.client("cloudwatch", endpoint_url=endpoint_url) as cloudwatch:
        return await AlarmEvaluator(cloudwatch, settle_s=settle_s).look(now or datetime.now(UTC))


@contextlib.asynccontextmanager
async def serve_alarms(
    session: aioboto3.Session,
    *,
    endpoint_url: str | None = None,
    every_s: float = EVERY_S,
    settle_s: float = SETTLE_S,
) -> AsyncIterator[AlarmEvaluator]:
    """Evaluate alarms every `every_s` seconds until the block ends."""
    async with session.client("cloudwatch", endpoint_url=endpoint_url) as cloudwatch:
        evaluator = AlarmEvaluator(cloudwatch, settle_s=settle_s)
        task = asyncio.create_task(evaluator.look_for_ever(every_s), name="alarms")
        try:
            yield evaluator
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _points(rule: Rule, end: datetime, values: Mapping[Series, Mapping[datetime, float]]) -> list[Point]:
    found = values[rule.series]
    counts = values.get(rule.series.counted(), {}) if rule.enough_samples else {}
    return [Point(at, found.get(at), counts.get(at)) for at in window_starts(rule, end)]
