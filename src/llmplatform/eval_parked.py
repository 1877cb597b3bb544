"""Notes of records that cannot be evaluated: what one holds, and where it lies in the bucket of the history.

    parked/date={day that the record arrived, UTC}/reason={reason}/{shard}-{sequence number}.json

Who writes them is `evalworker.stores.parked`; who counts them needs the keys alone. Pure.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final
from urllib.parse import quote, unquote

import msgspec

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


def parked_folder(day: date) -> str:
    """Where the records that arrived on a day are noted."""
    return f"{PREFIX}date={day.isoformat()}/"


def parked_key(record: ParkedRecord) -> str:
    """Where a record is noted; one that comes again is noted in the same place."""
    folder = parked_folder(record.arrived_at.astimezone(UTC).date())
    name = f"{quote(record.shard_id, safe='')}-{quote(record.sequence_number, safe='')}.json"
    return f"{folder}reason={quote(record.reason, safe='')}/{name}"


def parked_reason(key: str) -> str | None:
    """Why the record with this key was put aside; None for a key of something else."""
    _, _, rest = key.removeprefix(PREFIX).partition("/")
    name, _, file = rest.partition("/")
    return unquote(name.removeprefix("reason=")) if file and name.startswith("reason=") else None


def encode_parked(record: ParkedRecord) -> bytes:
    """The note of a record."""
    return _ENCODER.encode(record)


def decode_parked(data: bytes) -> ParkedRecord:
    """The record that a note tells of. Raises TelemetryFault."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise TelemetryFault("not the note of a parked record") from None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(ParkedRecord)
