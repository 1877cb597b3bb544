"""CPU cost of everything that leaves a finished request, in microseconds of this process, part by part.

    .venv/bin/python benchmarks/bench_emission.py

The first table is the parts alone; the second is `Emission.emit` with everything on (each trace kept, each
request sampled), then delivered over loopback to receivers in a process of their own.
"""

import asyncio
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.synchronize import Event
from pathlib import Path

import orjson
from aiohttp import web

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from corpus.invocations import content, policy, record
from gateway.emission import Emission, Sinks
from gateway.sinks.kinesis import StreamRecord
from gateway.sinks.spans import SpanSink, spans_of
from llmplatform import sampling
from llmplatform.aws.ledger_sink import LedgerSink
from llmplatform.aws.sigv4 import Credentials
from llmplatform.clock import SystemClock
from llmplatform.emf import encode_invocation
from llmplatform.ledger import encode_item
from llmplatform.process.lines import FileLineSink
from llmplatform.process.tracing import otlp_exporter, process_resource
from llmplatform.samples import encode_sample, prompt_sha256
from llmplatform.sinks import NullSink

ROUNDS = 20_000
REQUESTS = 10_000
SHARE_KEPT = 0.1

RECORD = record(trace_kept="head", sampled=True, sampled_rate=0.05, sample_reason="rate")
POLICY = policy()
CONTENT = content("What is a ledger, and who keeps it? " * 60)
RESOURCE = process_resource("gateway", version="0", instance_id="bench")


def microseconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """CPU time of one call."""
    for _ in range(rounds // 10):
        work()
    began = time.process_time()
    for _ in range(rounds):
        work()
    return (time.process_time() - began) / rounds * 1e6


def parts() -> None:
    """Print what each part costs alone."""
    for name, work in (
        ("EMF line", lambda: encode_invocation(RECORD)),
        ("ledger row", lambda: orjson.dumps(encode_item(RECORD))),
        ("sample event, 2,000 of 4,700 characters", lambda: encode_sample(RECORD, POLICY, CONTENT)),
        ("prompt hash, 4,700 characters", lambda: prompt_sha256(CONTENT.messages)),
        ("sampling decisions", decide),
        ("two spans (kept traces only, in a thread)", lambda: spans_of(RECORD, RESOURCE)),
    ):
        print(f"{name:<48}{microseconds(work):8.1f}")


def decide() -> object:
    """Decide once as every request does."""
    evaluated = sampling.evaluation_chosen(RECORD.request_id, 0.05)
    return sampling.keep_trace(
        RECORD.trace.trace_id, key=b"key", head_rate=0.1, failed=False, slow=False, evaluated=evaluated
    )


def receivers(ports: "multiprocessing.Queue[int]", done: Event) -> None:
    """Take whatever is sent, in another process."""

    async def serve() -> None:
        async def take(request: web.BaseRequest) -> web.Response:
            await request.content.read()
            return web.Response(body=b"{}")

        runner = web.ServerRunner(web.Server(take, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.put(runner.addresses[0][1])
        while not done.is_set():  # noqa: ASYNC110  # another process sets it
            await asyncio.sleep(0.1)
        await runner.cleanup()

    asyncio.run(serve())


async def whole(port: int) -> None:
    """Print what a request costs from `emit` to delivery."""
    url = f"http://127.0.0.1:{port}"
    clock = SystemClock()
    samples: NullSink[StreamRecord] = NullSink("samples")
    with Path(os.devnull).open("wb") as nowhere:  # noqa: ASYNC230  # before anything runs
        sinks = Sinks(
            lines=FileLineSink(nowhere.fileno()),
            ledger=LedgerSink(
                url=url, region="eu-central-1", credentials=lambda: Credentials("key", "secret"), clock=clock
            ),
            spans=SpanSink(otlp_exporter(url), RESOURCE),
            samples=samples,
            sealing=NullSink("sealing"),
            content=NullSink("content_log"),
        )
        emission = Emission(sinks, clock=clock, health=lambda: {"availability": 1})
        await emission.start()
        now = datetime.now(UTC)
        records = [
            record(
                number,
                received_at=now,
                completed_at=now,
                trace_kept="head" if number % int(1 / SHARE_KEPT) == 0 else None,
                sampled=number % 20 == 0,
                sampled_rate=0.05,
            )
            for number in range(REQUESTS)
        ]
        emitting = 0.0
        began = time.process_time()
        for at in range(0, REQUESTS, 100):
            before = time.process_time()
            for one in records[at : at + 100]:
                emission.emit(one, POLICY, CONTENT)
            emitting += time.process_time() - before
            await asyncio.sleep(0.01)
        await emission.flush(20)
        total = time.process_time() - began
        lost = {name: counts.dropped for name, counts in emission.counts().items() if counts.dropped}
    print(f"{'emit, 10 % of traces kept, 5 % sampled':<48}{emitting / REQUESTS * 1e6:8.1f}")
    print(f"{'emit and delivery over loopback':<48}{total / REQUESTS * 1e6:8.1f}")
    print(f"lost: {lost or 'nothing'}")


def main() -> None:
    """Run both tables."""
    print(f"{'µs of CPU a request':<48}")
    parts()
    context = multiprocessing.get_context("spawn")
    ports: multiprocessing.Queue[int] = context.Queue()
    done = context.Event()
    other = context.Process(target=receivers, args=(ports, done))
    other.start()
    try:
        asyncio.run(whole(ports.get(timeout=30)))
    finally:
        done.set()
        other.join()


if __name__ == "__main__":
    main()
