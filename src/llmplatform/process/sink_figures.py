"""What the sinks of a process dropped and hold, as EMF lines: every process reports it alike."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from llmplatform.emf import encode_figures
from llmplatform.metrics import PIPELINE, SINK_DROPPED, SINK_PENDING
from llmplatform.sinks import Sink


class SinkFigures:
    """Figures of some sinks, drops since the last look."""

    def __init__(self, sinks: Iterable[Sink[Any]]) -> None:
        self._sinks = tuple(sinks)
        self._reported_drops: dict[str, int] = {}

    def lines(self, now: datetime) -> Iterator[bytes]:
        """One line a sink."""
        for sink in self._sinks:
            dropped = sink.counts.dropped - self._reported_drops.get(sink.name, 0)
            self._reported_drops[sink.name] = sink.counts.dropped
            values = {SINK_DROPPED.name: dropped, SINK_PENDING.name: sink.counts.pending}
            yield encode_figures(now, PIPELINE, {"sink": sink.name}, values)
