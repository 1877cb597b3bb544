"""A worker process for tests: the Kinesis feed before a processor that does what its records say.

    {"id": "7", "again": 2, "raises": 1, "until_stopped": true, "slow_s": 3, "held_by": "a"}

Brought again twice; the processor raises once; begun only when the worker is told to stop; three seconds
long; unfinished while the file `a` exists.
SIGTERM stops the feed, SIGINT cancels it. It is told by the environment; writes each record that it meets
to WORKER.seen, its figures to WORKER.figures.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from evalworker.feeds.kinesis import KinesisFeed
from evalworker.records import StreamRecord
from llmplatform.process.parent import end_with_stdin


class ScriptedProcessor:
    """Does what the records say."""

    def __init__(self, worker: str, folder: Path, stop: asyncio.Event) -> None:
        self._worker = worker
        self._folder = folder
        self._stop = stop
        self._seen_file = os.open(folder / f"{worker}.seen", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._times: Counter[str] = Counter()

    async def process(self, records: Sequence[StreamRecord]) -> frozenset[str]:
        documents = {record.sequence_number: json.loads(record.data) for record in records}
        for record in records:
            name = documents[record.sequence_number]["id"]
            self._times[name] += 1
            self._note(name, record.shard_id)
        unfinished = {number for number, document in documents.items() if await self._is_unfinished(document)}
        return frozenset(unfinished)

    def give_up(self, records: Sequence[StreamRecord]) -> None:
        for record in records:
            self._note(f"given up {json.loads(record.data)['id']}", record.shard_id)

    async def _is_unfinished(self, document: dict[str, str | float]) -> bool:
        times = self._times[str(document["id"])]
        if times <= float(document.get("raises", 0)):
            raise ValueError("as the record says")
        if document.get("until_stopped"):
            await self._stop.wait()
        await asyncio.sleep(float(document.get("slow_s", 0)))
        held = "held_by" in document and (self._folder / str(document["held_by"])).exists()
        return held or times <= float(document.get("again", 0))

    def _note(self, name: str, shard_id: str) -> None:
        line = {"id": name, "worker": self._worker, "shard_id": shard_id, "at": time.monotonic()}
        os.write(self._seen_file, json.dumps(line).encode() + b"\n")  # at once: we may be killed


async def main() -> None:
    worker, folder = os.environ["FEED_WORKER"], Path(os.environ["FEED_FOLDER"])
    stop = asyncio.Event()
    feed = KinesisFeed(
        ScriptedProcessor(worker, folder, stop),
        stream=os.environ["FEED_STREAM"],
        application_name=os.environ["FEED_APPLICATION"],
        region=os.environ["AWS_REGION"],
        worker_id=worker,
        fan_out="FEED_FAN_OUT" in os.environ,
        max_batch=20,
        idle_ms=200,
        shard_sync_ms=1_000,
        grace_s=float(os.environ.get("FEED_GRACE_S", "2")),
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    end_with_stdin()
    running = asyncio.create_task(feed.run(stop))
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, running.cancel)
    while not running.done():
        fresh = folder / f"{worker}.figures.new"
        fresh.write_text(json.dumps(dataclasses.asdict(feed.figures)))
        fresh.replace(folder / f"{worker}.figures")
        await asyncio.wait({running}, timeout=0.2)
    with contextlib.suppress(asyncio.CancelledError):
        await running


if __name__ == "__main__":
    asyncio.run(main())
