"""Samples a second and core through the worker, beside what a user would write instead, in one run.

`.venv/bin/python benchmarks/evaluation/run.py [--quick]`. Three turns each, alternating; medians. Judge and
stores are scripted and answer after some time: see `scripted_aws.py`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from aws_process import calls, environment_for, scripted_aws

HERE = Path(__file__).parent
BATCH = 200
PEER_SHARE = 5
"""The peer gets so much less of the work."""


def main() -> None:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, one turn")
    turns, samples = (1, 1_000) if parser.parse_args().quick else (3, 10_000)
    figures: dict[str, list[dict[str, float]]] = {"worker": [], "peer": []}
    asked: dict[str, int] = {}
    with scripted_aws() as port:
        for _ in range(turns):
            before = calls(port)
            figures["worker"].append(_measured("worker", samples, port))
            asked = {name: n - before.get(name, 0) for name, n in calls(port).items()}
            figures["peer"].append(_measured("peer", samples // PEER_SHARE, port))
    print("| | CPU per sample | samples/s and core | memory |\n|---|---:|---:|---:|")
    for name, turned in figures.items():
        middle = {key: median(turn[key] for turn in turned) for key in turned[0]}
        print(
            f"| {name} | {middle['cpu_us_per_sample']:.0f} µs | {middle['samples_per_core_s']:.0f} "
            f"| {middle['max_rss_mib']:.0f} MiB |"
        )
    print(f"\nCalls of the worker's last turn, for {samples + BATCH} samples: {json.dumps(asked)}")


def _measured(name: str, samples: int, port: int) -> dict[str, float]:
    command = [sys.executable, HERE / f"{name}.py", str(samples), str(BATCH)]
    with tempfile.TemporaryFile() as log:
        done = subprocess.run(  # noqa: S603
            command, env=environment_for(port), stdout=subprocess.PIPE, stderr=log, check=False
        )
        if done.returncode:
            log.seek(0)
            sys.exit(f"{name} failed:\n{log.read()[-3_000:].decode()}")
    lines = done.stdout.decode().splitlines()  # EMF lines go to standard output too
    figures: dict[str, float] = json.loads(next(line for line in reversed(lines) if "cpu_us" in line))
    return figures


if __name__ == "__main__":
    main()
