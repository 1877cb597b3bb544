"""CloudWatch series to as few `GetMetricData` calls as hold them, and their pages to complete values.

Each metric that a call names is billed (one cent a thousand), whatever time it spans, and a call without it
is not: so a series is asked for its whole time at once, and calls hold fewer series where the time is long.
Who calls are the cost job and the console. Pure. Source: CloudWatch API reference, `GetMetricData`,
`MetricDataResult`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from llmplatform.metrics import Metric

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_cloudwatch.type_defs import GetMetricDataOutputTypeDef, MetricDataQueryTypeDef

MAX_QUERIES: Final = 500
MAX_DATAPOINTS: Final = 100_800
"""More are allowed and come in further pages, each of which may be billed again."""

HOUR_S: Final = 3_600
MINUTE_S: Final = 60

Values = Mapping[datetime, float]
"""By the start of their period, UTC; a period without datapoint is absent."""

# Of a series so far; the last page that it is on has the last word.
_STATUSES: Final = frozenset({"absent", "PartialData", "InternalError", "Forbidden"})

# How long datapoints of a period are kept. What is older is there in longer periods only.
_KEPT: Final = (
    (timedelta(days=15), MINUTE_S),
    (timedelta(days=63), 300),
    (timedelta(days=455), HOUR_S),
)


@dataclass(frozen=True, slots=True)
class Series:
    """One statistic of one metric with one set of dimensions."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str = "Sum"


@dataclass(frozen=True, slots=True)
class Call:
    """One call, without its pages."""

    series: Sequence[Series]
    start: datetime
    end: datetime
    """Excluded."""
    period_s: int

    def queries(self) -> "list[MetricDataQueryTypeDef]":
        """What it asks for; the id of a query is `m` and its place in `series`."""
        return [
            {
                "Id": f"m{at}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": series.namespace,
                        "MetricName": series.name,
                        "Dimensions": [{"Name": name, "Value": value} for name, value in series.dimensions],
                    },
                    "Period": self.period_s,
                    "Stat": series.statistic,
                },
                "ReturnData": True,
            }
            for at, series in enumerate(self.series)
        ]


class Answer:
    """The values of a call's series, put together from its pages."""

    def __init__(self, call: Call) -> None:
        self._values: dict[str, dict[datetime, float]] = {}
        self._series = {f"m{at}": series for at, series in enumerate(call.series)}
        self._flaws = {query: {"absent"} for query in self._series}
        self._of_the_call: set[str] = set()

    def add(self, page: "GetMetricDataOutputTypeDef") -> None:
        """Take note of a page, in the order in which they come: a series may go on over several."""
        self._of_the_call.update(message.get("Code", "?") for message in page.get("Messages", ()))
        for result in page["MetricDataResults"]:
            query = result["Id"]
            status = result.get("StatusCode", "Complete")
            messages = {message.get("Code", "?") for message in result.get("Messages", ())}
            told = self._flaws.get(query, set()) - _STATUSES
            self._flaws[query] = told | messages | ({status} - {"Complete"})
            pairs = zip(result["Timestamps"], result["Values"], strict=True)
            values = self._values.setdefault(query, {})
            values.update((moment.astimezone(UTC), value) for moment, value in pairs)

    def give_up(self, why: str) -> None:
        """Take note that there would have been more."""
        self._of_the_call.add(why)

    @property
    def flaws(self) -> tuple[str, ...]:
        """Why these are not all the values, once the last page is in; empty if they are.

        A message says that a part of the call was not done; a status other than `Complete` that values are
        missing, which look like time without any.
        """
        return tuple(sorted(self._of_the_call.union(*self._flaws.values())))

    def values(self) -> dict[Series, Values]:
        """By series; one without datapoints has none."""
        return {series: self._values.get(query, {}) for query, series in self._series.items()}

    def flawed(self) -> dict[Series, tuple[str, ...]]:
        """Those of which not all values are here, with why; what is said of the call is said of all."""
        flaws = {
            series: tuple(sorted(self._of_the_call | self._flaws[query]))
            for query, series in self._series.items()
        }
        return {series: why for series, why in flaws.items() if why}


def series_of(metric: Metric, dimensions: Mapping[str, str]) -> Series:
    """The sum of a metric of ours. Raises ValueError for a set of dimensions that it is not published by."""
    if set(dimensions) not in map(set, metric.dimension_sets):
        raise ValueError(f"{metric.name} is not published by {', '.join(dimensions)}")
    return Series(metric.namespace, metric.name, tuple(dimensions.items()))


def calls_for(series: Sequence[Series], start: datetime, end: datetime, period_s: int) -> list[Call]:
    """The calls that bring these series from `start` until before `end`, both on a period's edge."""
    return [
        Call(series[at : at + held], since, until, period_s)
        for since, until in _spans(start, end, timedelta(seconds=period_s * MAX_DATAPOINTS))
        for held in (_series_a_call(since, until, period_s),)
        for at in range(0, len(series), held)
    ]


def finest_period_s(start: datetime, now: datetime) -> int:
    """The shortest period in seconds, from a minute on, of which datapoints at `start` are still kept."""
    age = now - start
    return next((period_s for kept, period_s in _KEPT if age < kept), HOUR_S)


def _series_a_call(start: datetime, end: datetime, period_s: int) -> int:
    datapoints = -((start - end) // timedelta(seconds=period_s))
    return min(MAX_QUERIES, MAX_DATAPOINTS // datapoints)


def _spans(start: datetime, end: datetime, longest: timedelta) -> Iterator[tuple[datetime, datetime]]:
    while start < end:
        until = end if end - start <= longest else start + longest
        yield start, until
        start = until
