"""Records that cannot be evaluated: what is known of each, and where to read it again, in S3.

Their bytes are not stored. A record that cannot be read belongs to no tenant whose policy would allow it, and
may hold anything; the stream itself keeps it for a week, under its own key, at the place that is noted here.
What a note holds, and where it lies, is in `llmplatform.eval_parked`.
"""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from hashlib import sha256

from evalworker.records import StreamRecord
from evalworker.stores.objects import Objects
from llmplatform.eval_parked import (
    SCHEMA_VERSION,
    ParkedRecord,
    decode_parked,
    encode_parked,
    parked_folder,
    parked_key,
)


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
        await self._objects.put(parked_key(note), encode_parked(note), content_type="application/json")

    async def list(self, first: date, last: date) -> AsyncIterator[ParkedRecord]:
        """What was put aside of the records that arrived on these days (UTC), both included.

        Raises StoreUnavailable, and TelemetryFault for what is no such note.
        """
        for offset in range((last - first).days + 1):
            async for listed in self._objects.list(parked_folder(first + timedelta(days=offset))):
                stored = await self._objects.get(listed.key)
                if stored is not None:
                    yield decode_parked(stored.data)
