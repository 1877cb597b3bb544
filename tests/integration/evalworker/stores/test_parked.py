"""Records put aside: what is known of them, and nothing of what they hold."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from corpus.eval_results import CANARY
from evalworker.records import StreamRecord
from evalworker.stores.objects import Objects
from evalworker.stores.parked import ParkedRecords
from llmplatform.errors import TelemetryFault
from llmplatform.eval_parked import ParkedRecord, parked_key, parked_reason

pytestmark = pytest.mark.asyncio(loop_scope="module")

ARRIVED_AT = datetime(2026, 11, 23, 23, 59, 59, 999_000, tzinfo=UTC)
DAY = ARRIVED_AT.date()


def record(number: int = 1, data: bytes = CANARY.encode(), **fields: Any) -> StreamRecord:
    return StreamRecord(
        "shardId-000000000000", f"4967{number:052d}", **{"arrived_at": ARRIVED_AT, "data": data, **fields}
    )


async def parked(objects: Objects) -> list[ParkedRecord]:
    return [one async for one in ParkedRecords(objects).list(DAY, DAY)]


async def test_a_record_is_noted_with_the_place_to_read_it_again(objects: Objects) -> None:
    await ParkedRecords(objects).put(record(), "undecodable")
    (note,) = await parked(objects)
    assert parked_reason(parked_key(note)) == "undecodable"
    assert note == ParkedRecord(
        schema_version=1,
        reason="undecodable",
        shard_id="shardId-000000000000",
        sequence_number=record().sequence_number,
        arrived_at=ARRIVED_AT,
        size_bytes=len(CANARY),
        sha256=hashlib.sha256(CANARY.encode()).hexdigest(),
    )
    assert note.readable_until == ARRIVED_AT + timedelta(days=7)


async def test_nothing_that_it_holds_is_kept(objects: Objects, s3: Any, bucket: str) -> None:
    await ParkedRecords(objects).put(record(), "undecodable")
    (entry,) = (await s3.list_objects_v2(Bucket=bucket))["Contents"]
    answer = await s3.get_object(Bucket=bucket, Key=entry["Key"])
    assert CANARY.encode() not in await answer["Body"].read()
    assert CANARY not in str(answer) + entry["Key"]


async def test_a_record_that_comes_again_is_noted_once(objects: Objects, s3: Any, bucket: str) -> None:
    for _ in range(2):
        await ParkedRecords(objects).put(record(), "undecodable")
    listed = await s3.list_objects_v2(Bucket=bucket)
    assert [entry["Key"] for entry in listed["Contents"]] == [
        f"parked/date=2026-11-23/reason=undecodable/shardId-000000000000-{record().sequence_number}.json"
    ]


async def test_only_the_days_asked_for_are_listed(objects: Objects) -> None:
    await ParkedRecords(objects).put(record(1), "undecodable")
    await ParkedRecords(objects).put(record(2, arrived_at=ARRIVED_AT + timedelta(seconds=1)), "store_refused")
    assert [note.reason for note in await parked(objects)] == ["undecodable"]
    both = ParkedRecords(objects).list(DAY, DAY + timedelta(days=1))
    assert [note.reason async for note in both] == ["undecodable", "store_refused"]


async def test_a_foreign_object_is_a_fault_that_quotes_nothing(objects: Objects) -> None:
    key = "parked/date=2026-11-23/reason=undecodable/x.json"
    await objects.put(key, f'{{"reason": "{CANARY}"}}'.encode(), content_type="application/json")
    with pytest.raises(TelemetryFault) as caught:
        await parked(objects)
    assert CANARY not in str(caught.value)
