"""From one finished request to everything that leaves it: line, ledger row, spans, sample, content log.

All of it goes through sinks, which do not block and do not raise. What fails here, fails alone and is
counted: a request is over when it gets here, and nothing about observing it may touch the next one. Once a
minute, and a last time at the end, the platform reports on itself the same way.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.sinks.content_log import LogEvent, content_event
from gateway.sinks.kinesis import StreamRecord
from llmplatform import emf
from llmplatform.clock import Clock
from llmplatform.invocation import InvocationContent, InvocationRecord
from llmplatform.metrics import GATEWAY, PIPELINE, TELEMETRY_FAULTS
from llmplatform.policy import TenantPolicy
from llmplatform.process.sink_figures import SinkFigures
from llmplatform.redaction import describe_fault
from llmplatform.samples import UnsealedSample, encode_sample, unsealed_sample
from llmplatform.sinks import Sink, SinkCounts

logger = logging.getLogger(__name__)

REPORT_EVERY_S: Final = 60.0
COMPONENT: Final = GATEWAY
# The line sink goes last, since it carries the others' last counts.
LINES_SHARE_OF_DEADLINE: Final = 0.25
SEALING_SHARE_OF_DEADLINE: Final = 0.4

HealthFigures = tuple[Mapping[str, str], Mapping[str, emf.MetricValue | None]]
"""Dimensions, and figures by name in the Pipeline table."""
Health = Callable[[], Iterable[HealthFigures]]
"""The process's own figures: availability, policy age, tokenizers missing, circuits."""


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where each signal goes; a `NullSink` where a deployment does not want it."""

    lines: Sink[bytes]
    ledger: Sink[InvocationRecord]
    spans: Sink[InvocationRecord]
    samples: Sink[StreamRecord]
    sealing: Sink[UnsealedSample]
    """Encrypts content under tenants' own keys and hands it on to `samples`."""
    content: Sink[LogEvent]


class Emission:
    """Sends out what is known about finished requests."""

    def __init__(
        self, sinks: Sinks, *, clock: Clock, health: Health, report_every_s: float = REPORT_EVERY_S
    ) -> None:
        self._sinks = sinks
        self._signals = (
            self._send_row,
            self._send_line,
            self._send_spans,
            self._send_sample,
            self._log_content,
        )
        self._others = (sinks.ledger, sinks.spans, sinks.sealing, sinks.samples, sinks.content)
        self._clock = clock
        self._health = health
        self._report_every_s = report_every_s
        self._reporter: asyncio.Task[None] | None = None
        self._sink_figures = SinkFigures((sinks.lines, *self._others))
        self._reported_faults = 0
        self.faults = 0
        """Signals that could not be made from a record."""

    def emit(
        self, record: InvocationRecord, policy: TenantPolicy | None, content: InvocationContent | None
    ) -> None:
        """Send out everything about one finished request. Never blocks, never raises.

        `policy` is None for a request of no known tenant: there is a line and a row of it, and no content.
        """
        for send in self._signals:
            try:
                send(record, policy, content)
            except Exception as error:  # noqa: BLE001  # each signal stands alone, whatever befalls it
                self._note_fault(error)

    async def start(self) -> None:
        """Begin to deliver and to report."""
        for sink in (*self._others, self._sinks.lines):
            await sink.start()
        self._reporter = asyncio.create_task(self._report_for_ever(), name="pipeline-report")

    async def flush(self, deadline_s: float) -> None:
        """Deliver what is pending within `deadline_s` and stop; what is left is dropped and counted."""
        if self._reporter is not None:
            self._reporter.cancel()
            await asyncio.gather(self._reporter, return_exceptions=True)
            self._reporter = None
        for_lines_s = deadline_s * LINES_SHARE_OF_DEADLINE
        left_s = deadline_s - for_lines_s
        independent = (self._sinks.ledger, self._sinks.spans, self._sinks.content)
        await asyncio.gather(self._flush_samples(left_s), *(sink.flush(left_s) for sink in independent))
        self._report()
        await self._sinks.lines.flush(for_lines_s)

    async def _flush_samples(self, deadline_s: float) -> None:
        """Sealing first: what it has sealed goes out with the others."""
        for_sealing_s = deadline_s * SEALING_SHARE_OF_DEADLINE
        await self._sinks.sealing.flush(for_sealing_s)
        await self._sinks.samples.flush(deadline_s - for_sealing_s)

    def counts(self) -> dict[str, SinkCounts]:
        """What became of the items of each sink, by its name."""
        return {sink.name: sink.counts for sink in (self._sinks.lines, *self._others)}

    def _send_row(self, record: InvocationRecord, *_: object) -> None:
        self._sinks.ledger.accept(record)

    def _send_line(self, record: InvocationRecord, *_: object) -> None:
        self._sinks.lines.accept(emf.encode_invocation(record))

    def _send_spans(self, record: InvocationRecord, *_: object) -> None:
        if record.trace_kept is not None:
            self._sinks.spans.accept(record)

    def _send_sample(
        self, record: InvocationRecord, policy: TenantPolicy | None, content: InvocationContent | None
    ) -> None:
        if record.sampled and policy is not None:
            unsealed = unsealed_sample(record, policy, content)
            if unsealed is not None:
                self._sinks.sealing.accept(unsealed)
                return
            event = encode_sample(record, policy, content)
            self._sinks.samples.accept(StreamRecord(record.request_id, event))

    def _log_content(
        self, record: InvocationRecord, policy: TenantPolicy | None, content: InvocationContent | None
    ) -> None:
        if policy is not None and content is not None:
            event = content_event(record, policy, content)
            if event is not None:
                self._sinks.content.accept(event)

    async def _report_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._report_every_s)
            self._report()

    def _report(self) -> None:
        """One line a sink and one of the process itself."""
        now = self._clock.now()
        try:
            for line in self._sink_figures.lines(now):
                self._sinks.lines.accept(line)
            faults = self.faults - self._reported_faults
            self._reported_faults = self.faults
            own = ({"component": COMPONENT}, {TELEMETRY_FAULTS.name: faults})
            for dimensions, figures in (own, *self._health()):
                self._sinks.lines.accept(emf.encode_figures(now, PIPELINE, dimensions, figures))
        except Exception as error:  # noqa: BLE001  # the report is telemetry too
            self._note_fault(error)

    def _note_fault(self, error: Exception) -> None:
        self.faults += 1
        if self.faults == 1:
            logger.warning("telemetry: %s", describe_fault(error))
