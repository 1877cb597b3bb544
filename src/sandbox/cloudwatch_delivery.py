"""Brings metrics and log lines to CloudWatch in batches, from a bounded store.

What is extracted from a line is `emf_extraction`'s, where lines come from is `emf_intake`'s. Delivery is
at least once, as the CloudWatch agent's is: a put that failed half-way is tried again.
"""

import asyncio
import contextlib
import logging
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from llmplatform.aws.refusals import error_code
from sandbox.emf_extraction import Datum, Dimensions

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_cloudwatch import CloudWatchClient
    from types_aiobotocore_cloudwatch.type_defs import MetricDatumTypeDef
    from types_aiobotocore_logs import CloudWatchLogsClient

logger = logging.getLogger(__name__)

FLUSH_EVERY_S: Final = 0.25
RETRY_AFTER_S: Final = 1.0
MAX_WAITING_LINE_BYTES: Final = 32 * 1024 * 1024
MAX_WAITING_DATUMS: Final = 200_000

# PutMetricData and PutLogEvents take no more than this at once.
MAX_METRICS_PER_PUT: Final = 1_000
MAX_VALUES_PER_METRIC: Final = 150
MAX_EVENTS_PER_PUT: Final = 10_000
MAX_BYTES_PER_PUT: Final = 1_048_576
EVENT_OVERHEAD_BYTES: Final = 26

_Item = TypeVar("_Item")

_TRY_AGAIN: Final = frozenset({"ResourceNotFoundException", "Throttling", "ThrottlingException"})


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A line that waits. `size` as CloudWatch Logs counts it."""

    timestamp_ms: int
    text: str
    size: int


class CloudWatchDelivery:
    """Metrics and lines go in without waiting; `flush` puts them.

    Bounded: when CloudWatch is slow or away, what no longer fits is dropped and counted in
    `dropped_events` and `dropped_datums`, as is what CloudWatch refuses for good.
    """

    def __init__(
        self,
        cloudwatch: "CloudWatchClient",
        logs: "CloudWatchLogsClient",
        *,
        max_waiting_line_bytes: int = MAX_WAITING_LINE_BYTES,
        max_waiting_datums: int = MAX_WAITING_DATUMS,
    ) -> None:
        self.dropped_events = 0
        self.dropped_datums = 0
        self._cloudwatch = cloudwatch
        self._logs = logs
        self._max_waiting_line_bytes = max_waiting_line_bytes
        self._max_waiting_datums = max_waiting_datums
        self._waiting_line_bytes = 0
        self._waiting_datums = 0
        self._datums: dict[str, deque[Datum]] = defaultdict(deque)
        self._events: dict[tuple[str, str], deque[LogEvent]] = defaultdict(deque)
        self._known_streams: set[tuple[str, str]] = set()
        self._flushing = asyncio.Lock()

    def add_datum(self, datum: Datum) -> None:
        """Take the values of one metric."""
        if self._waiting_datums >= self._max_waiting_datums:
            self.dropped_datums += 1
            return
        self._waiting_datums += 1
        self._datums[datum.namespace].append(datum)

    def add_line(self, group: str, stream: str, timestamp_ms: int, line: bytes) -> None:
        """Take one line for a log stream, which is made if it is not there."""
        size = len(line) + EVENT_OVERHEAD_BYTES
        if self._waiting_line_bytes + size > self._max_waiting_line_bytes:
            self.dropped_events += 1
            return
        self._waiting_line_bytes += size
        self._events[group, stream].append(LogEvent(timestamp_ms, line.decode(errors="replace"), size))

    async def flush(self) -> None:
        """Put all that waits. Raises what the clients raise; what was not put waits on."""
        async with self._flushing:
            for namespace, datums in list(self._datums.items()):
                await self._put_datums(namespace, datums)
            for destination, events in list(self._events.items()):
                await self._put_events(destination, events)

    async def flush_for_ever(self) -> None:
        """Flush a few times a second, and more patiently while it fails."""
        while True:
            try:
                await self.flush()
            except (BotoCoreError, ClientError, OSError) as error:
                logger.warning("CloudWatch takes nothing: %s", type(error).__name__)
                await asyncio.sleep(RETRY_AFTER_S)
            await asyncio.sleep(FLUSH_EVERY_S)

    async def _put_datums(self, namespace: str, datums: deque[Datum]) -> None:
        while datums:
            batch = list(islice(datums, MAX_METRICS_PER_PUT))
            try:
                for metrics in _pieces(_metrics(batch), MAX_METRICS_PER_PUT):
                    await self._cloudwatch.put_metric_data(Namespace=namespace, MetricData=metrics)
            except ClientError as error:
                _raise_unless_refused(error)
                self.dropped_datums += len(batch)
            _remove(datums, len(batch))
            self._waiting_datums -= len(batch)

    async def _put_events(self, destination: tuple[str, str], events: deque[LogEvent]) -> None:
        group, stream = destination
        while events:
            batch = _first_batch(events)
            try:
                await self._ensure_stream(group, stream)
                await self._logs.put_log_events(
                    logGroupName=group,
                    logStreamName=stream,
                    logEvents=[
                        {"timestamp": event.timestamp_ms, "message": event.text}
                        for event in sorted(batch, key=lambda event: event.timestamp_ms)
                    ],
                )
            except ClientError as error:
                self._known_streams.discard(destination)  # an emulator that came back has none
                _raise_unless_refused(error)
                self.dropped_events += len(batch)
            _remove(events, len(batch))
            self._waiting_line_bytes -= sum(event.size for event in batch)

    async def _ensure_stream(self, group: str, stream: str) -> None:
        if (group, stream) in self._known_streams:
            return
        with contextlib.suppress(self._logs.exceptions.ResourceAlreadyExistsException):
            await self._logs.create_log_group(logGroupName=group)
        with contextlib.suppress(self._logs.exceptions.ResourceAlreadyExistsException):
            await self._logs.create_log_stream(logGroupName=group, logStreamName=stream)
        self._known_streams.add((group, stream))


def _raise_unless_refused(error: ClientError) -> None:
    """Raise what may work later; what is wrong in itself would stand before all that comes after it."""
    code = error_code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if status != 400 or code in _TRY_AGAIN:  # noqa: PLR2004  # the status of every refusal by these APIs
        raise error
    logger.warning("CloudWatch refused a batch for good: %s", code)


def _first_batch(events: Iterable[LogEvent]) -> list[LogEvent]:
    """Return the oldest events that fit into one put."""
    batch: list[LogEvent] = []
    room = MAX_BYTES_PER_PUT
    for event in islice(events, MAX_EVENTS_PER_PUT):
        if event.size > room:
            break
        batch.append(event)
        room -= event.size
    return batch


def _metrics(datums: Iterable[Datum]) -> "list[MetricDatumTypeDef]":
    """Fold datums into one metric a series and moment, with its distinct values and their counts.

    Percentiles need the values, and the emulator keeps every point for ever: fewer of them count.
    Moments are cut to the resolution, as CloudWatch itself keeps them.
    """
    series: dict[tuple[str, Dimensions, str, int, int], Counter[float]] = defaultdict(Counter)
    for datum in datums:
        step_ms = datum.storage_resolution_s * 1000
        moment_ms = datum.timestamp_ms // step_ms * step_ms
        key = (datum.name, datum.dimensions, datum.unit, datum.storage_resolution_s, moment_ms)
        series[key].update(datum.values)
    return [
        {
            "MetricName": name,
            "Dimensions": [{"Name": dimension, "Value": value} for dimension, value in dimensions],
            "Unit": unit,  # type: ignore[typeddict-item]  # one of the service's, checked when extracted
            "StorageResolution": resolution_s,
            "Timestamp": datetime.fromtimestamp(moment_ms / 1000, UTC),
            "Values": [value for value, _ in counted],
            "Counts": [float(count) for _, count in counted],
        }
        for (name, dimensions, unit, resolution_s, moment_ms), values in series.items()
        for counted in _pieces(list(values.items()), MAX_VALUES_PER_METRIC)
    ]


def _pieces(items: list[_Item], size: int) -> list[list[_Item]]:
    return [items[at : at + size] for at in range(0, len(items), size)]


def _remove(queue: deque[Any], count: int) -> None:
    for _ in range(count):
        queue.popleft()
