"""The account's alarms as they change: DescribeAlarms, looked at every other second."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from watch.alarming.definitions import PREFIX
from watch.tables.readings import Series

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_cloudwatch import CloudWatchClient

_POLL_S: Final = 2.0
_MINUTE_S: Final = 60
_LATELY: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Standing:
    """An alarm now."""

    state: str
    since: datetime
    reason: str


class Board:
    """Alarms behind an open client."""

    def __init__(self, cloudwatch: "CloudWatchClient") -> None:
        self._cloudwatch = cloudwatch

    async def names(self) -> frozenset[str]:
        """Of all alarms of ours."""
        found = set()
        pages = self._cloudwatch.get_paginator("describe_alarms").paginate(
            AlarmNamePrefix=PREFIX, AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        async for page in pages:
            found |= {told["AlarmName"] for told in page.get("MetricAlarms", ())}
            found |= {told["AlarmName"] for told in page.get("CompositeAlarms", ())}
        return frozenset(found)

    async def standing(self, names: Sequence[str]) -> dict[str, Standing]:
        """How alarms stand, by name; one that there is not is left out."""
        told = await self._cloudwatch.describe_alarms(
            AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        return {
            one["AlarmName"]: Standing(
                one["StateValue"],
                one.get("StateTransitionedTimestamp") or one["StateUpdatedTimestamp"],
                one.get("StateReason", ""),
            )
            for one in (*told.get("MetricAlarms", ()), *told.get("CompositeAlarms", ()))
        }

    async def wait_for(
        self, name: str, states: Iterable[str], *, after: datetime | None = None, within_s: float
    ) -> Standing | None:
        """How an alarm stands once it is in one of the states, changed since `after`; None when it is not."""
        wanted = frozenset(states)
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            found = (await self.standing([name])).get(name)
            if found is not None and found.state in wanted and (after is None or found.since >= after):
                return found
            await asyncio.sleep(_POLL_S)
        return None

    async def is_published(self, namespace: str, metric: str, dimensions: Mapping[str, str]) -> bool:
        """Whether a series has a datapoint of the last minutes."""
        now = datetime.now(UTC)
        answer = await self._cloudwatch.get_metric_statistics(
            Namespace=namespace,
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
            StartTime=now - _LATELY,
            EndTime=now + _LATELY,
            Period=_MINUTE_S,
            Statistics=["SampleCount"],
        )
        return bool(answer["Datapoints"])

    async def first_beyond(
        self, series: Series, statistic: str, least: float, *, after: datetime
    ) -> datetime | None:
        """The period of a minute in which a metric first was so high; None while there is none."""
        answer = await self._cloudwatch.get_metric_statistics(
            Namespace=series.namespace,
            MetricName=series.name,
            Dimensions=[{"Name": name, "Value": value} for name, value in series.dimensions],
            StartTime=after.replace(second=0, microsecond=0),
            EndTime=after + timedelta(minutes=30),
            Period=_MINUTE_S,
            Statistics=[statistic],  # type: ignore[list-item]  # one of the five
        )
        bad = [one["Timestamp"] for one in answer["Datapoints"] if float(one[statistic]) >= least]  # type: ignore[literal-required]  # likewise
        return min(bad, default=None)
