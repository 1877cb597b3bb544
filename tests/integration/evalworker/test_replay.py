"""A replay of the stream, after it was split: what lies in shards that are closed is read too."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from corpus.eval_results import make_event
from evalworker.replay import Scope, from_stream
from harness.kinesis import KinesisLocal
from sandbox.emulator import sandbox_session

STREAM = "to-replay"


async def read(kinesis: KinesisLocal, scope: Scope) -> tuple[list[str], int]:
    """The request ids in the scope, and how many records were looked at."""
    looked: list[int] = []
    async with sandbox_session().client("kinesis", endpoint_url=kinesis.url) as client:
        now = datetime.now(UTC)
        found = from_stream(client, scope, now=now, stream=STREAM, pause_s=0.05, read=looked.append)
        numbers = [msgspec.json.decode(one.data).get("request_id") for one in [each async for each in found]]
    return numbers, sum(looked)


async def test_open_and_closed_shards_are_read_from_the_time_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalworker.replay.RECORDS_PER_READ", 2)
    now = datetime.now(UTC)
    async with KinesisLocal(tmp_path) as kinesis:
        await kinesis.create_stream(STREAM, 1)

        def put(*numbers: int, at: float) -> None:
            for number in numbers:
                event = make_event(number, completed_at=now - timedelta(minutes=number))
                document = msgspec.to_builtins(event)
                kinesis.put(STREAM, [{**document, "id": number}], at=at)

        put(1, 2, at=0.25)
        (parent,) = kinesis.open_shards(STREAM)
        await kinesis.split(STREAM, parent)
        put(3, at=0.25)
        put(4, 90, at=0.75)
        wanted = {make_event(number).request_id for number in (1, 2, 3, 4)}
        hour = Scope(now - timedelta(hours=1), now)
        found, looked_at = await read(kinesis, hour)
        assert set(found) == wanted
        assert len(found) == 4
        assert looked_at == 5
        assert await read(kinesis, Scope(now - timedelta(hours=1), now, "nobody")) == ([], 5)
        # Nothing arrived after the moment that reading begins at, a margin for clocks before the start.
        await asyncio.sleep(1.1)
        ahead = datetime.now(UTC) + timedelta(minutes=5)
        assert await read(kinesis, Scope(ahead, ahead + timedelta(hours=1))) == ([], 0)


async def test_a_stream_that_goes_on_flowing_is_read_up_to_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalworker.replay.RECORDS_PER_READ", 2)
    async with KinesisLocal(tmp_path) as kinesis:
        await kinesis.create_stream(STREAM, 1)

        flows, enough = asyncio.Event(), asyncio.Event()

        async def flow() -> None:
            while not enough.is_set():
                await asyncio.to_thread(kinesis.put, STREAM, [{"id": 1}, {"id": 2}, {"id": 3}], at=0.5)
                flows.set()

        flowing = asyncio.create_task(flow())
        try:
            async with asyncio.timeout(120):
                await flows.wait()
                now = datetime.now(UTC)
                _, looked_at = await read(kinesis, Scope(now - timedelta(hours=1), now))
            assert looked_at
        finally:
            enough.set()
            await flowing
