"""The worker at ten times the design's load: its lag and its memory, as long as is asked.

`soak.py [--minutes 10] [--rate 12]`: samples a second, handed over once a second as a feed would. Prints lag
and memory as they go, and at the end what they were in the second quarter of the time and in the last.
"""

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path
from statistics import mean

import uvloop
from aws_process import environment_for, scripted_aws
from worker import batch_of

from evalworker.bootstrap import assembled
from evalworker.settings import read_settings

REPORTS = 20


async def soak(minutes: float, rate: int) -> None:
    """Print how it goes."""
    seconds = int(minutes * 60)
    lags: list[float] = []
    memory: list[float] = []
    async with assembled(*read_settings()) as worker:
        started = time.monotonic()
        for second in range(seconds):
            due = started + second
            await asyncio.sleep(max(due - time.monotonic(), 0))
            if await worker.evaluator.process(batch_of(second * rate, rate)):
                raise SystemExit("the scripted AWS did not answer everything")
            lags.append(time.monotonic() - due)
            memory.append(_rss_mib())
            if second % max(seconds // REPORTS, 1) == 0:
                print(f"{second:5d} s  lag {lags[-1]:.3f} s  memory {memory[-1]:.0f} MiB", file=sys.stderr)
        tally = worker.evaluator.tally
        print(f"read {tally.read}, scored {tally.scored}, pending {tally.pending}", file=sys.stderr)
    for name, values, unit in (("lag", lags, "s"), ("memory", memory, "MiB")):
        quarter = len(values) // 4
        early, late = mean(values[quarter : 2 * quarter]), mean(values[-quarter:])
        print(
            f"{name}: {early:.3f} {unit} in the second quarter, {late:.3f} {unit} in the last",
            file=sys.stderr,
        )


def main() -> None:
    """Start the scripted AWS and soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=int, default=12)
    arguments = parser.parse_args()
    with scripted_aws() as port, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        os.environ.update(environment_for(port))
        runner.run(soak(arguments.minutes, arguments.rate))


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
