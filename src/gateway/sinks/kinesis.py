"""Puts sample events on the stream: PutRecords in batches, what failed retried alone.

Through an SDK client: at the few samples a second that there are, its cost does not show.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from llmplatform.aws.tables import EVAL_STREAM
from llmplatform.errors import TelemetryFault
from llmplatform.process.batching import BatchingSink, Limits, Receipt

if TYPE_CHECKING:
    from types_aiobotocore_kinesis import KinesisClient
    from types_aiobotocore_kinesis.type_defs import PutRecordsRequestEntryTypeDef

# Limits of PutRecords: 500 records, 5 MiB with partition keys.
MAX_BATCH_ITEMS: Final = 500
MAX_BATCH_BYTES: Final = 5 * 1024 * 1024

STREAM_LIMITS: Final = Limits(
    queued_items=10_000,
    queued_bytes=64 * 1024 * 1024,
    batch_items=MAX_BATCH_ITEMS,
    batch_bytes=MAX_BATCH_BYTES,
    linger_s=0.5,
    attempt_timeout_s=20.0,
)


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One record of a stream."""

    partition_key: str
    data: bytes = field(repr=False)


class KinesisSink(BatchingSink[StreamRecord, StreamRecord]):
    """Takes stream records; `client` is an open one of aioboto3."""

    def __init__(
        self,
        client: "KinesisClient",
        *,
        stream: str = EVAL_STREAM.name,
        limits: Limits = STREAM_LIMITS,
        name: str = "samples",
    ) -> None:
        super().__init__(name, limits)
        self._client = client
        self._stream = stream

    def _encode(self, item: StreamRecord) -> tuple[StreamRecord, int]:
        return item, len(item.data) + len(item.partition_key)

    async def _deliver(self, batch: Sequence[StreamRecord]) -> Receipt[StreamRecord]:
        entries: list[PutRecordsRequestEntryTypeDef] = [
            {"Data": record.data, "PartitionKey": record.partition_key} for record in batch
        ]
        answer = await self._client.put_records(StreamName=self._stream, Records=entries)
        results = answer["Records"]
        if len(results) != len(batch):
            raise TelemetryFault("Kinesis answered for another number of records")
        return Receipt(
            retry=[record for record, result in zip(batch, results, strict=True) if result.get("ErrorCode")]
        )
