"""The seam through which everything observed leaves a process.

`accept` never blocks, never raises and never waits: a sink is bounded, and counts what it drops. What a
sink lost is as much a figure of the platform as what it delivered (metric `sink_dropped`).
"""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

ItemT = TypeVar("ItemT")
ItemT_contra = TypeVar("ItemT_contra", contravariant=True)


@dataclass(slots=True)
class SinkCounts:
    """What became of the items of one sink, since its start."""

    accepted: int = 0
    delivered: int = 0
    dropped: int = 0
    """Lost for good: queue full, tries used up, refused by the receiver, or left at a flush's deadline."""

    @property
    def pending(self) -> int:
        """Accepted, and neither delivered nor dropped yet."""
        return self.accepted - self.delivered - self.dropped


class Sink(Protocol[ItemT_contra]):
    """Takes items off the request path."""

    name: str
    counts: SinkCounts

    def accept(self, item: ItemT_contra) -> None:
        """Take `item`, or drop and count it. Never blocks, never raises."""
        ...

    async def start(self) -> None:
        """Begin to deliver. Returns without waiting for the receiver to be reachable."""
        ...

    async def flush(self, deadline_s: float) -> None:
        """Deliver what is pending within `deadline_s`, count the rest as dropped, and stop. Never raises."""
        ...


class NullSink(Generic[ItemT]):
    """A sink for what a deployment does not want: takes everything, delivers nothing, loses nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts = SinkCounts()

    def accept(self, item: ItemT) -> None:
        """Take `item` and forget it."""

    async def start(self) -> None:
        """Nothing to begin."""

    async def flush(self, deadline_s: float) -> None:
        """Nothing to deliver."""
