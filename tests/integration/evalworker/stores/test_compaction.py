"""Compaction over the wire: few large files of many small ones, and no row lost wherever it is cut off."""

import asyncio
import contextlib
import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from corpus.eval_results import (
    CANARY,
    EVENT_AT,
    TENANT_KEY,
    make_event,
    make_result,
    make_row,
    make_sealed_row,
)
from evalworker.stores.compaction import FileSizes, Replaced, compact
from evalworker.stores.history import HistoryRow, HistoryWriter
from evalworker.stores.history_reader import read_events
from evalworker.stores.history_rows import open_rows
from evalworker.stores.objects import ListedObject, Objects
from harness.failing_s3 import Killed, Moment, MortalS3
from llmplatform.evaluations import Judge

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = EVENT_AT.date()
ALL_AGES = datetime(2100, 1, 1, tzinfo=UTC)


async def listed(objects: Objects) -> list[ListedObject]:
    return [one async for one in objects.list("history/")]


async def stored_rows(objects: Objects) -> list[dict[str, Any]]:
    """All rows in all files, as they lie."""
    rows: list[dict[str, Any]] = []
    for one in await listed(objects):
        stored = await objects.get(one.key)
        assert stored is not None
        file = open_rows(stored.data)
        assert file is not None
        rows += file.read().to_pylist()
    return rows


async def compacted(objects: Objects, **options: Any) -> list[Replaced]:
    steps: list[Replaced] = []
    await compact(objects, DAY, DAY, **{"written_before": ALL_AGES, "progress": steps.append, **options})
    return steps


async def written(objects: Objects, *batches: list[HistoryRow]) -> None:
    for batch in batches:
        await HistoryWriter(objects).write(batch)


def numbers_of(rows: list[dict[str, Any]]) -> list[int]:
    return [int(row["request_id"][-12:]) for row in rows]


async def test_small_files_become_one_in_order_of_time(objects: Objects) -> None:
    await written(objects, [make_row(5), make_row(1)], [make_row(3)], [make_row(2), make_row(4)])
    (step,) = await compacted(objects)
    rows = await stored_rows(objects)
    assert numbers_of(rows) == [1, 2, 3, 4, 5]
    assert (step.files, step.rows, step.duplicates) == (3, 5, 0)
    assert [one.size_bytes for one in await listed(objects)] == [step.bytes_after]
    assert [event async for event in read_events(objects, DAY, DAY)] == [
        make_row(n).event for n in range(1, 6)
    ]


async def test_what_is_there_twice_is_there_once(objects: Objects) -> None:
    await written(objects, [make_row(1), make_row(2)], [make_row(2), make_row(3)], [make_row(2)])
    (step,) = await compacted(objects)
    assert numbers_of(await stored_rows(objects)) == [1, 2, 3]
    assert step.duplicates == 2


async def test_of_two_verdicts_the_first_stays(objects: Objects) -> None:
    event = make_event(1)
    late = make_result(event, judged_at=EVENT_AT + timedelta(days=1), scores={"relevance": 1})
    await written(objects, [HistoryRow(event, late)], [make_row(1)])
    await compacted(objects)
    (row,) = await stored_rows(objects)
    assert row["score_relevance"] == 5


async def test_verdicts_of_two_judges_both_stay(objects: Objects) -> None:
    event = make_event(1)
    other = make_result(event, judge=Judge("0000ffff0000ffff", "vendor.other-v1:0", "answer-quality", "2"))
    await written(objects, [make_row(1)], [HistoryRow(event, other)])
    await compacted(objects)
    assert len(await stored_rows(objects)) == 2
    assert [one async for one in read_events(objects, DAY, DAY)] == [event]


async def test_a_row_with_content_outlasts_its_twin_without(objects: Objects) -> None:
    await written(objects, [make_row(1).without_content], [make_row(1)], [make_row(2)])
    await compacted(objects)
    rows = await stored_rows(objects)
    assert CANARY in rows[0]["prompt"]
    assert numbers_of(rows) == [1, 2]


async def test_one_file_alone_and_young_files_stay(objects: Objects) -> None:
    await written(objects, [make_row(1)], [make_row(2, model_id="large")])
    assert await compacted(objects) == []
    await written(objects, [make_row(3)])
    assert await compacted(objects, written_before=EVENT_AT - timedelta(days=1)) == []
    assert len(await compacted(objects)) == 1


async def test_a_second_compaction_finds_nothing_to_do(objects: Objects) -> None:
    await written(objects, [make_row(1)], [make_row(2)])
    await compacted(objects)
    before = await listed(objects)
    assert await compacted(objects) == []
    assert await listed(objects) == before


async def test_files_that_came_late_join_what_is_not_yet_large(objects: Objects) -> None:
    await written(objects, [make_row(1)], [make_row(2)])
    await compacted(objects)
    await written(objects, [make_row(3)])
    await compacted(objects)
    assert len(await listed(objects)) == 1
    assert numbers_of(await stored_rows(objects)) == [1, 2, 3]


@pytest.mark.parametrize(
    "sizes",
    [FileSizes(target_bytes=40_000), FileSizes(decoded_bytes=3_000), FileSizes(files=2)],
    ids=["stored", "decoded", "files"],
)
async def test_no_more_is_taken_together_than_fits(objects: Objects, sizes: FileSizes) -> None:
    await written(objects, *[[make_row(number)] for number in range(8)])
    steps = await compacted(objects, sizes=sizes)
    assert 1 < len(steps) <= 4
    assert all(step.files < 5 for step in steps)
    assert numbers_of(await stored_rows(objects)) == list(range(8))


async def test_a_file_of_full_size_is_not_touched(objects: Objects) -> None:
    await written(objects, [make_row(1)], [make_row(2)])
    assert await compacted(objects, sizes=FileSizes(target_bytes=1_000)) == []


async def test_sealed_files_are_put_together_under_their_key_alone(
    objects: Objects, s3: Any, bucket: str
) -> None:
    other_key = TENANT_KEY.replace("1111", "9999")
    await written(
        objects,
        [make_sealed_row(1)],
        [make_sealed_row(2)],
        [make_sealed_row(3, kms_key=other_key)],
        [make_sealed_row(4, kms_key=other_key)],
        [make_row(5, tenant_id="sealed")],
        [make_row(6, tenant_id="sealed")],
    )
    await compacted(objects)
    keys = Counter()  # type: Counter[str | None]
    for one in await listed(objects):
        head = await s3.head_object(Bucket=bucket, Key=one.key)
        keys[head.get("SSEKMSKeyId")] += 1
    assert keys == {TENANT_KEY: 1, other_key: 1, None: 1}
    sealed = {row["request_id"]: row["enc"] for row in await stored_rows(objects) if row["enc"]}
    assert sealed[make_event(1).request_id] == getattr(make_sealed_row(1).event.enc, "ciphertext", None)
    assert len(sealed) == 4


async def test_a_file_of_another_schema_is_left_as_it_is(objects: Objects) -> None:
    await written(objects, [make_row(1)], [make_row(2)])
    foreign = f"{make_row(1).folder}other.parquet"
    await objects.put(foreign, b"of tomorrow", content_type="text/plain")
    await compacted(objects)
    keys = [one.key for one in await listed(objects)]
    assert foreign in keys
    assert len(keys) == 2


class ClientWithoutAKey:
    """A client whose S3 may not read what lies under one KMS key."""

    def __init__(self, s3: Any, kms_key: str) -> None:
        self._s3 = s3
        self._kms_key = kms_key

    def __getattr__(self, operation: str) -> Any:
        return getattr(self._s3, operation)

    async def get_object(self, **request: Any) -> Any:
        head = await self._s3.head_object(**request)
        if head.get("SSEKMSKeyId") == self._kms_key:
            raise ClientError({"Error": {"Code": "KMS.DisabledException"}}, "GetObject")
        return await self._s3.get_object(**request)


async def test_files_under_a_key_that_is_gone_stay_and_hinder_nobody(
    objects: Objects, s3: Any, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    await written(
        objects,
        [make_sealed_row(1)],
        [make_sealed_row(2)],
        [make_row(3, tenant_id="sealed")],
        [make_row(4, tenant_id="sealed")],
    )
    without_key = Objects(ClientWithoutAKey(s3, TENANT_KEY), bucket)  # type: ignore[arg-type]  # the part of it that is used
    (step,) = await compacted(without_key)
    assert step.files == 2
    assert "left as it is" in caplog.text
    assert sorted(numbers_of(await stored_rows(objects))) == [1, 2, 3, 4]
    read = [event async for event in read_events(without_key, DAY, DAY)]
    assert [event.request_id for event in read] == [make_event(number).request_id for number in (3, 4)]
    assert "left out" in caplog.text


async def test_two_at_once_lose_nothing(objects: Objects) -> None:
    await written(objects, *[[make_row(number)] for number in range(12)])
    some = FileSizes(files=5)
    await asyncio.gather(*(compacted(objects, sizes=sizes) for sizes in (some, some, FileSizes())))
    assert set(numbers_of(await stored_rows(objects))) == set(range(12))
    await compacted(objects)
    assert numbers_of(await stored_rows(objects)) == list(range(12))


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_killed_at_any_call_it_loses_nothing(
    objects: Objects, s3: Any, bucket: str, moment: Moment
) -> None:
    calls: list[str] = []
    for dies_at in itertools.count(1):
        await objects.delete([one.key for one in await listed(objects)])
        await written(objects, [make_row(1), make_row(2)], [make_row(2), make_row(3)], [make_row(4)])
        dying = MortalS3(s3, dies_at, moment)
        with contextlib.suppress(Killed, BaseExceptionGroup):
            await compacted(Objects(dying, bucket))  # type: ignore[arg-type]  # the part of it that is used
        assert set(numbers_of(await stored_rows(objects))) == {1, 2, 3, 4}
        read = [event.request_id async for event in read_events(objects, DAY, DAY)]
        assert sorted(read) == [make_event(number).request_id for number in range(1, 5)]
        await compacted(objects)
        assert numbers_of(await stored_rows(objects)) == [1, 2, 3, 4]
        calls += dying.calls
        if len(dying.calls) < dies_at:
            break
    assert set(calls) == {"list_objects_v2", "get_object", "put_object", "delete_objects"}
