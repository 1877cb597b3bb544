"""The drill's story: a platform that works, then each scenario from the fault to the all-clear.

Scenarios that do not disturb one another go on at the same time. The judge is taken away once enough wrong
answers have their scores; the intake of log lines goes last, for without it no other figure arrives.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from operator_cli.drill import scenarios
from operator_cli.drill.board import Board
from operator_cli.drill.clients import Clients, Lane
from operator_cli.drill.console import Console
from operator_cli.drill.course import (
    ALL_CLEAR_WITHIN_S,
    HEARD_WITHIN_S,
    SHOWN_WITHIN_S,
    Course,
    Expected,
    Heard,
    Incident,
    seconds,
)
from operator_cli.drill.hands import Hands
from operator_cli.drill.receiver import Receiver
from operator_cli.drill.requests import Outage
from operator_cli.drill.scenarios import Scenario
from operator_cli.drill.telling import Telling
from watch.alarming.definitions import NOTICE, PREFIX
from watch.tables import native
from watch.tables.readings import ENDPOINT, VARIANT, read

GPU_FOUND_WITHIN_S: Final = 180.0
"""The design's promise: from the beginning of the first bad minute to the alarm."""
_ENOUGH_WRONG_S: Final = 150.0
"""Wrong answers for so long, one a second, are enough for the detector."""
_AFTER_A_MINUTE: Final = timedelta(seconds=2)
_QUIET: Final = ("OK", "INSUFFICIENT_DATA")


@dataclass(frozen=True, slots=True)
class Parts:
    """All that a drill works with, running."""

    telling: Telling
    board: Board
    receiver: Receiver
    console: Console
    hands: Hands
    clients: Clients
    lanes: dict[str, Lane]
    """Clients that begin to ask with a scenario, by its name."""
    alarms: frozenset[str]
    """Names of those that there are."""


@dataclass(slots=True)
class _Run:
    """A scenario that goes on."""

    scenario: Scenario
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    """What others wait for before they may begin."""
    rung: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    incident: Incident | None = None


class Drill:
    """Runs scenarios; `incidents` and `outages` tell what happened so far."""

    def __init__(self, parts: Parts, chosen: Sequence[Scenario]) -> None:
        self._parts = parts
        self._runs = {scenario.name: _Run(scenario) for scenario in chosen}

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """In the order of the table."""
        return tuple(run.incident for run in self._runs.values() if run.incident is not None)

    @property
    def outages(self) -> tuple[Outage, ...]:
        """When requests may have failed."""
        return tuple(
            Outage(run.scenario.may_fail, run.incident.broken_at, run.incident.healed_at)
            for run in self._runs.values()
            if run.incident is not None and run.scenario.may_fail is not None
        )

    @property
    def others(self) -> tuple[Heard, ...]:
        """Messages that no scenario waited for."""
        awaited = {course.told_as for incident in self.incidents for course in incident.courses}
        return tuple(heard for heard in self._parts.receiver.heard if heard.said.alarm not in awaited)

    async def run(self) -> None:
        """All of them."""
        async with asyncio.TaskGroup() as going_on:
            for run in self._runs.values():
                going_on.create_task(self._in_turn(run), name=run.scenario.name)

    async def _in_turn(self, run: _Run) -> None:
        for event in self._before(run.scenario.name):
            await event.wait()
        try:
            await self._scenario(run)
        finally:
            for event in (run.enough, run.rung, run.over):
                event.set()

    def _before(self, name: str) -> list[asyncio.Event]:
        """What a scenario waits for."""
        match name:
            case scenarios.JUDGE_DOWN:
                return [run.enough for other, run in self._runs.items() if other == scenarios.WORSE_ANSWERS]
            case scenarios.INTAKE_DOWN:
                return [
                    run.rung if other == scenarios.WORSE_ANSWERS else run.over
                    for other, run in self._runs.items()
                    if other != name
                ]
            case _:
                return []

    async def _scenario(self, run: _Run) -> None:
        scenario, parts = run.scenario, self._parts
        if scenario.name == scenarios.ENDPOINT_SLOW:  # so that its first bad minute is a whole one
            await _beginning_of_a_minute()
        incident = run.incident = Incident(scenario.name, scenario.breaks, datetime.now(UTC))
        incident.courses = [self._course(expected, incident.broken_at) for expected in scenario.expected]
        parts.telling.broken(incident)
        async with AsyncExitStack() as stack:
            if (lane := parts.lanes.get(scenario.name)) is not None:
                await stack.enter_async_context(parts.clients.asking(lane))
            await scenario.break_(parts.hands)
            if scenario.name == scenarios.WORSE_ANSWERS:
                stack.callback(asyncio.get_running_loop().call_later(_ENOUGH_WRONG_S, run.enough.set).cancel)
            at_once = [course for course in incident.courses if course.expected.since == "broken"]
            await asyncio.gather(*(self._ring(incident, course) for course in at_once))
            await self._look_back(run, incident)
            await scenario.heal(parts.hands)
        incident.healed, incident.healed_at = scenario.heals, datetime.now(UTC)
        parts.telling.healed(incident)
        run.rung.set()
        later = [course for course in incident.courses if course.expected.since == "healed"]
        for course in later:
            course.since = incident.healed_at
        await asyncio.gather(
            *(self._end(incident, course) for course in at_once),
            *(self._ring(incident, course) for course in later),
        )
        self._note_requests(incident)
        self._hold_to_silence(scenario, incident)

    def _course(self, expected: Expected, since: datetime) -> Course:
        return Course(expected, f"{expected.name}{NOTICE}" in self._parts.alarms, since)

    async def _ring(self, incident: Incident, course: Course) -> None:
        """An alarm until it rang, was heard and was shown."""
        parts, name, expected = self._parts, incident.name, course.expected
        with parts.telling.waiting(name, expected.alarm, expected.within_s):
            found = await parts.board.wait_for(
                expected.name, ("ALARM",), after=course.since, within_s=expected.within_s
            )
        if found is not None:
            course.rang_at, course.reason = found.since, found.reason
        parts.telling.rang(name, course)
        if course.rang_at is not None:
            await asyncio.gather(self._hear(incident, course), self._look(incident, course))

    async def _hear(self, incident: Incident, course: Course) -> None:
        parts = self._parts
        with parts.telling.waiting(
            incident.name, f"message of {course.expected.alarm}", course.heard_within_s
        ):
            course.heard = await parts.receiver.wait_for(
                course.told_as, "ALARM", after=course.since, within_s=course.heard_within_s
            )
        dead = () if course.heard is None else await parts.console.dead_links(course.heard)
        incident.problems += [f"a link of a message leads nowhere: {link}" for link in dead]
        parts.telling.heard(incident.name, course, dead=dead)

    async def _look(self, incident: Incident, course: Course) -> None:
        parts = self._parts
        with parts.telling.waiting(incident.name, f"console on {course.expected.alarm}", SHOWN_WITHIN_S):
            course.shown = await parts.console.shows(course.told_as, within_s=SHOWN_WITHIN_S)
        parts.telling.shown(incident.name, course, course.shown)

    async def _end(self, incident: Incident, course: Course) -> None:
        """An alarm until it is over and that was said."""
        parts, expected, healed_at = self._parts, course.expected, incident.healed_at
        if course.rang_at is None or healed_at is None or expected.quiet_within_s is None:
            return
        course.healed_at = healed_at
        with parts.telling.waiting(incident.name, f"the end of {expected.alarm}", expected.quiet_within_s):
            found = await parts.board.wait_for(
                expected.name, _QUIET, after=course.rang_at, within_s=expected.quiet_within_s
            )
        course.quiet_at = None if found is None else found.since
        parts.telling.quiet(incident.name, course)
        if found is not None:
            within_s = ALL_CLEAR_WITHIN_S if course.has_notice else HEARD_WITHIN_S
            with parts.telling.waiting(incident.name, f"all-clear of {expected.alarm}", within_s):
                course.over = await parts.receiver.wait_for(
                    course.told_as, "OK", after=course.rang_at, within_s=within_s
                )
            parts.telling.over(incident.name, course)

    async def _look_back(self, run: _Run, incident: Incident) -> None:
        """Of a slow endpoint: how long after its first bad datapoint it was found."""
        if run.scenario.name != scenarios.ENDPOINT_SLOW:
            return
        variables = {ENDPOINT: scenarios.SLOW_ENDPOINT, VARIANT: "AllTraffic"}
        reading = read(native.GPU_UTILIZATION, "Maximum", EndpointName=ENDPOINT, VariantName=VARIANT)
        first = await self._parts.board.first_beyond(
            reading.series(variables), "Maximum", scenarios.GPU_THRESHOLD, after=incident.broken_at
        )
        rang_at = incident.courses[0].rang_at
        if first is None or rang_at is None:
            return
        found_s = seconds(first, rang_at)
        told = (
            f"its first bad datapoint is that of the minute {first:%H:%M}Z; found {found_s:.0f} s after that"
        )
        incident.notes.append(told)
        self._parts.telling.say(told, who=incident.name)
        if found_s > GPU_FOUND_WITHIN_S:
            incident.problems.append(f"found {found_s:.0f} s after the first bad datapoint, not 180 s")

    def _note_requests(self, incident: Incident) -> None:
        end = incident.healed_at or datetime.now(UTC)
        during = [one for one in self._parts.clients.requests if incident.broken_at <= one.at <= end]
        failed = [one for one in during if one.failure is not None]
        elsewhere = sum(not any(outage.covers(one) for outage in self.outages) for one in failed)
        told = f"{len(during)} requests of all clients from the fault to its end, {len(failed)} failed"
        if failed:
            told += f", {elsewhere} of them not by an endpoint that was down"
        incident.notes.append(told)
        self._parts.telling.say(told, who=incident.name)

    def _hold_to_silence(self, scenario: Scenario, incident: Incident) -> None:
        """Nobody may be told of the parts of an incident that one alarm speaks for."""
        awaited = {course.told_as for course in incident.courses}
        begins = tuple(f"{PREFIX}{beginning}" for beginning in scenario.suppressed)
        if not begins:
            return
        told = {
            heard.said.alarm
            for heard in self._parts.receiver.heard
            if heard.said.state == "ALARM"
            and heard.said.alarm.startswith(begins)
            and heard.said.alarm not in awaited
            and heard.at >= incident.broken_at
        }
        incident.problems += [f"{alarm} told somebody, though it is a part" for alarm in sorted(told)]
        if not told:
            incident.notes.append("the warnings of its parts told nobody")
            self._parts.telling.say("the warnings of its parts told nobody", who=incident.name)


async def _beginning_of_a_minute() -> None:
    now = datetime.now(UTC)
    begin = now.replace(second=0, microsecond=0) + timedelta(minutes=1) + _AFTER_A_MINUTE
    await asyncio.sleep(seconds(now, begin))
