"""The worker at ten times the design's load for as long as is asked: does its lag grow, or its memory?

`soak.py [--minutes 10] [--rate 12]`, samples a second, handed over once a second as a feed would. Prints lag and
resident memory as they go, and at the end the change from the second quarter of the time to the last.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

import uvloop

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "gateway"))

from processes import free_port, rss_mib  # noqa: E402  # the other benchmark's, beside us
from run import environment_for, wait_for  # noqa: E402
from worker import batch_of  # noqa: E402

REPORTS = 20


async def soak(minutes: float, rate: int) -> None:
    """Print how it goes."""
    from evalworker.bootstrap import assembled  # noqa: PLC0415  # reads the environment that was just set
    from evalworker.settings import read_settings  # noqa: PLC0415

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
            memory.append(rss_mib(os.getpid()))
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
    port = free_port()
    os.environ.update(environment_for(port))
    with tempfile.TemporaryFile() as log:
        aws = subprocess.Popen([sys.executable, HERE / "scripted_aws.py", str(port)], stderr=log)  # noqa: S603
        try:
            wait_for(port)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(soak(arguments.minutes, arguments.rate))
        finally:
            aws.terminate()
            aws.wait()


if __name__ == "__main__":
    main()
