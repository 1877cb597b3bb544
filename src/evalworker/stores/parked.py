"""Records that cannot be evaluated: what is known of each, and where to read it again, in S3.

Their bytes are not stored. A record that cannot be read belongs to no tenant whose policy would allow it, and
may hold anything; the stream itself keeps it for a week, under its own key, at the place that is noted here.
"""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Final
from urllib.parse import quote

import msgspec

from evalworker.records import StreamRecord
from evalworker.stores.objects import Objects
from llmplatform.aws.tables import EVAL_STREAM
from llmplatform.errors import TelemetryFault

PREFIX: Final = "parked/"
SCHEMA_VERSION: Final = 1


class ParkedRecord(msgspec.Struct, frozen=True):
    """What is kept of a record that was put aside."""

    schema_version: int
    reason: str
    shard_id: str
    sequence_number: str
    arrived_at: datetime
    size_bytes: int
    sha256: str
    """Of its bytes, in hex: whether what is read again is the same."""

    @property
    def readable_until(self) -> datetime:
        """How long the stream has it."""
        return self.arrived_at + timedelta(hours=EVAL_STREAM.retention_h)


class ParkedRecords:
    """Puts records aside, and lists them."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def put(self, record: StreamRecord, reason: str) -> None:
        """Note a record; one that comes again is noted in the same place. Raises StoreUnavailable."""
        note = ParkedRecord(
            schema_version=SCHEMA_VERSION,
            reason=reason,
            shard_id=record.shard_id,
            sequence_number=record.sequence_number,
            arrived_at=record.arrived_at,
            size_bytes=len(record.data),
            sha256=sha256(record.data).hexdigest(),
        )
        day = record.arrived_at.astimezone(UTC).date()
        name = f"{quote(record.shard_id, safe='')}-{quote(record.sequence_number, safe='')}.json"
        key = f"{_folder(day)}reason={quote(reason, safe='')}/{name}"
        await self._objects.put(key, _ENCODER.encode(note), content_type="application/json")

    async def list(self, first: date, last: date) -> AsyncIterator[ParkedRecord]:
        """What was put aside of the records that arrived on these days (UTC), both included.

        Raises StoreUnavailable, and TelemetryFault for what is no such note.
        """
        for offset in range((last - first).days + 1):
            async for listed in self._objects.list(_folder(first + timedelta(days=offset))):
                stored = await self._objects.get(listed.key)
                if stored is not None:
                    yield _decode(stored.data)


def _folder(day: date) -> str:
    return f"{PREFIX}date={day.isoformat()}/"


def _decode(data: bytes) -> ParkedRecord:
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise TelemetryFault("not the note of a parked record") from None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(ParkedRecord)
