"""What the cost job asks CloudWatch for, counted before a CloudWatch that has a datapoint for every period.

`GetMetricData` is billed by the metric that a call names, each page of its answer again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from costagg.metric_queries import MAX_DATAPOINTS
from day import DAY, HOURS, MODELS, TENANTS

from costagg.instances import EndpointReader
from costagg.metric_reader import MetricReader
from llmplatform.catalogue import load_catalogue
from llmplatform.testing import FakeClock

USD_PER_METRIC: Final = Decimal("0.01") / 1_000
"""Source: Amazon CloudWatch pricing, "GetMetricData ... per 1,000 metrics requested"."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one run asked for."""

    run: str
    metrics: int
    calls: int

    @property
    def usd(self) -> Decimal:
        """What it is billed with."""
        return self.metrics * USD_PER_METRIC


class FullCloudWatch:
    """Answers as CloudWatch does, in pages of so many datapoints, each of them 1."""

    async def get_metric_data(self, **request: Any) -> dict[str, Any]:
        """Every series whole."""
        queries = request["MetricDataQueries"]
        period = timedelta(seconds=queries[0]["MetricStat"]["Period"])
        periods = (request["EndTime"] - request["StartTime"]) // period
        moments = [request["StartTime"] + at * period for at in range(periods)]
        values = [1.0] * periods
        assert len(queries) * periods <= MAX_DATAPOINTS, "there would be a second page"
        return {
            "MetricDataResults": [
                {"Id": query["Id"], "StatusCode": "Complete", "Timestamps": moments, "Values": values}
                for query in queries
            ]
        }

    async def list_metrics(self, **_: Any) -> dict[str, Any]:
        """Every tenant with every model."""
        sources = [
            {
                "tenant_id": tenant,
                "model_id": model_id,
                "endpoint_type": "sagemaker" if endpoint else "bedrock",
            }
            for tenant in TENANTS
            for model_id, _, _, endpoint in MODELS
        ]
        return {
            "Metrics": [
                {"Dimensions": [{"Name": name, "Value": value} for name, value in source.items()]}
                for source in sources
            ]
        }


def asked_of_cloudwatch() -> list[Asked]:
    """An hour's run and a day's, each with the ledger to read and without."""
    return asyncio.run(_asked())


async def _asked() -> list[Asked]:
    async def with_ledger(metrics: MetricReader, hours: tuple[datetime, ...]) -> None:
        await metrics.tokens(hours, TENANTS)

    async def without_ledger(metrics: MetricReader, hours: tuple[datetime, ...]) -> None:
        for hour in hours:
            await metrics.usage(hour, TENANTS, catalogue)

    catalogue, clock = load_catalogue(), FakeClock(DAY + timedelta(days=1))
    runs: tuple[tuple[str, Callable[..., Awaitable[None]], tuple[datetime, ...]], ...] = (
        ("an hour", with_ledger, HOURS[-1:]),
        ("24 hours", with_ledger, HOURS),
        ("an hour, the ledger unreachable", without_ledger, HOURS[-1:]),
        ("24 hours, the ledger unreachable", without_ledger, HOURS),
    )
    asked = []
    for name, read, hours in runs:
        cloudwatch: Any = FullCloudWatch()
        nobody: Any = None  # described is only what has no metrics
        metrics = MetricReader(cloudwatch, clock)
        await EndpointReader(metrics, nobody, catalogue, clock).read(hours)
        await read(metrics, hours)
        asked.append(Asked(name, metrics.metrics_requested, metrics.calls))
    return asked
