"""CPU cost of storing results, in this process, beside what aioboto3 costs for it; Parquet by file size.

    .venv/bin/python benchmarks/bench_eval_stores.py

DynamoDB is a server in a process of its own that answers at once, so that the client alone is measured. The
history is encoded, read back and compacted in memory; a compaction's memory is the growth of this process.
"""

import asyncio
import multiprocessing
import random
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from corpus.eval_results import make_event, make_result
from evalworker.stores.compaction import _merged, _table_of
from evalworker.stores.history_rows import HistoryRow, encode_rows, events_of, open_rows
from harness.eval_stores import results_at
from llmplatform.aws.tables import EVAL_RESULTS
from llmplatform.evaluations import EvalResult, ResultKey, decode_result, encode_result
from sandbox.emulator import sandbox_session

PUTS = 3_000
READS = 300
KEYS = 100
IN_FLIGHT = 16
WORDS = Path(__file__).read_text().split()


def prose(rng: random.Random, chars: int) -> str:
    """Text about as repetitive as text is."""
    return " ".join(rng.choices(WORDS, k=chars // 7))[:chars]


def row(number: int) -> HistoryRow:
    """A sample as the default policy lets it go: 2,000 characters of prompt and of completion."""
    rng = random.Random(number)
    event = make_event(number, prompt=prose(rng, 2_000), completion=prose(rng, 2_000), contexts=())
    return HistoryRow(event, make_result(event))


def serve(port: Connection, known: bytes) -> None:
    """Answer DynamoDB's calls until killed."""

    async def answer(request: web.BaseRequest) -> web.Response:
        await request.content.read()
        asked_for = request.headers["X-Amz-Target"].endswith("BatchGetItem")
        return web.Response(body=known if asked_for else b"{}", content_type="application/x-amz-json-1.0")

    async def run() -> None:
        runner = web.ServerRunner(web.Server(answer, access_log=None))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


async def cpu_us(work: Callable[[], Awaitable[object]], times: int) -> float:
    """CPU time of this process for one call of many, so many at once."""

    async def some(count: int) -> None:
        for _ in range(count):
            await work()

    await some(20)
    began = time.process_time()
    await asyncio.gather(*(some(times // IN_FLIGHT) for _ in range(IN_FLIGHT)))
    return (time.process_time() - began) / (times // IN_FLIGHT * IN_FLIGHT) * 1e6


async def dynamodb(url: str, stored: list[EvalResult]) -> None:
    """Print what a put and a look-up cost, here and with aioboto3."""
    result = stored[0]
    keys = [ResultKey.of(one.tenant_id, one.event_at, one.request_id, one.judge.identity) for one in stored]
    condition: Any = {
        "TableName": EVAL_RESULTS.name,
        "ConditionExpression": "attribute_not_exists(tenant_id)",
    }
    asked: Any = [{"tenant_id": {"S": key.tenant_id}, "result_key": {"S": key.result_key}} for key in keys]
    async with results_at(url) as ours, sandbox_session().client("dynamodb", endpoint_url=url) as sdk:

        async def sdk_put() -> None:
            await sdk.put_item(Item=encode_result(result), **condition)

        async def sdk_known(at: int = 0) -> None:
            answer = await sdk.batch_get_item(
                RequestItems={EVAL_RESULTS.name: {"Keys": asked[at : at + 25], "ConsistentRead": True}}
            )
            for item in answer["Responses"][EVAL_RESULTS.name]:
                decode_result(item)

        async def sdk_known_all() -> None:
            await asyncio.gather(*(sdk_known(at) for at in range(0, KEYS, 25)))

        for name, work, times in (
            ("put one result, ours", lambda: ours.put(result), PUTS),
            ("put one result, aioboto3", sdk_put, PUTS),
            (f"look up {KEYS} stored results, ours", lambda: ours.known(keys), READS),
            (f"look up {KEYS} stored results, aioboto3", sdk_known_all, READS),
        ):
            print(f"{name:<48}{await cpu_us(work, times):10.0f} µs")


def parquet(rows: list[HistoryRow]) -> None:
    """Print what rows cost by the size of their file."""
    print(f"\n{'rows in a file':<16}{'bytes':>12}{'bytes/row':>12}{'written rows/s':>16}{'read rows/s':>14}")
    for size in (1, 10, 100, 1_000, len(rows)):
        rounds = max(1, min(100, 2_000 // size))
        data = b""
        began = time.process_time()
        for _ in range(rounds):
            data = encode_rows(rows[:size])
        written = time.process_time() - began
        began = time.process_time()
        for _ in range(rounds):
            file = open_rows(data)
            assert file is not None
            assert sum(1 for _ in events_of(file)) == size
        read = time.process_time() - began
        print(
            f"{size:<16,}{len(data):>12,}{len(data) / size:>12,.0f}"
            f"{size * rounds / written:>16,.0f}{size * rounds / read:>14,.0f}"
        )


def compaction(rows: list[HistoryRow], files: int) -> None:
    """Print what it costs to make one file of many."""
    small = [encode_rows(rows[at::files]) for at in range(files)]
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    _, data, count = _merged([table for one in small if (table := _table_of(one)) is not None])
    spent = time.process_time() - began
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1_024
    print(
        f"\n{files:,} files of {count / files:.0f} rows, {sum(map(len, small)) / 1e6:.1f} MB, become one of "
        f"{len(data) / 1e6:.1f} MB: {spent:.1f} s of CPU, {grown_mb:.0f} MB of memory more"
    )


def main() -> None:
    """Print it all."""
    rows = [row(number) for number in range(8_000)]
    stored = [one.result for one in rows[:KEYS]]
    answer = {
        "Responses": {EVAL_RESULTS.name: [encode_result(one) for one in stored[:25]]},
        "UnprocessedKeys": {},
    }
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(theirs, orjson.dumps(answer)), daemon=True
    )
    server.start()
    try:
        asyncio.run(dynamodb(f"http://127.0.0.1:{ours.recv()}", stored))
    finally:
        server.kill()
    parquet(rows)
    compaction(rows[:2_000], 2_000)
    compaction(rows, 800)


if __name__ == "__main__":
    main()
