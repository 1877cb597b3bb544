"""One hour's partitions as one list, newest arrival first, read no further than the page needs. Pure.

Partitions are read in pieces, so at any time each is known down to some request id, and a row may be shown
only when no partition can still bring a newer one. Hours are of completion, so a request that came before an
hour and ended in it is the last of it, not the first of the hour before.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Self

from llmplatform import ids
from llmplatform.errors import MalformedRequest
from llmplatform.ledger import LedgerRow, hour_of

_SEPARATOR: Final = "."


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next page begins: in this hour, after this request. `before` of None is the hour's newest."""

    hour: datetime
    before: str | None = None

    def __str__(self) -> str:
        """As it stands in a URL."""
        return hour_of(self.hour) + (f"{_SEPARATOR}{self.before}" if self.before else "")

    @classmethod
    def asked(cls, text: str) -> Self:
        """Of a URL. Raises MalformedRequest."""
        hour_text, _, before = text.partition(_SEPARATOR)
        try:
            hour = datetime.strptime(hour_text, "%Y-%m-%dT%H").replace(tzinfo=UTC)
        except ValueError:
            raise MalformedRequest("after: no page begins there", param="after") from None
        if before and ids.parse_uuid(before) is None:
            raise MalformedRequest("after: no page begins there", param="after")
        return cls(hour, before or None)


@dataclass(slots=True)
class _Partition:
    read_to: str | None
    """Everything newer than this request id is known; None before anything is."""
    ended: bool = False


@dataclass(slots=True)
class HourMerge:
    """The partitions of an hour, as far as they were read."""

    hour: datetime
    before: str | None = None
    """Only requests that came before this one."""
    _partitions: dict[str, _Partition] = field(default_factory=dict)
    _rows: dict[str, LedgerRow] = field(default_factory=dict)

    @classmethod
    def of(cls, hour: datetime, partitions: Iterable[str], before: str | None = None) -> Self:
        """An hour of which nothing is read."""
        return cls(hour, before, {key: _Partition(before) for key in partitions})

    def add(self, partition: str, rows: Iterable[LedgerRow], read_to: str | None) -> None:
        """What was read of a partition, down to `read_to`; None is its end."""
        known = self._partitions[partition]
        if read_to is None:
            known.ended = True
        else:
            known.read_to = read_to
        for row in rows:
            self._rows[row.request_id] = row

    def to_read(self, wanted: int) -> list[tuple[str, str | None]]:
        """The partitions, each with where to read on, that stand before the newest `wanted` rows."""
        found = sorted(self._rows, reverse=True)
        enough = found[wanted - 1] if len(found) >= wanted else None
        return [
            (key, known.read_to)
            for key, known in self._partitions.items()
            if not known.ended and (enough is None or known.read_to is None or known.read_to > enough)
        ]

    @property
    def ended(self) -> bool:
        """Whether all of it is read."""
        return all(known.ended for known in self._partitions.values())

    @property
    def known_to(self) -> str | None:
        """Whatever came after this request is known; None where nothing is yet, or all is."""
        open_at = [known.read_to for known in self._partitions.values() if not known.ended]
        if any(read_to is None for read_to in open_at):
            return None
        return max((read_to for read_to in open_at if read_to is not None), default=None)

    def ready(self) -> list[LedgerRow]:
        """The rows before which none can come any more, newest first."""
        if self.ended:
            newest_first = sorted(self._rows, reverse=True)
        elif (known_to := self.known_to) is None:
            return []
        else:
            newest_first = sorted((id_ for id_ in self._rows if id_ >= known_to), reverse=True)
        return [self._rows[id_] for id_ in newest_first]
