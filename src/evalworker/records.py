"""The seam between what feeds records in and what evaluates them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

Place = tuple[str, str]
"""Shard and sequence number: where in the stream a record is."""


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One record of the stream, as a feed hands it over."""

    shard_id: str
    sequence_number: str
    arrived_at: datetime
    """When the stream took it in, approximately; aware, UTC."""
    data: bytes = field(repr=False)

    @property
    def place(self) -> Place:
        """Where in the stream it is."""
        return self.shard_id, self.sequence_number


class RecordProcessor(Protocol):
    """Evaluates records; knows nothing of who feeds it."""

    async def process(self, records: Sequence[StreamRecord]) -> frozenset[str]:
        """Evaluate `records`; gives the sequence numbers of those that are to be brought again.

        Never raises but for cancellation. A record that is brought twice has one result all the same.
        """
        ...

    def give_up(self, records: Sequence[StreamRecord]) -> None:
        """Take it that these will not be brought here again: another worker may get them."""
        ...
