"""What CloudWatch's metrics know of usage: tokens by tenant, and an hour's whole usage without the ledger.

A view of the ledger, at least once and without retries: good for holding against it, and for an estimate
where it cannot be read. How queries are packed is in `metric_queries`.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from costagg.hours import HOUR
from costagg.metric_usage import (
    BY_CALL,
    Source,
    add_minutes,
    count_at,
    endpoint_series,
    source_series,
    usage_of,
)
from costagg.usage import ClientTokens, HourUsage
from llmplatform import ids
from llmplatform.aws.refusals import error_code
from llmplatform.catalogue import Catalogue
from llmplatform.clock import Clock
from llmplatform.errors import TelemetryFault
from llmplatform.metric_queries import HOUR_S, MINUTE_S, Answer, Call, Series, Values, calls_for, series_of
from llmplatform.metrics import INPUT_TOKEN_COUNT, OUTPUT_TOKEN_COUNT, REQUEST_COUNT
from llmplatform.redaction import safe_label

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_cloudwatch import CloudWatchClient
    from types_aiobotocore_cloudwatch.type_defs import GetMetricDataInputTypeDef, ListMetricsInputTypeDef

MAX_METRICS_A_READ: Final = 50_000
"""What one read may ask for at most, which is billed with half a dollar: 1,000 tenants with 10 models."""
_MAX_PAGES: Final = 200
"""Of one call: a service that always names a next page would keep us for ever."""
_RECENT: Final = timedelta(hours=3)
_LISTED: Final = timedelta(days=14)
"""ListMetrics knows of metrics that had data in the last two weeks."""
_FAILURES: Final = (ClientError, BotoCoreError, aiohttp.ClientError, OSError, asyncio.TimeoutError)

_BY_TENANT: Final = ("tenant_id",)


class MetricsUnavailable(TelemetryFault):
    """CloudWatch did not answer, or not with all that was asked for."""


class MetricReader:
    """Reads metrics, and counts what that costs."""

    def __init__(
        self, cloudwatch: "CloudWatchClient", clock: Clock, *, max_metrics: int = MAX_METRICS_A_READ
    ) -> None:
        self._cloudwatch = cloudwatch
        self._clock = clock
        self._max_metrics = max_metrics
        self.calls = 0
        """Calls of GetMetricData so far, each page one."""
        self.metrics_requested = 0
        """Metrics that they named, each page again: what is billed at most, at a cent a thousand."""

    async def tokens(
        self, hours: Sequence[datetime], tenants: Iterable[str]
    ) -> dict[datetime, dict[str, ClientTokens]]:
        """Tokens of clients' requests by hour and tenant; where no datapoint is, neither is an entry.

        A range of hours costs as much as one: two metrics a tenant. Raises MetricsUnavailable.
        """
        found: dict[datetime, dict[str, ClientTokens]] = {hour: {} for hour in hours}
        wanted = {
            tenant_id: tuple(
                series_of(metric, {"tenant_id": tenant_id})
                for metric in (INPUT_TOKEN_COUNT, OUTPUT_TOKEN_COUNT)
            )
            for tenant_id in tenants
        }
        if not hours or not wanted:
            return found
        read = await self.values(
            [one for pair in wanted.values() for one in pair], min(hours), max(hours) + HOUR, HOUR_S
        )
        for tenant_id, (prompt, output) in wanted.items():
            for hour in (read[prompt].keys() | read[output].keys()) & found.keys():
                found[hour][tenant_id] = ClientTokens(
                    count_at(read[prompt], hour), count_at(read[output], hour)
                )
        return found

    async def tenants(self, hour: datetime) -> set[str]:
        """Tenants that had requests around an hour: of recent ones the last three hours, else two weeks."""
        return {
            tenant_id
            async for dimensions in self._listed(hour, _BY_TENANT)
            if (tenant_id := ids.tenant_id(dimensions["tenant_id"])) is not None
        }

    async def usage(self, hour: datetime, tenants: Collection[str], catalogue: Catalogue) -> HourUsage:
        """An hour's usage as far as metrics tell it: an estimate, and less than what the ledger knows.

        Attempts that did not answer, and judges, have no token metrics. The time to live of cache writes is
        not known: they count as the five minutes' ones. A request's minute is the one that it ended in. Who
        called what is listed first, since listing is not billed: tenants times models would ask for ten
        times as much, and miss models that have left the catalogue. Raises MetricsUnavailable, also for an
        hour of which metrics are listed no longer.
        """
        if self._clock.now() - hour > _LISTED:
            raise MetricsUnavailable(f"CloudWatch lists no metrics of {hour:%Y-%m-%dT%H}: two weeks are over")
        known = frozenset(tenants)
        sources = sorted(
            {
                Source(**dimensions)
                async for dimensions in self._listed(hour, BY_CALL)
                if dimensions["tenant_id"] in known
            }
        )
        usage = usage_of(
            hour, sources, await self.values(source_series(sources), hour, hour + HOUR, HOUR_S), catalogue
        )
        minutes = await self.values(endpoint_series(usage.endpoints), hour, hour + HOUR, MINUTE_S)
        add_minutes(usage, minutes)
        return usage

    async def values(
        self, series: Sequence[Series], start: datetime, end: datetime, period_s: int
    ) -> dict[Series, Values]:
        """Values by series from `start` until before `end`, both on a period's edge.

        Raises MetricsUnavailable before anything is asked if it would be too much.
        """
        calls = calls_for(series, start, end, period_s)
        asked = sum(len(call.series) for call in calls)
        if asked > self._max_metrics:
            raise MetricsUnavailable(
                f"{asked} metrics would be asked for, and {self._max_metrics} are allowed a read"
            )
        found: dict[Series, Values] = {}
        for call in calls:
            for one, values in (await self._answer(call)).items():
                found[one] = {**found.get(one, {}), **values}
        return found

    async def _answer(self, call: Call) -> dict[Series, Values]:
        answer = Answer(call)
        request: GetMetricDataInputTypeDef = {
            "MetricDataQueries": call.queries(),
            "StartTime": call.start,
            "EndTime": call.end,
            "ScanBy": "TimestampAscending",
        }
        for _ in range(_MAX_PAGES):
            self.calls += 1
            self.metrics_requested += len(call.series)
            try:
                page = await self._cloudwatch.get_metric_data(**request)
            except _FAILURES as error:
                raise _unavailable("GetMetricData", error) from error
            answer.add(page)
            if not (token := page.get("NextToken")):
                break
            request["NextToken"] = token
        else:
            raise MetricsUnavailable("GetMetricData gave an endless answer")
        if answer.flaws:
            why = ", ".join(map(safe_label, answer.flaws))
            raise MetricsUnavailable(f"GetMetricData gave an incomplete answer: {why}")
        return answer.values()

    async def _listed(self, hour: datetime, names: tuple[str, ...]) -> AsyncIterator[dict[str, str]]:
        """The dimensions of request_count where they have just these names."""
        request: ListMetricsInputTypeDef = {
            "Namespace": REQUEST_COUNT.namespace,
            "MetricName": REQUEST_COUNT.name,
            "Dimensions": [{"Name": name} for name in names],
        }
        if self._clock.now() - hour < _RECENT:  # all that was active in the hour was so within three hours
            request["RecentlyActive"] = "PT3H"
        for _ in range(_MAX_PAGES):
            try:
                page = await self._cloudwatch.list_metrics(**request)
            except _FAILURES as error:
                raise _unavailable("ListMetrics", error) from error
            for metric in page["Metrics"]:
                dimensions = {one["Name"]: one["Value"] for one in metric.get("Dimensions", ())}
                if dimensions.keys() == set(names):
                    yield dimensions
            if not (token := page.get("NextToken")):
                return
            request["NextToken"] = token
        raise MetricsUnavailable("ListMetrics gave an endless answer")


def _unavailable(operation: str, error: Exception) -> MetricsUnavailable:
    return MetricsUnavailable(f"{operation}: {safe_label(error_code(error) or type(error).__name__)}")
