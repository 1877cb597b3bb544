"""The worker as it runs in production, but for the stream: batches are made here, and handed over.

`worker.py SAMPLES BATCH`: prints one JSON line of figures. What the Kinesis consumer itself costs is told in
decision 0011.
"""

import asyncio
import gc
import json
import resource
import sys
import time
from datetime import UTC, datetime

import uvloop
from samples import encoded_sample

from evalworker.bootstrap import assembled
from evalworker.records import StreamRecord
from evalworker.settings import read_settings


def batch_of(first: int, count: int) -> list[StreamRecord]:
    """Records `first` and on, as a feed hands them over."""
    now = datetime.now(UTC)
    return [
        StreamRecord("shard", f"{number:020d}", now, encoded_sample(number))
        for number in range(first, first + count)
    ]


async def measure(samples: int, batch: int) -> dict[str, float]:
    """Figures of so many samples, after one batch to warm up."""
    async with assembled(*read_settings()) as worker:
        gc.collect()
        gc.freeze()
        await worker.evaluator.process(batch_of(0, batch))
        batches = [batch_of(at, batch) for at in range(batch, batch + samples, batch)]
        started, cpu = time.monotonic(), time.process_time()
        for records in batches:
            if await worker.evaluator.process(records):
                raise SystemExit("the scripted AWS did not answer everything")
        await worker.delivered(within_s=10)
        cpu_s, wall_s = time.process_time() - cpu, time.monotonic() - started
        tally = worker.evaluator.tally
        if tally.scored != samples + batch:
            raise SystemExit(f"scored {tally.scored} of {samples + batch}")
        return {
            "samples": samples,
            "cpu_us_per_sample": cpu_s * 1e6 / samples,
            "samples_per_core_s": samples / cpu_s,
            "wall_s": wall_s,
            "max_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(measure(int(sys.argv[1]), int(sys.argv[2])))))
