"""What Bedrock and SageMaker publish to CloudWatch by themselves, published by the sandbox for them.

Observing is a look-up and an append; a task of its own sends what has gathered every few seconds.
What does not fit is dropped and counted: an answer never waits for a metric.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, Self

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.calls import Call
from sandbox.emulator import sandbox_session

log = logging.getLogger(__name__)

BEDROCK_NAMESPACE = "AWS/Bedrock"
SAGEMAKER_NAMESPACE = "AWS/SageMaker"
HARDWARE_NAMESPACE = "/aws/sagemaker/Endpoints"
VALUES_PER_DATUM = 150
DATA_PER_CALL = 500
MAX_PENDING_VALUES = 50_000
_CLIENT_ERRORS = range(400, 500)
_THROTTLED = 429
_MICROSECONDS = 1_000_000
_OVERHEAD_US = 1_500.0


class MetricSink(Protocol):
    """Where calls are observed."""

    def observe(self, call: Call) -> None:
        """Take note of a call that has ended."""


class NoMetrics:
    """Observes nothing: for runtimes without a CloudWatch to tell."""

    def observe(self, call: Call) -> None:
        """Let the call go."""


class Hardware(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An endpoint's instances and each one's utilisation in percent; GPU figures are summed over its GPUs."""

    instances: int = 1
    created_at: datetime | None = None
    """Since when the endpoint exists; None is since the runtime runs."""
    gpu_utilization: float = 35.0
    gpu_memory_utilization: float = 60.0
    cpu_utilization: float = 20.0
    memory_utilization: float = 40.0
    disk_utilization: float = 15.0
    variant: str = "AllTraffic"

    def figures(self) -> dict[str, float]:
        """The figures by their CloudWatch names."""
        return {
            "GPUUtilization": self.gpu_utilization,
            "GPUMemoryUtilization": self.gpu_memory_utilization,
            "CPUUtilization": self.cpu_utilization,
            "MemoryUtilization": self.memory_utilization,
            "DiskUtilization": self.disk_utilization,
        }


@dataclass(frozen=True, slots=True)
class _Series:
    namespace: str
    name: str
    unit: str
    dimensions: tuple[tuple[str, str], ...]


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
    _task: asyncio.Task[None] | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _cloudwatch: Any = None

    def observe(self, call: Call) -> None:
        """Take note of a call that has ended."""
        if call.operation == "count-tokens" or call.finished_s is None:
            return
        elapsed_s = call.finished_s - call.started_s
        if call.service == "bedrock":
            self._observe_bedrock(call, elapsed_s)
        else:
            self.hardware.setdefault(call.model, Hardware())
            self._observe_sagemaker(call, elapsed_s)

    async def __aenter__(self) -> Self:
        """Begin to publish, by a client that is kept: making one would hold up answers for 100 ms."""
        client = sandbox_session().client("cloudwatch", endpoint_url=self.endpoint_url)
        self._cloudwatch = await self._stack.enter_async_context(client)
        self._task = asyncio.create_task(self._publish_regularly())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Publish what is left, within two intervals, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(2 * self.interval_s):
                await self.publish()
        except TimeoutError:
            log.warning("native metrics were not published in time")
        finally:
            await self._stack.aclose()

    async def publish(self) -> None:
        """Send what has gathered; what CloudWatch does not take is dropped and counted."""
        values, self._values = self._values, defaultdict(list)
        self._pending = 0
        now = datetime.now(UTC)
        self._meter_hardware(values, now.replace(second=0, microsecond=0))
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
        while True:
            await asyncio.sleep(self.interval_s)
            await self.publish()

    def _meter_hardware(self, values: defaultdict[_Series, list[float]], minute: datetime) -> None:
        for endpoint, hardware in self.hardware.items():
            if self._metered.get(endpoint) == minute:
                continue
            self._metered[endpoint] = minute
            dimensions = (("EndpointName", endpoint), ("VariantName", hardware.variant))
            for name, figure in hardware.figures().items():
                if hardware.instances:
                    values[_Series(HARDWARE_NAMESPACE, name, "Percent", dimensions)] += [
                        figure
                    ] * hardware.instances

    def _observe_bedrock(self, call: Call, elapsed_s: float) -> None:
        dimensions = {"ModelId": call.model}
        if call.status == _THROTTLED:
            self._add(BEDROCK_NAMESPACE, "InvocationThrottles", "Count", dimensions, 1)
            return
        if call.status in _CLIENT_ERRORS:
            self._add(BEDROCK_NAMESPACE, "InvocationClientErrors", "Count", dimensions, 1)
            return
        if call.ended == "faulted" or call.status >= _CLIENT_ERRORS.stop:
            self._add(BEDROCK_NAMESPACE, "InvocationServerErrors", "Count", dimensions, 1)
            return
        self._add(BEDROCK_NAMESPACE, "Invocations", "Count", dimensions, 1)
        self._add(BEDROCK_NAMESPACE, "InvocationLatency", "Milliseconds", dimensions, elapsed_s * 1000)
        if call.operation.endswith("stream") and call.first_token_ms is not None:
            first_ms = float(call.first_token_ms)
            self._add(BEDROCK_NAMESPACE, "TimeToFirstToken", "Milliseconds", dimensions, first_ms)
        if call.billed is not None:
            tokens_in, tokens_out = call.billed.input_tokens, call.billed.output_tokens
            self._add(BEDROCK_NAMESPACE, "InputTokenCount", "Count", dimensions, tokens_in)
            self._add(BEDROCK_NAMESPACE, "OutputTokenCount", "Count", dimensions, tokens_out)

    def _observe_sagemaker(self, call: Call, elapsed_s: float) -> None:
        variant = call.headers.get("x-amzn-sagemaker-target-variant", "AllTraffic")
        dimensions = {"EndpointName": call.model, "VariantName": variant}
        client_error = call.status in _CLIENT_ERRORS
        server_error = call.status >= _CLIENT_ERRORS.stop
        for name, value, unit in (
            ("Invocations", 1.0, "Count"),
            ("Invocation4XXErrors", float(client_error), "Count"),
            ("Invocation5XXErrors", float(server_error), "Count"),
            ("ModelLatency", elapsed_s * _MICROSECONDS, "Microseconds"),
            ("OverheadLatency", _OVERHEAD_US, "Microseconds"),
        ):
            self._add(SAGEMAKER_NAMESPACE, name, unit, dimensions, value)

    def _add(self, namespace: str, name: str, unit: str, dimensions: Mapping[str, str], value: float) -> None:
        if self._pending >= MAX_PENDING_VALUES:
            self.dropped_values += 1
            return
        self._pending += 1
        self._values[_Series(namespace, name, unit, tuple(dimensions.items()))].append(value)


def _data(series: _Series, values: list[float], now: datetime) -> list[dict[str, Any]]:
    """PutMetricData entries of one series, with raw values so that percentiles can be read."""
    dimensions = [{"Name": name, "Value": value} for name, value in series.dimensions]
    return [
        {
            "MetricName": series.name,
            "Dimensions": dimensions,
            "Timestamp": now,
            "Unit": series.unit,
            "Values": values[at : at + VALUES_PER_DATUM],
            "Counts": [1.0] * len(values[at : at + VALUES_PER_DATUM]),
        }
        for at in range(0, len(values), VALUES_PER_DATUM)
    ]
