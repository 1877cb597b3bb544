"""The history in S3, over the wire: written, listed, read by others, read back."""

import asyncio
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow.dataset as ds
import pyarrow.fs as pafs
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
from evalworker.stores.faults import StoreUnavailable
from evalworker.stores.history import HistoryRow, HistoryWriter
from evalworker.stores.history_reader import read_events
from evalworker.stores.history_rows import open_rows
from evalworker.stores.objects import Objects
from evalworker.stores.results import Results
from harness.eval_stores import results_at
from llmplatform.samples import SampleEvent
from sandbox.emulator import CREDENTIALS, REGION, Emulator, sandbox_session

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = EVENT_AT.date()


async def keys_in(s3: Any, bucket: str) -> list[str]:
    listed = await s3.list_objects_v2(Bucket=bucket)
    return [entry["Key"] for entry in listed.get("Contents", ())]


async def events(objects: Objects, first: date = DAY, last: date = DAY, **only: Any) -> list[SampleEvent]:
    return [event async for event in read_events(objects, first, last, **only)]


async def everything(objects: Objects) -> str:
    """All that is in any column of any file, and the files' names."""
    found = ""
    async for one in objects.list(""):
        stored = await objects.get(one.key)
        assert stored is not None
        file = open_rows(stored.data)
        assert file is not None
        found += f"{one.key}{file.schema_arrow}{file.read().to_pylist()}"
    return found


async def test_rows_are_read_back_as_they_were(objects: Objects) -> None:
    rows = [make_row(1), make_row(2), make_sealed_row(3)]
    await HistoryWriter(objects).write(rows)
    assert await events(objects) == [row.event for row in rows]


async def test_a_batch_that_comes_again_is_the_same_file_again(
    objects: Objects, s3: Any, bucket: str
) -> None:
    writer = HistoryWriter(objects)
    await writer.write([make_row(1), make_row(2)])
    await writer.write([make_row(2), make_row(1)])
    assert len(await keys_in(s3, bucket)) == 1


async def test_no_rows_are_no_file(objects: Objects, s3: Any, bucket: str) -> None:
    await HistoryWriter(objects).write([])
    assert await keys_in(s3, bucket) == []


async def test_rows_lie_by_day_tenant_and_model(objects: Objects, s3: Any, bucket: str) -> None:
    midnight = datetime(2026, 11, 24, tzinfo=UTC)
    rows = [
        make_row(1, completed_at=midnight - timedelta(microseconds=1)),
        make_row(2, completed_at=midnight),
        make_row(3, completed_at=midnight, tenant_id="globex", model_id="large"),
    ]
    await HistoryWriter(objects).write(rows)
    assert [re.sub(r"[^/]+$", "", key) for key in await keys_in(s3, bucket)] == [
        "history/date=2026-11-23/tenant=acme/model=vendor%2Fsmall%3A0/",
        "history/date=2026-11-24/tenant=acme/model=vendor%2Fsmall%3A0/",
        "history/date=2026-11-24/tenant=globex/model=large/",
    ]
    assert await events(objects, DAY, DAY) == [rows[0].event]
    assert await events(objects, DAY, midnight.date()) == [row.event for row in rows]
    assert await events(objects, DAY, midnight.date(), tenant_id="globex") == [rows[2].event]


async def test_a_request_in_two_files_is_read_once(objects: Objects) -> None:
    writer = HistoryWriter(objects)
    await writer.write([make_row(1), make_row(2)])
    await writer.write([make_row(2), make_row(3)])
    assert await events(objects) == [make_row(number).event for number in (1, 2, 3)]


async def test_pyarrow_reads_the_whole_as_one_dataset(aws: Emulator, objects: Objects, bucket: str) -> None:
    await HistoryWriter(objects).write([make_row(1), make_row(2), make_sealed_row(3)])

    def read() -> list[dict[str, Any]]:
        s3 = pafs.S3FileSystem(
            endpoint_override=aws.url,
            access_key=CREDENTIALS.access_key,
            secret_key=CREDENTIALS.secret_key,
            region=REGION,
        )
        history = ds.dataset(f"{bucket}/history", filesystem=s3, partitioning="hive")
        table = history.to_table(
            columns=["date", "tenant", "model", "request_id", "score_relevance"],
            filter=ds.field("tenant") == "acme",
        )
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    assert await asyncio.to_thread(read) == [
        {
            "date": "2026-11-23",
            "tenant": "acme",
            "model": "vendor/small:0",
            "request_id": make_event(number).request_id,
            "score_relevance": 5,
        }
        for number in (1, 2)
    ]


async def test_a_tenants_own_key_is_the_objects_key(objects: Objects, s3: Any, bucket: str) -> None:
    await HistoryWriter(objects).write([make_sealed_row(1), make_row(2)])
    open_key, sealed_key = await keys_in(s3, bucket)
    sealed = await s3.head_object(Bucket=bucket, Key=sealed_key)
    assert (sealed["ServerSideEncryption"], sealed["SSEKMSKeyId"]) == ("aws:kms", TENANT_KEY)
    assert "SSEKMSKeyId" not in await s3.head_object(Bucket=bucket, Key=open_key)


async def test_no_word_of_a_sealed_or_withheld_sample_is_in_any_object(
    objects: Objects,
) -> None:
    withheld = make_event(2, tenant_id="hashed", content_mode="hash_only", content_withheld="hash_only")
    # A sample from before the tenant had its key, and a result from after.
    late = HistoryRow(make_event(3, tenant_id="sealed"), make_sealed_row(3).result)
    rows = [make_sealed_row(1), HistoryRow(withheld, make_result(withheld)), late]
    await HistoryWriter(objects).write(rows)
    assert CANARY not in await everything(objects)
    assert not [event for event in await events(objects) if event.prompt or event.completion]
    await HistoryWriter(objects).write([make_row(4)])
    assert CANARY in await everything(objects)  # it would have been found


class ClientOfALostKey:
    """A client whose S3 may not use one KMS key, or may write nothing at all."""

    def __init__(self, s3: Any, code: str, *, only_under_a_key: bool) -> None:
        self._s3 = s3
        self._code = code
        self._only_under_a_key = only_under_a_key

    async def put_object(self, **request: Any) -> Any:
        if "SSEKMSKeyId" in request or not self._only_under_a_key:
            raise ClientError({"Error": {"Code": self._code}}, "PutObject")
        return await self._s3.put_object(**request)


@pytest.mark.parametrize("code", ["AccessDenied", "KMS.DisabledException", "KMS.KMSInvalidStateException"])
async def test_a_tenant_whose_key_is_gone_keeps_its_figures_and_stops_nobody(
    objects: Objects, s3: Any, bucket: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    lost = Objects(ClientOfALostKey(s3, code, only_under_a_key=True), bucket)  # type: ignore[arg-type]  # the part of it that is used
    await HistoryWriter(lost).write([make_sealed_row(1), make_row(2)])
    clear, sealed = await events(objects)
    assert clear == make_row(2).event
    assert (sealed.enc, sealed.content_withheld) == (None, "key_unavailable")
    assert "history without content" in caplog.text


async def test_a_kms_that_is_overloaded_costs_no_content(objects: Objects, s3: Any, bucket: str) -> None:
    busy = Objects(ClientOfALostKey(s3, "KMS.ThrottlingException", only_under_a_key=True), bucket)  # type: ignore[arg-type]  # likewise
    with pytest.raises(StoreUnavailable):
        await HistoryWriter(busy).write([make_sealed_row(1)])
    assert not await events(objects)


async def test_being_denied_the_bucket_is_no_lost_key(s3: Any, bucket: str) -> None:
    denied = Objects(ClientOfALostKey(s3, "AccessDenied", only_under_a_key=False), bucket)  # type: ignore[arg-type]  # likewise
    with pytest.raises(StoreUnavailable):
        await HistoryWriter(denied).write([make_sealed_row(1)])
    with pytest.raises(StoreUnavailable):
        await HistoryWriter(denied).write([make_row(1)])


async def test_a_file_that_cannot_be_written_does_not_keep_the_others_away(
    objects: Objects, s3: Any, bucket: str
) -> None:
    class OneDenied:
        async def put_object(self, **request: Any) -> Any:
            if "tenant=acme" in request["Key"]:
                raise ClientError({"Error": {"Code": "SlowDown"}}, "PutObject")
            return await s3.put_object(**request)

    writer = HistoryWriter(Objects(OneDenied(), bucket))  # type: ignore[arg-type]  # the part of it that is used
    with pytest.raises(StoreUnavailable, match="SlowDown"):
        await writer.write([make_row(1), make_sealed_row(2)])
    assert [event.request_id for event in await events(objects)] == [make_event(2).request_id]


async def test_files_of_another_schema_are_left_out(
    objects: Objects, caplog: pytest.LogCaptureFixture
) -> None:
    await HistoryWriter(objects).write([make_row(1)])
    await objects.put(f"{make_row(1).folder}other.parquet", b"PAR1 of tomorrow", content_type="text/plain")
    assert await events(objects) == [make_row(1).event]
    assert "another schema" in caplog.text


async def test_a_folder_that_is_compacted_while_it_is_read_is_read_whole(
    objects: Objects, s3: Any, bucket: str
) -> None:
    writer = HistoryWriter(objects)
    for number in (1, 2, 3):
        await writer.write([make_row(number)])
    _, *unread = await keys_in(s3, bucket)
    reading = read_events(objects, DAY, DAY)
    seen = [await anext(reading)]
    await writer.write([make_row(number) for number in (1, 2, 3)])  # as compaction does
    await objects.delete(unread)
    seen += [event async for event in reading]
    assert sorted(event.request_id for event in seen) == [make_event(n).request_id for n in (1, 2, 3)]


async def test_after_a_crash_between_the_stores_the_history_has_what_the_table_has(
    results: Results, objects: Objects
) -> None:
    row = make_row(1)
    await results.put(row.result)
    # The worker dies here; its successor judges again, or finds the result.
    again = make_result(row.event, judged_at=row.result.judged_at + timedelta(seconds=30), scores={})
    stored = await results.put(again)
    await HistoryWriter(objects).write([HistoryRow(row.event, stored)])
    await HistoryWriter(objects).write([row])
    assert stored == row.result
    assert len([one async for one in objects.list("history/")]) == 1


async def test_an_s3_that_is_down_is_unavailable_and_takes_the_rows_when_it_is_back(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    aws = Emulator(tmp_path_factory.mktemp("state"))
    await aws.start()
    async with sandbox_session().client("s3", endpoint_url=aws.url) as s3, results_at(aws.url) as results:
        objects = Objects(s3, "history")
        writer = HistoryWriter(objects)
        await aws.kill()
        with pytest.raises(StoreUnavailable):
            await writer.write([make_row(1)])
        with pytest.raises(StoreUnavailable):
            await events(objects)
        with pytest.raises(StoreUnavailable):
            await results.put(make_result())
        await aws.start()
        await s3.create_bucket(Bucket="history")
        await writer.write([make_row(1)])
        assert await events(objects) == [make_row(1).event]
    await aws.stop()
