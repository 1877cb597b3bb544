"""How many instances of each SageMaker endpoint ran, minute by minute: what its hours are priced by.

Counted, not configured: each instance of a variant publishes one `CPUUtilization` a minute to
`/aws/sagemaker/Endpoints`, so its SampleCount by EndpointName and VariantName is the number of instances,
and scaling is in it. An endpoint whose config sets `MetricPublishFrequencyInSeconds` publishes more or less
often: the catalogue's `metric_period_s` must say so. `EnableEnhancedMetrics` adds a dimension InstanceId,
which makes other series; they are not read. Source: SageMaker developer guide, "Amazon SageMaker AI metrics
in Amazon CloudWatch" and "Amazon SageMaker AI enhanced metrics for inference endpoints".

What a gap in the metrics means is in `instance_minutes`.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from costagg.hours import HOUR
from costagg.instance_minutes import (
    AROUND,
    MINUTE,
    Described,
    Description,
    Metered,
    instances_by_minute,
    metered_minutes,
    tells_all,
)
from costagg.metric_reader import MetricReader, MetricsUnavailable
from costagg.usage import MINUTES, Endpoints, InstanceMinutes
from llmplatform.catalogue import Catalogue, Variant
from llmplatform.clock import Clock
from llmplatform.metric_queries import Series, finest_period_s

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_sagemaker import SageMakerClient

logger = logging.getLogger(__name__)

NAMESPACE: Final = "/aws/sagemaker/Endpoints"
METRIC: Final = "CPUUtilization"

_FAILURES: Final = (ClientError, BotoCoreError, aiohttp.ClientError, OSError, TimeoutError)
_NOT_FOUND: Final = "Could not find endpoint"
_NOTHING: Final[Metered] = {}


class EndpointReader:
    """Reads the instances of the catalogue's endpoints. For one run: each is described once at most."""

    def __init__(
        self, metrics: MetricReader, sagemaker: "SageMakerClient", catalogue: Catalogue, clock: Clock
    ) -> None:
        self._metrics = metrics
        self._sagemaker = sagemaker
        self._endpoints = catalogue.endpoints
        self._clock = clock
        self._described: dict[str, Described] = {}

    async def read(self, hours: Sequence[datetime]) -> dict[datetime, Endpoints]:
        """The instances of each hour, by endpoint. Of an hour that still runs, minutes to come have none.

        Never fails: what can be had neither from metrics nor by description is unknown.
        """
        if not hours:
            return {}
        now = self._clock.now()
        metered = await self._metered(min(hours) - AROUND, max(hours) + HOUR + AROUND, now)
        return {
            hour: {
                name: tuple(
                    [
                        await self._hour(name, variant, hour, now, _of(metered, name, variant))
                        for variant in endpoint.variants
                    ]
                )
                for name, endpoint in self._endpoints.items()
            }
            for hour in hours
        }

    async def _metered(
        self, start: datetime, end: datetime, now: datetime
    ) -> Mapping[tuple[str, str], Metered] | None:
        """By endpoint and variant; None without metrics. One metric each, however long the time."""
        period_s = finest_period_s(start, now)
        wanted = {
            (name, variant.name): (_series(name, variant), variant.metric_period_s)
            for name, endpoint in self._endpoints.items()
            for variant in endpoint.variants
        }
        try:
            values = await self._metrics.values(
                [series for series, _ in wanted.values()], start, end, period_s
            )
        except MetricsUnavailable as error:
            logger.warning("instances are not metered: %s", error)
            return None
        return {
            key: dict(metered_minutes(values[series], period_s, metric_period_s))
            for key, (series, metric_period_s) in wanted.items()
        }

    async def _hour(
        self, name: str, variant: Variant, hour: datetime, now: datetime, metered: Metered | None
    ) -> InstanceMinutes:
        over = min(max((now - hour) // MINUTE, 0), MINUTES)
        told = metered or _NOTHING
        described = "unknown" if tells_all(told, hour, over) else await self._describe(name)
        if metered is None and described == "gone":
            described = "unknown"  # since when, only metrics could tell
        counts, source = instances_by_minute(told, hour, over, variant=variant.name, described=described)
        return InstanceMinutes(
            endpoint_name=name,
            variant=variant.name,
            instance_type=variant.instance_type,
            counts=counts,
            source=source,
            rated_tokens_per_minute=variant.rated_tokens_per_minute,
        )

    async def _describe(self, name: str) -> Described:
        if name not in self._described:
            self._described[name] = await self._ask(name)
        return self._described[name]

    async def _ask(self, name: str) -> Described:
        try:
            answer = await self._sagemaker.describe_endpoint(EndpointName=name)
        except _FAILURES as error:
            if isinstance(error, ClientError) and _NOT_FOUND in error.response["Error"]["Message"]:
                return "gone"
            logger.warning(
                "an endpoint is not described",
                extra={"endpoint_name": name, "error_type": type(error).__name__},
            )
            return "unknown"
        variants = answer.get("ProductionVariants", ())
        return Description(
            answer["CreationTime"],
            {variant["VariantName"]: variant.get("CurrentInstanceCount") for variant in variants},
        )


def _of(metered: Mapping[tuple[str, str], Metered] | None, name: str, variant: Variant) -> Metered | None:
    return None if metered is None else metered.get((name, variant.name), _NOTHING)


def _series(name: str, variant: Variant) -> Series:
    dimensions = (("EndpointName", name), ("VariantName", variant.name))
    return Series(NAMESPACE, METRIC, dimensions, "SampleCount")
