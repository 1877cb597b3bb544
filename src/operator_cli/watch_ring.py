"""`llm-platform watch test`: rings one alarm through to a receiver, and says how long it took."""

import asyncio
import secrets
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import typer

from llmplatform.aws.sessions import aws_session
from operator_cli.console import ERR, OUT, CommandFailed, print_table
from operator_cli.watch_account import applying_here
from operator_cli.watch_receivers import add_receiver, receivers_table
from watch.alarming.alarm_states import AlarmState
from watch.alarming.receiving import Notification, Receiver
from watch.aws.alarm_store import AlarmStore
from watch.aws.receivers import Listening, listening, receivers

Topic = Literal["critical", "warning"]
REASON: Final = "llm-platform watch test: this is only a test, nothing is wrong"
_OVER: Final = "llm-platform watch test: the test is over"


@dataclass(frozen=True, slots=True)
class Asked:
    """What to ring, and how long to wait."""

    alarm: str | None
    topic: Topic | None
    within_s: float


@dataclass(frozen=True, slots=True)
class Rung:
    """What became of it."""

    alarm: AlarmState
    topic_arn: str
    set_at: datetime
    received_after_s: float | None
    notification: Notification | None
    receivers: tuple[Receiver, ...]


def run_ring(asked: Asked, *, region: str, yes: bool) -> bool:
    """Ring, print what came, put everything back; false when nothing came in time."""
    rung = asyncio.run(_rung(asked, region, yes=yes))
    _show(rung, asked.within_s)
    return rung.notification is not None


async def _rung(asked: Asked, region: str, *, yes: bool) -> Rung:
    session = aws_session(region)
    async with (
        applying_here(region) as applying,
        session.client("sns") as sns,
        session.client("sqs") as sqs,
    ):
        wished = None if asked.topic is None else applying.account.topic_arn(asked.topic)
        ours = {applying.account.topic_arn("critical") or "", applying.account.topic_arn("warning") or ""}
        names = None if asked.alarm is None else (asked.alarm,)
        alarm, topic_arn = choose(await applying.store.states(names=names), ours, wished, asked.alarm)
        called = await receivers(sns, topic_arn)
        if not yes and sys.stdin.isatty():
            number = sum(one.confirmed for one in called)
            typer.confirm(f"Ring {alarm.name}, which calls {number} receivers?", abort=True)
        ringing = _Ringing(applying.store, alarm, topic_arn, called)
        async with listening(sns, sqs, topic_arn, secrets.token_hex(8)) as queue:
            return await ringing.ring(queue, asked.within_s)


@dataclass(frozen=True, slots=True)
class _Ringing:
    store: AlarmStore
    alarm: AlarmState
    topic_arn: str
    called: tuple[Receiver, ...]

    async def ring(self, queue: Listening, within_s: float) -> Rung:
        """Set the alarm off, wait for its message, and set it back, whatever ends the waiting."""
        name = self.alarm.name
        set_at, started_s = datetime.now(UTC), time.monotonic()
        try:
            await self.store.set_state(name, "ALARM", REASON)
            ERR.print(f"[dim]{name} is set to ALARM; waiting for its message, {within_s:g} s at most[/dim]")
            came = await queue.wait_for(name, "ALARM", within_s=within_s)
            after_s = time.monotonic() - started_s
        finally:
            await self.store.set_state(name, self.alarm.state, _OVER)
        return Rung(self.alarm, self.topic_arn, set_at, None if came is None else after_s, came, self.called)


def choose(
    alarms: Sequence[AlarmState], topics: Iterable[str], wished: str | None, named: str | None
) -> tuple[AlarmState, str]:
    """The alarm to ring and the topic that it is sent to. Raises CommandFailed where there is none.

    Unless one is named: one that is quiet, acts at once and falls back by itself, which composites do not.
    """
    if named is not None and not alarms:
        raise CommandFailed(f"there is no alarm {named}; `llm-platform watch plan` lists those to be made")
    heard = [(alarm, _topic(alarm, topics, wished)) for alarm in alarms]
    able = [(alarm, topic) for alarm, topic in heard if topic is not None]
    if named is not None:
        if not able:
            raise CommandFailed(f"alarm {named} tells nobody, or not this topic; name another")
        if able[0][0].state == "ALARM":
            raise CommandFailed(f"alarm {named} rings already: {able[0][0].reason}")
        return able[0]
    quiet = [
        (alarm, topic)
        for alarm, topic in able
        if alarm.state != "ALARM" and alarm.actions_enabled and not alarm.composite
    ]
    if not quiet:
        raise CommandFailed("no alarm is quiet and notifies; `llm-platform watch apply` makes them")
    return min(quiet, key=lambda pair: (pair[0].state != "OK", pair[0].name))


def _topic(alarm: AlarmState, topics: Iterable[str], wished: str | None) -> str | None:
    told = [arn for arn in alarm.notifies if arn in set(topics) and wished in {None, arn}]
    return told[0] if told else None


def _show(rung: Rung, within_s: float) -> None:
    def say(name: str, text: str) -> None:
        OUT.print(f"{name:16} {text}", markup=False)

    say("alarm", rung.alarm.name)
    say("topic", rung.topic_arn.rpartition(":")[2])
    say("state set", f"{rung.set_at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z")
    came = rung.notification
    if came is not None and rung.received_after_s is not None:
        say("published", f"{came.published_at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z")
        say("received after", f"{rung.received_after_s:.2f} s")
        OUT.print("\nThe message as a person gets it:\n")
        for line in came.text().splitlines():
            OUT.print(f"  {line}".rstrip(), markup=False)
        OUT.print("")
    table = receivers_table()
    for one in rung.receivers:
        add_receiver(table, rung.topic_arn.rpartition(":")[2], one)
    if rung.receivers:
        print_table(table)
    else:
        OUT.print(
            "nobody is subscribed to this topic: `llm-platform watch subscribe` adds PagerDuty or a mailbox"
        )
    if came is None:
        ERR.print(f"[red]nothing came in {within_s:g} s:[/red] {_why(rung)}")


def _why(rung: Rung) -> str:
    if not rung.alarm.actions_enabled:
        return "the alarm's actions are disabled; `aws cloudwatch enable-alarm-actions` enables them"
    if rung.alarm.suppressed_by or rung.alarm.composite:
        return "a composite waits for its suppressor before it acts; name a metric alarm"
    return (
        "the topic may be missing, or its policy may not let CloudWatch publish; the alarm's history says "
        "what became of the action"
    )
