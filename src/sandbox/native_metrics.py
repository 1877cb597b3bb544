"""What Bedrock and SageMaker publish to CloudWatch by themselves, published by the sandbox for them.

Observing is a look-up and an append; a task of its own sends what has gathered every few seconds.
What does not fit is dropped and counted: an answer never waits for a metric. What a call is worth is
`call_metrics`' to say, what a machine shows `hardware`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, Self

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.call_metrics import bedrock_values, sagemaker_values
from sandbox.calls import Call
from sandbox.emulator import sandbox_session
from sandbox.hardware import Hardware, Load, instance_id

log = logging.getLogger(__name__)

BEDROCK_NAMESPACE = "AWS/Bedrock"
SAGEMAKER_NAMESPACE = "AWS/SageMaker"
HARDWARE_NAMESPACE = "/aws/sagemaker/Endpoints"
VALUES_PER_DATUM = 150
DATA_PER_CALL = 500
MAX_PENDING_VALUES = 50_000
CONCURRENCY_EVERY_S = 10.0
LAST_PUBLISH_WITHIN_S = 3.0
_COUNTING = "count-tokens"

Dimensions = tuple[tuple[str, str], ...]


class MetricSink(Protocol):
    """Where calls are observed."""

    def begin(self, call: Call) -> None:
        """Take note of a call that has begun."""

    def observe(self, call: Call) -> None:
        """Take note of a call that has ended."""


class NoMetrics:
    """Observes nothing: for runtimes without a CloudWatch to tell."""

    def begin(self, call: Call) -> None:
        """Let the call come."""

    def observe(self, call: Call) -> None:
        """Let the call go."""


@dataclass(frozen=True, slots=True)
class _Series:
    namespace: str
    name: str
    unit: str
    dimensions: Dimensions


@dataclass(slots=True)
class NativeMetrics:
    """Gathers and publishes; use as an async context manager, which publishes what is left at the end.

    Each instance of an endpoint in `hardware` has one datapoint a clock minute, so that the number of
    datapoints is the number of instances. Endpoints that are called for the first time are added.
    """

    endpoint_url: str
    interval_s: float = 5.0
    dropped_values: int = 0
    hardware: dict[str, Hardware] = field(default_factory=dict)
    _values: defaultdict[_Series, list[float]] = field(default_factory=lambda: defaultdict(list))
    _pending: int = 0
    _metered: dict[str, datetime] = field(default_factory=dict)
    _loads: dict[str, Load] = field(default_factory=dict)
    _concurrency_at_s: float = 0.0
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _cloudwatch: Any = None

    def begin(self, call: Call) -> None:
        """Take note of a call that has begun: until it is observed, its endpoint is busy with it."""
        if call.service == "sagemaker":
            self._load(call.model).begin(time.monotonic())

    def observe(self, call: Call) -> None:
        """Take note of a call that has ended."""
        if call.service == "sagemaker":
            self._load(call.model).end(time.monotonic())
        if call.operation == _COUNTING or call.finished_s is None:
            return
        elapsed_s = call.finished_s - call.started_s
        if call.service == "bedrock":
            for name, unit, value in bedrock_values(call, elapsed_s):
                self._add(_Series(BEDROCK_NAMESPACE, name, unit, (("ModelId", call.model),)), value)
            return
        hardware = self.hardware.setdefault(call.model, Hardware())
        variant = call.headers.get("x-amzn-sagemaker-target-variant", hardware.variant)
        dimensions = _of_variant(call.model, variant)
        for name, unit, value in sagemaker_values(call, elapsed_s, hardware.instances):
            self._add(_Series(SAGEMAKER_NAMESPACE, name, unit, dimensions), value)

    async def __aenter__(self) -> Self:
        """Begin to publish, by a client that is kept: making one would hold up answers for 100 ms."""
        client = sandbox_session().client("cloudwatch", endpoint_url=self.endpoint_url)
        self._cloudwatch = await self._stack.enter_async_context(client)
        self._task = asyncio.create_task(self._publish_regularly())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Publish what is left, within seconds, and end."""
        self._ending.set()
        try:
            async with asyncio.timeout(max(LAST_PUBLISH_WITHIN_S, 2 * self.interval_s)):
                if self._task is not None:
                    await self._task  # in the middle of a publication it is let finish, and has another
        except TimeoutError:
            log.warning("native metrics were not published in time")
        finally:
            await self._stack.aclose()

    async def publish(self) -> None:
        """Send what has gathered; what CloudWatch does not take is dropped and counted."""
        values, self._values = self._values, defaultdict(list)
        self._pending = 0
        now = datetime.now(UTC)
        now_s = time.monotonic()
        self._count_concurrency(values, now_s)
        self._meter_hardware(values, now.replace(second=0, microsecond=0), now_s)
        if not values:
            return
        by_namespace: defaultdict[str, list[Any]] = defaultdict(list)
        for series, gathered in values.items():
            by_namespace[series.namespace] += _data(series, gathered, now)
        try:
            for namespace, data in by_namespace.items():
                for at in range(0, len(data), DATA_PER_CALL):
                    await self._cloudwatch.put_metric_data(
                        Namespace=namespace, MetricData=data[at : at + DATA_PER_CALL]
                    )
        except (BotoCoreError, ClientError, OSError) as error:
            self.dropped_values += sum(len(gathered) for gathered in values.values())
            log.warning("native metrics were dropped", extra={"error_type": type(error).__name__})

    async def _publish_regularly(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), self.interval_s)
            await self.publish()
        await self.publish()  # what came while the one before was under way

    def _load(self, endpoint: str) -> Load:
        return self._loads.setdefault(endpoint, Load(time.monotonic()))

    def _count_concurrency(self, values: defaultdict[_Series, list[float]], now_s: float) -> None:
        """The most calls at once, of each endpoint that exists, every ten seconds."""
        if now_s - self._concurrency_at_s < CONCURRENCY_EVERY_S:
            return
        self._concurrency_at_s = now_s
        for endpoint, hardware in self.hardware.items():
            of_variant = _of_variant(endpoint, hardware.variant)
            series = _Series(SAGEMAKER_NAMESPACE, "ConcurrentRequestsPerModel", "None", of_variant)
            values[series].append(float(self._load(endpoint).take_peak()))

    def _meter_hardware(
        self, values: defaultdict[_Series, list[float]], minute: datetime, now_s: float
    ) -> None:
        for endpoint, hardware in self.hardware.items():
            if self._metered.get(endpoint) == minute:
                continue
            self._metered[endpoint] = minute
            concurrency = self._load(endpoint).take_mean(now_s) / max(1, hardware.instances)
            for dimensions, figures in _machines(endpoint, hardware, concurrency):
                for name, figure in figures.items():
                    values[_Series(HARDWARE_NAMESPACE, name, "Percent", dimensions)].append(figure)

    def _add(self, series: _Series, value: float) -> None:
        if self._pending >= MAX_PENDING_VALUES:
            self.dropped_values += 1
            return
        self._pending += 1
        self._values[series].append(value)


def _of_variant(endpoint: str, variant: str) -> Dimensions:
    return (("EndpointName", endpoint), ("VariantName", variant))


def _machines(
    endpoint: str, hardware: Hardware, concurrency: float
) -> list[tuple[Dimensions, dict[str, float]]]:
    """Figures of each instance under its variant; with enhanced metrics by instance and by GPU too."""
    of_variant = _of_variant(endpoint, hardware.variant)
    figures = hardware.figures(concurrency)
    machines = [(of_variant, figures)] * hardware.instances
    if not hardware.enhanced:
        return machines
    each = {name: figure / hardware.gpu_count for name, figure in hardware.gpu_figures(concurrency).items()}
    for number in range(hardware.instances):
        of_instance = (*of_variant, ("InstanceId", instance_id(endpoint, hardware.variant, number)))
        machines.append((of_instance, figures))
        machines += [((*of_instance, ("AcceleratorId", str(gpu))), each) for gpu in range(hardware.gpu_count)]
    return machines


def _data(series: _Series, values: list[float], now: datetime) -> list[dict[str, Any]]:
    """PutMetricData entries of one series: values with their counts, so that percentiles can be read."""
    dimensions = [{"Name": name, "Value": value} for name, value in series.dimensions]
    counted = list(Counter(values).items())
    return [
        {
            "MetricName": series.name,
            "Dimensions": dimensions,
            "Timestamp": now,
            "Unit": series.unit,
            "Values": [value for value, _ in counted[at : at + VALUES_PER_DATUM]],
            "Counts": [float(count) for _, count in counted[at : at + VALUES_PER_DATUM]],
        }
        for at in range(0, len(counted), VALUES_PER_DATUM)
    ]
