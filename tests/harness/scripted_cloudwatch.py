"""CloudWatch as far as metrics are read from it, in a test's own process: it answers what a test says."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from watch.reading.aws_calls import count_call

Values = Callable[[str, Mapping[str, str], str, Sequence[datetime]], Sequence[float | None]]
"""Of a metric by its dimensions and statistic: one value for each of these times, None for no datapoint."""


class ScriptedCloudWatch:
    """Answers GetMetricData from `values`; as a client it is to be passed as `Any`."""

    def __init__(self, values: Values | None = None) -> None:
        self.values: Values = values or (lambda _name, _dimensions, _statistic, times: [None] * len(times))
        self.asked: list[dict[str, Any]] = []
        """Requests of GetMetricData."""
        self.failing: Exception | None = None
        self.gate: asyncio.Event | None = None
        """Answers wait for it."""
        self.page_size = 10_000
        """Series a page."""
        self.flaws: dict[str, str] = {}
        """Status by metric, where it is not `Complete`."""

    @property
    def series_asked(self) -> int:
        """Metrics named in all calls."""
        return sum(len(request["MetricDataQueries"]) for request in self.asked)

    async def get_metric_data(self, **request: Any) -> dict[str, Any]:
        """As CloudWatch does: a period begins with the start."""
        count_call()
        self.asked.append({**request})
        if self.gate is not None:
            await self.gate.wait()
        if self.failing is not None:
            raise self.failing
        begin = int(request.get("NextToken", "0"))
        queries = request["MetricDataQueries"][begin : begin + self.page_size]
        answer: dict[str, Any] = {"MetricDataResults": [self._result(query, request) for query in queries]}
        if begin + self.page_size < len(request["MetricDataQueries"]):
            answer["NextToken"] = str(begin + self.page_size)
        return answer

    def _result(self, query: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
        asked = query["MetricStat"]
        metric = asked["Metric"]
        dimensions = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
        period = timedelta(seconds=asked["Period"])
        count = -((request["StartTime"] - request["EndTime"]) // period)
        times = [request["StartTime"] + at * period for at in range(count)]
        values = self.values(metric["MetricName"], dimensions, asked["Stat"], times)
        known = [(time, value) for time, value in zip(times, values, strict=True) if value is not None]
        return {
            "Id": query["Id"],
            "StatusCode": self.flaws.get(metric["MetricName"], "Complete"),
            "Timestamps": [time for time, _ in known],
            "Values": [value for _, value in known],
        }
