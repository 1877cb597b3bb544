"""Our alarms as CloudWatch tells of them, what became of them, and who is told: DescribeAlarms, SNS.

Answers are kept for some seconds and shared by whoever asks in between: everybody looks when something rings.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from llmplatform.clock import Clock
from llmplatform.errors import TelemetryFault
from llmplatform.redaction import describe_fault
from watch.alarming.alarm_states import AlarmState, HistoryItem, alarm_state, history_item
from watch.alarming.definitions import PREFIX

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_cloudwatch import CloudWatchClient
    from types_aiobotocore_sns import SNSClient

logger = logging.getLogger(__name__)

KEEP_S: Final = 5.0
WITHIN_S: Final = 5.0
ALL_WITHIN_S: Final = 15.0
"""Fifty tenants can have five thousand alarms, in pages of a hundred that come one after another."""
MOST_HISTORY: Final = 500
"""Items that one look at the history brings at most."""
HISTORY_KEPT: Final = timedelta(days=30)
"""By CloudWatch (User Guide, common features of alarms); of longer ago nothing is known."""

_LONGEST_NAME: Final = 255  # that CloudWatch takes
_FAILURES: Final = (ClientError, BotoCoreError, aiohttp.ClientError, OSError, asyncio.TimeoutError)

ValueT = TypeVar("ValueT")


class AlarmsUnavailable(TelemetryFault):
    """CloudWatch does not tell of alarms now."""

    code = "alarms_unavailable"


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who is told by a topic: the protocol, and where without what is secret in it."""

    topic: str
    protocol: str
    endpoint: str
    confirmed: bool


@dataclass(frozen=True, slots=True)
class History:
    """What happened, newest first."""

    items: tuple[HistoryItem, ...]
    read_to: datetime | None = None
    """How far back was read where there was too much; None where all was."""


@dataclass(slots=True)
class _Shared(Generic[ValueT]):
    """One answer for everybody who asks while it is fresh or on its way."""

    ask: Callable[[], Awaitable[ValueT]]
    clock: Clock
    _task: "asyncio.Task[ValueT] | None" = None
    _asked_ns: int = field(default=0)

    async def get(self) -> ValueT:
        now_ns = self.clock.monotonic_ns()
        if self._task is None or (self._task.done() and self._is_old(now_ns)):
            self._asked_ns = now_ns
            self._task = asyncio.ensure_future(self.ask())
        return await asyncio.shield(self._task)

    def _is_old(self, now_ns: int) -> bool:
        task = self._task
        failed = task is not None and (task.cancelled() or task.exception() is not None)
        return failed or now_ns - self._asked_ns > KEEP_S * 1e9


class AlarmReader:
    """Alarms behind open clients. All reads raise AlarmsUnavailable."""

    def __init__(self, cloudwatch: "CloudWatchClient", sns: "SNSClient", clock: Clock) -> None:
        self._cloudwatch = cloudwatch
        self._sns = sns
        self._all = _Shared(self._read_all, clock)
        self._in_alarm = _Shared(self._read_in_alarm, clock)
        self._subscriptions = _Shared(self._read_subscriptions, clock)

    async def all(self) -> tuple[AlarmState, ...]:
        """Every alarm of ours, in order of names."""
        return await self._all.get()

    async def ringing(self) -> tuple[AlarmState, ...]:
        """Those that ring for people, the worst and then the newest first."""
        order = {"critical": 0, "warning": 1, "information": 2, None: 3}
        ringing = [alarm for alarm in await self._in_alarm.get() if alarm.rings]
        return tuple(sorted(ringing, key=lambda alarm: (order[alarm.severity], -alarm.since.timestamp())))

    async def one(self, name: str) -> AlarmState | None:
        """The alarm of ours with this name; None where there is none."""
        if not name.startswith(PREFIX) or len(name) > _LONGEST_NAME:
            return None
        try:
            async with asyncio.timeout(WITHIN_S):
                answer = await self._cloudwatch.describe_alarms(
                    AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
                )
        except _FAILURES as failure:
            raise _unavailable(failure) from failure
        found = map(alarm_state, (*answer.get("MetricAlarms", ()), *answer.get("CompositeAlarms", ())))
        return next((alarm for alarm in found if alarm.name == name), None)

    async def history(self, name: str | None, first: datetime, end: datetime) -> History:
        """What happened to one alarm, or to all of ours; at most `MOST_HISTORY` items are read."""
        items: list[HistoryItem] = []
        about: dict[str, Any] = {} if name is None else {"AlarmName": name}
        try:
            async with asyncio.timeout(WITHIN_S):
                paginator = self._cloudwatch.get_paginator("describe_alarm_history")
                async for page in paginator.paginate(
                    **about,
                    AlarmTypes=["MetricAlarm", "CompositeAlarm"],
                    StartDate=first,
                    EndDate=end,
                    ScanBy="TimestampDescending",
                    PaginationConfig={"MaxItems": MOST_HISTORY},
                ):
                    items += map(history_item, page["AlarmHistoryItems"])
        except _FAILURES as failure:
            raise _unavailable(failure) from failure
        read_to = items[-1].at if len(items) >= MOST_HISTORY else None
        return History(tuple(item for item in items if item.name.startswith(PREFIX)), read_to)

    async def subscriptions(self) -> tuple[Subscription, ...]:
        """Who is told by the topics of our alarms."""
        return await self._subscriptions.get()

    async def _read_in_alarm(self) -> tuple[AlarmState, ...]:
        """Of the thousands that there may be few ring."""
        return await self._read(WITHIN_S, StateValue="ALARM")

    async def _read_all(self) -> tuple[AlarmState, ...]:
        return await self._read(ALL_WITHIN_S)

    async def _read(self, within_s: float, **more: Any) -> tuple[AlarmState, ...]:
        found: list[AlarmState] = []
        now = asyncio.get_running_loop().time
        end = now() + within_s
        try:
            async with asyncio.timeout(WITHIN_S) as limit:  # for a page: who hangs is not waited for long
                paginator = self._cloudwatch.get_paginator("describe_alarms")
                async for page in paginator.paginate(
                    AlarmNamePrefix=PREFIX, AlarmTypes=["MetricAlarm", "CompositeAlarm"], **more
                ):
                    found += map(alarm_state, page.get("MetricAlarms", ()))
                    found += map(alarm_state, page.get("CompositeAlarms", ()))
                    limit.reschedule(min(now() + WITHIN_S, end))
        except _FAILURES as failure:
            raise _unavailable(failure) from failure
        return tuple(sorted(found, key=lambda alarm: alarm.name))

    async def _read_subscriptions(self) -> tuple[Subscription, ...]:
        topics = sorted({topic for alarm in await self.all() for topic in alarm.notifies})
        found: list[Subscription] = []
        try:
            async with asyncio.timeout(WITHIN_S):
                for topic in topics:
                    paginator = self._sns.get_paginator("list_subscriptions_by_topic")
                    async for page in paginator.paginate(TopicArn=topic):
                        found += [
                            Subscription(
                                topic,
                                one["Protocol"],
                                masked(one["Protocol"], one["Endpoint"]),
                                confirmed=one["SubscriptionArn"].startswith("arn:"),
                            )
                            for one in page["Subscriptions"]
                        ]
        except _FAILURES as failure:
            raise _unavailable(failure) from failure
        return tuple(found)


def masked(protocol: str, endpoint: str) -> str:
    """Where a subscription goes, without the key that its path or query may be."""
    if protocol in {"http", "https"}:
        scheme, _, rest = endpoint.partition("://")
        host = rest.partition("/")[0].rpartition("@")[2]
        return f"{scheme}://{host}/…"
    if protocol in {"email", "email-json"}:
        return f"…@{endpoint.rpartition('@')[2]}"
    return endpoint if endpoint.startswith("arn:") else "…"


def _unavailable(failure: BaseException) -> AlarmsUnavailable:
    logger.warning("alarms cannot be read: %s", describe_fault(failure))
    return AlarmsUnavailable("CloudWatch does not tell of alarms now")
