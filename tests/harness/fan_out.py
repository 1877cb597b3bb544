"""Enhanced fan-out before `kinesis-local`, which pushes records and never says that a shard has ended.

Held to SubscribeToShard of the Kinesis Data Streams API reference (2013-12-02): an event at least every five
seconds, `ContinuationSequenceNumber` to go on from, at a shard's end an event without one that names the
children, one subscription a consumer and shard, and five minutes of it at most; here fewer, since what a
consumer does then is the point. All else passes through.
"""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from harness.kinesis import KinesisLocal
from sandbox.eventstream import event_frame

SUBSCRIPTION_S: Final = 20.0
HEARTBEAT_S: Final = 2.0
READ_EVERY_S: Final = 0.2
AT_MOST: Final = 100
_SUBSCRIBE: Final = "Kinesis_20131202.SubscribeToShard"
_JSON: Final = "application/x-amz-json-1.1"


@dataclass
class FanOut:
    """The way to a Kinesis whose consumers are pushed to: `url`."""

    kinesis: KinesisLocal
    url: str = ""
    subscriptions: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    """Consumer, shard and starting position of each, in order."""
    _session: ClientSession | None = None
    _live: dict[tuple[str, str], object] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one call."""
        body = await request.read()
        if request.headers.get("X-Amz-Target") == _SUBSCRIBE:
            return await self._subscribe(request, json.loads(body))
        if self._session is None:
            raise RuntimeError("the session is not open")
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        async with self._session.post(self.kinesis.url, data=body, headers=headers) as passed:
            told = {"Content-Type": passed.headers.get("Content-Type", _JSON)}
            return web.Response(status=passed.status, body=await passed.read(), headers=told)

    async def _subscribe(self, request: web.Request, asked: Mapping[str, Any]) -> web.StreamResponse:
        consumer, shard_id = str(asked["ConsumerARN"]), str(asked["ShardId"])
        self.subscriptions.append((consumer, shard_id, asked["StartingPosition"]))
        mine = self._live[consumer, shard_id] = object()
        response = web.StreamResponse(headers={"Content-Type": "application/vnd.amazon.eventstream"})
        await response.prepare(request)
        await response.write(_event("initial-response", {}))
        ends_at = time.monotonic() + SUBSCRIPTION_S
        try:
            async for event in self._events(
                consumer.partition("/consumer/")[0], shard_id, asked["StartingPosition"]
            ):
                if self._live[consumer, shard_id] is not mine or time.monotonic() > ends_at:
                    break
                await response.write(_event("SubscribeToShardEvent", event))
        except ConnectionError:  # the subscriber has gone
            return response
        await response.write_eof()
        return response

    async def _events(
        self, stream_arn: str, shard_id: str, start: Mapping[str, Any]
    ) -> AsyncIterator[dict[str, Any]]:
        """A shard's events from a position on, until its end."""
        kinesis = self.kinesis.client
        stream = stream_arn.rpartition("/")[2]
        position = {"StartingSequenceNumber": start["SequenceNumber"]} if "SequenceNumber" in start else {}
        iterator: str | None = kinesis.get_shard_iterator(
            StreamName=stream, ShardId=shard_id, ShardIteratorType=start["Type"], **position
        )["ShardIterator"]
        going_on_from, last_event = start.get("SequenceNumber", "0"), 0.0
        while iterator is not None:
            page = await asyncio.to_thread(kinesis.get_records, ShardIterator=iterator, Limit=AT_MOST)
            iterator = page.get("NextShardIterator")
            records = [_record(record) for record in page["Records"]]
            if records:
                going_on_from = records[-1]["SequenceNumber"]
            behind = page["MillisBehindLatest"]
            if iterator is None:
                children = page.get("ChildShards", [])
                yield {"Records": records, "MillisBehindLatest": behind, "ChildShards": children}
            elif records or time.monotonic() - last_event > HEARTBEAT_S:
                last_event = time.monotonic()
                yield {
                    "Records": records,
                    "MillisBehindLatest": behind,
                    "ContinuationSequenceNumber": going_on_from,
                }
            await asyncio.sleep(READ_EVERY_S)


@asynccontextmanager
async def fanned_out(kinesis: KinesisLocal) -> AsyncIterator[FanOut]:
    """Stand before a Kinesis until the block ends."""
    fan_out = FanOut(kinesis)
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/", fan_out.answer)
    async with ClientSession() as session, TestServer(app) as server:
        fan_out._session = session
        fan_out.url = str(server.make_url("/")).rstrip("/")
        yield fan_out


def _record(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "SequenceNumber": record["SequenceNumber"],
        "ApproximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
        "Data": base64.b64encode(record["Data"]).decode(),
        "PartitionKey": record["PartitionKey"],
    }


def _event(name: str, document: Mapping[str, Any]) -> bytes:
    return event_frame(name, json.dumps(document).encode(), content_type=_JSON)
