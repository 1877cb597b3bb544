"""What evaluation asks of CloudWatch, in as few calls as its limits allow: alarms, datapoints, and a state.

When which alarm is looked at, and what follows, is `evaluator`'s.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from llmplatform.aws.refusals import error_code
from sandbox.alarms.deciding import Decision
from sandbox.alarms.definitions import (
    CompositeAlarm,
    MetricAlarm,
    Rule,
    Series,
    Status,
    read_composite_alarm,
    read_metric_alarm,
)
from sandbox.alarms.windows import window_starts

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_cloudwatch import CloudWatchClient

# A call takes no more than this.
ALARMS_PER_PAGE: Final = 100
QUERIES_PER_CALL: Final = 500
DATAPOINTS_PER_CALL: Final = 100_800

Values = dict[Series, dict[datetime, float]]
"""Datapoints of each series by the start of their period; a series without any is there too."""


class AlarmAccount:
    """The account's alarms and metrics. Each call raises what the SDK raises."""

    def __init__(self, cloudwatch: "CloudWatchClient") -> None:
        self._cloudwatch = cloudwatch

    async def describe(self) -> tuple[list[MetricAlarm], list[CompositeAlarm]]:
        """Read all alarms."""
        metric_alarms: list[MetricAlarm] = []
        composite_alarms: list[CompositeAlarm] = []
        pages = self._cloudwatch.get_paginator("describe_alarms").paginate(
            AlarmTypes=["MetricAlarm", "CompositeAlarm"], PaginationConfig={"PageSize": ALARMS_PER_PAGE}
        )
        async for page in pages:
            metric_alarms += [read_metric_alarm(told) for told in page.get("MetricAlarms", ())]
            composite_alarms += [read_composite_alarm(told) for told in page.get("CompositeAlarms", ())]
        return metric_alarms, composite_alarms

    async def values(self, wanted: Iterable[tuple[Rule, datetime]]) -> Values:
        """Ask for each series once, as far back as the longest of its alarms looks."""
        starts: defaultdict[tuple[int, datetime], dict[Series, datetime]] = defaultdict(dict)
        for rule, end in wanted:
            first = window_starts(rule, end)[0]
            asked = starts[rule.series.period_s, end]
            for series in (rule.series, rule.series.counted()) if rule.enough_samples else (rule.series,):
                asked[series] = min(first, asked.get(series, first))
        values: Values = {}
        for (period_s, end), asked in starts.items():
            by_start = sorted(asked, key=asked.__getitem__)
            while by_start:
                start = asked[by_start[0]]
                points_each = max(1, int((end - start) / timedelta(seconds=period_s)))
                fit = max(1, min(QUERIES_PER_CALL, DATAPOINTS_PER_CALL // points_each))
                for series, found in (await self._ask(by_start[:fit], start, end)).items():
                    values.setdefault(series, {}).update(found)  # windows that end elsewhere have it too
                by_start = by_start[fit:]
        return values

    async def _ask(self, asked: Sequence[Series], start: datetime, end: datetime) -> Values:
        values: Values = {series: {} for series in asked}
        request: dict[str, Any] = {
            "MetricDataQueries": [_query(f"q{at}", series) for at, series in enumerate(asked)],
            "StartTime": start,
            "EndTime": end,
            "ScanBy": "TimestampAscending",
        }
        while True:
            page = await self._cloudwatch.get_metric_data(**request)
            for result in page["MetricDataResults"]:
                found = values[asked[int(result["Id"][1:])]]
                found.update(zip(result["Timestamps"], result["Values"], strict=True))
            if not page.get("NextToken"):
                return values
            request["NextToken"] = page["NextToken"]

    async def set(self, status: Status, decision: Decision) -> None:
        """Set a state; an alarm that is gone meanwhile needs none."""
        request: dict[str, Any] = {
            "AlarmName": status.name,
            "StateValue": decision.state,
            "StateReason": decision.reason,
        }
        if decision.data:
            request["StateReasonData"] = decision.data
        try:
            await self._cloudwatch.set_alarm_state(**request)
        except ClientError as error:
            if error_code(error) != "ResourceNotFound":
                raise


def _query(query_id: str, series: Series) -> dict[str, Any]:
    stat: dict[str, Any] = {
        "Metric": {
            "Namespace": series.namespace,
            "MetricName": series.metric,
            "Dimensions": [{"Name": name, "Value": value} for name, value in series.dimensions],
        },
        "Period": series.period_s,
        "Stat": series.statistic,
    }
    if series.unit:
        stat["Unit"] = series.unit
    return {"Id": query_id, "MetricStat": stat}
