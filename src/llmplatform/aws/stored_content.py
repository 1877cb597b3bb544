"""What is stored of one tenant's content, wherever that is: found, counted, deleted, and sampled for a proof.

Content is in `eval-results` (attributes `content` in the clear, `enc` under a key), in the history's objects,
on the stream and, for who opted in, in the content log; the last two can only age out. The notes of parked
records hold none. Nothing here returns or logs what it finds in the clear.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from llmplatform.aws.refusals import error_code
from llmplatform.aws.tables import CONTENT_LOGS, EVAL_RESULTS, EVAL_STREAM
from llmplatform.errors import TelemetryFault
from llmplatform.ids import TenantId
from llmplatform.samples import Envelope, decode_sample

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_kinesis import KinesisClient
    from types_aiobotocore_logs import CloudWatchLogsClient
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import ObjectIdentifierTypeDef

HISTORY_PREFIX: Final = "history/"
MAX_PROOFS: Final = 100
"""Ciphertexts taken from one store."""
MAX_READS_PER_SHARD: Final = 40
# A shard gives five reads a second to all of its readers together, and the worker is one.
READ_PAUSE_S: Final = 0.3
_UPDATES_AT_ONCE: Final = 16
_VERSIONS_PER_DELETE: Final = 1_000  # the most that DeleteObjects takes


@dataclass(frozen=True, slots=True)
class Sealed:
    """A stored ciphertext, and what it says it is."""

    request_id: str
    kms_key: str
    ciphertext: bytes = field(repr=False)


@dataclass(slots=True)
class OnStream:
    """What the stream still holds of a tenant, as far as was looked."""

    looked_at: int = 0
    """Records of whoever."""
    to_the_end: bool = True
    sealed: list[Sealed] = field(default_factory=list)
    under_key: int = 0
    readable: int = 0
    """In the clear, or under another key."""
    newest_readable_at: datetime | None = None


class StoredContent:
    """One tenant's content in every store, through open clients."""

    def __init__(
        self,
        tenant: TenantId,
        *,
        dynamodb: "DynamoDBClient",
        s3: "S3Client",
        kinesis: "KinesisClient",
        logs: "CloudWatchLogsClient",
        bucket: str,
    ) -> None:
        self._tenant = tenant
        self._dynamodb = dynamodb
        self._s3 = s3
        self._kinesis = kinesis
        self._logs = logs
        self._bucket = bucket

    # -- eval-results

    async def sealed_results(self, kms_key: str) -> list[Sealed]:
        """Ciphertexts of results under one key, at most `MAX_PROOFS`."""
        found: list[Sealed] = []
        asked = "attribute_exists(enc) AND kms_key = :key"
        async for item in self._results(asked, {":key": {"S": kms_key}}, "request_id, kms_key, enc"):
            found.append(Sealed(item["request_id"]["S"], item["kms_key"]["S"], bytes(item["enc"]["B"])))
            if len(found) == MAX_PROOFS:
                break
        return found

    async def count_results(self, kms_key: str | None) -> tuple[int, int]:
        """How many results hold content under the key, and how many hold any that is not."""
        under = 0
        if kms_key is not None:
            asked = "attribute_exists(enc) AND kms_key = :key"
            under = sum([1 async for _ in self._results(asked, {":key": {"S": kms_key}}, "request_id")])
        return under, sum([1 async for _ in self._readable_results(kms_key)])

    async def clear_results(self, kms_key: str | None) -> int:
        """Take all content that is not under the key from its results, and tell from how many."""
        cleared = 0
        batch: list[dict[str, Any]] = []
        async for item in self._readable_results(kms_key):
            batch.append(item)
            if len(batch) == _UPDATES_AT_ONCE:
                cleared += await self._clear(batch)
                batch = []
        return cleared + await self._clear(batch)

    async def _clear(self, items: list[dict[str, Any]]) -> int:
        sort_key = EVAL_RESULTS.sort_key.name
        updates = (
            self._dynamodb.update_item(
                TableName=EVAL_RESULTS.name,
                Key={EVAL_RESULTS.partition_key.name: {"S": self._tenant}, sort_key: item[sort_key]},
                UpdateExpression="REMOVE content, enc, kms_key",
                ConditionExpression="attribute_exists(request_id)",
            )
            for item in items
        )
        answers = await asyncio.gather(*updates, return_exceptions=True)
        for answer in answers:
            # Gone in the meantime: its time to live ended.
            if isinstance(answer, BaseException) and error_code(answer) != "ConditionalCheckFailedException":
                raise answer
        return sum(not isinstance(answer, BaseException) for answer in answers)

    def _readable_results(self, kms_key: str | None) -> AsyncIterator[dict[str, Any]]:
        """Results with content in the clear, or under another key than the given one."""
        if kms_key is None:
            asked, values = "attribute_exists(content) OR attribute_exists(enc)", {}
        else:
            asked = "attribute_exists(content) OR (attribute_exists(enc) AND kms_key <> :key)"
            values = {":key": {"S": kms_key}}
        return self._results(asked, values, EVAL_RESULTS.sort_key.name)

    async def _results(
        self, asked: str, values: dict[str, Any], projected: str
    ) -> AsyncIterator[dict[str, Any]]:
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=EVAL_RESULTS.name,
            KeyConditionExpression=f"{EVAL_RESULTS.partition_key.name} = :tenant",
            FilterExpression=asked,
            ProjectionExpression=projected,
            ExpressionAttributeValues={":tenant": {"S": self._tenant}, **values},
            ConsistentRead=True,
        )
        async for page in pages:
            for item in page["Items"]:
                yield item

    # -- the history's bucket

    async def count_history(self) -> int:
        """Versions of the tenant's objects."""
        return sum([1 async for _ in self._history()])

    async def delete_history(self) -> int:
        """Delete all of the tenant's objects in all versions, and tell how many versions there were."""
        return await self._delete(self._history())

    async def _history(self) -> "AsyncIterator[ObjectIdentifierTypeDef]":
        # The listing of versions: a day of which only deleted objects are left is in no other.
        pages = self._s3.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=f"{HISTORY_PREFIX}date=", Delimiter="/"
        )
        days = {
            one["Prefix"] async for page in pages for one in page.get("CommonPrefixes", ()) if "Prefix" in one
        }
        for day in sorted(days):
            own = self._s3.get_paginator("list_object_versions").paginate(
                Bucket=self._bucket, Prefix=f"{day}tenant={self._tenant}/"
            )
            async for page in own:
                for version in page.get("Versions", ()):
                    yield {"Key": version["Key"], "VersionId": version["VersionId"]}
                for marker in page.get("DeleteMarkers", ()):
                    yield {"Key": marker["Key"], "VersionId": marker["VersionId"]}

    async def _delete(self, versions: "AsyncIterator[ObjectIdentifierTypeDef]") -> int:
        found = [version async for version in versions]
        for start in range(0, len(found), _VERSIONS_PER_DELETE):
            answer = await self._s3.delete_objects(
                Bucket=self._bucket,
                Delete={"Objects": found[start : start + _VERSIONS_PER_DELETE], "Quiet": True},
            )
            if answer.get("Errors"):
                raise TelemetryFault(f"S3 kept {len(answer['Errors'])} object versions")
        return len(found)

    # -- what only ages out

    async def on_stream(self, kms_key: str | None) -> OnStream:
        """What the stream holds of the tenant: from the oldest record on, so far as reading is polite."""
        seen = OnStream()
        shards = self._kinesis.get_paginator("list_shards").paginate(StreamName=EVAL_STREAM.name)
        async with asyncio.TaskGroup() as tasks:
            async for page in shards:
                for shard in page["Shards"]:
                    tasks.create_task(self._read_shard(shard["ShardId"], kms_key, seen))
        return seen

    async def _read_shard(self, shard_id: str, kms_key: str | None, seen: OnStream) -> None:
        opened = await self._kinesis.get_shard_iterator(
            StreamName=EVAL_STREAM.name, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
        )
        position: str | None = opened["ShardIterator"]
        for number in range(MAX_READS_PER_SHARD):
            if position is None:
                return
            if number:
                await asyncio.sleep(READ_PAUSE_S)
            answer = await self._kinesis.get_records(ShardIterator=position)
            for record in answer["Records"]:
                seen.looked_at += 1
                self._look_at(record["Data"], record["ApproximateArrivalTimestamp"], kms_key, seen)
            if answer.get("MillisBehindLatest") == 0:
                return
            position = answer.get("NextShardIterator")
        seen.to_the_end = False

    def _look_at(self, data: bytes, arrived_at: datetime, kms_key: str | None, seen: OnStream) -> None:
        try:
            event = decode_sample(data)
        except TelemetryFault:
            return
        if event.tenant_id != self._tenant:
            return
        if event.enc is not None and event.enc.kms_key == kms_key:
            seen.under_key += 1
            if len(seen.sealed) < MAX_PROOFS:
                seen.sealed.append(_sealed(event.request_id, event.enc))
        elif not (event.enc is None and event.prompt is None and event.completion is None):
            seen.readable += 1
            seen.newest_readable_at = max(seen.newest_readable_at or arrived_at, arrived_at)

    async def in_content_log(self) -> int:
        """Events of the tenant in the content log."""
        pages = self._logs.get_paginator("filter_log_events").paginate(
            logGroupName=CONTENT_LOGS.name, filterPattern=f'{{ $.tenant_id = "{self._tenant}" }}'
        )
        # Looked at again: a stand-in for CloudWatch need not know patterns.
        return sum(
            [self._is_ours(event["message"]) async for page in pages for event in page["events"]], start=0
        )

    def _is_ours(self, message: str) -> bool:
        try:
            document = json.loads(message)
        except ValueError:
            return False
        return isinstance(document, dict) and document.get("tenant_id") == self._tenant


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _sealed(request_id: str, envelope: Envelope) -> Sealed:
    return Sealed(request_id, envelope.kms_key, _from_base64(envelope.ciphertext))
