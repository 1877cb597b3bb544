"""Samples a second and core through the worker, beside what a user would write instead, in one run.

`.venv/bin/python benchmarks/evaluation/run.py [--quick]`. Three turns each, alternating; medians. Judge and
stores are scripted and answer after some time: see `scripted_aws.py`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "gateway"))

from processes import free_port  # noqa: E402  # the other benchmark's, beside us

BATCH = 200


def main() -> None:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, one turn")
    quick = parser.parse_args().quick
    turns, samples = (1, 1_000) if quick else (3, 10_000)
    port = free_port()
    environment = environment_for(port)
    with tempfile.TemporaryFile() as log:
        aws = subprocess.Popen([sys.executable, HERE / "scripted_aws.py", str(port)], stderr=log)  # noqa: S603
        try:
            wait_for(port)
            figures: dict[str, list[dict[str, float]]] = {"worker": [], "peer": []}
            calls: dict[str, int] = {}
            for _ in range(turns):
                for name, turned in figures.items():
                    before = _calls(port)
                    turned.append(
                        _measured(name, samples // (1 if name == "worker" else 5), environment, log)
                    )
                    if name == "worker":
                        calls = {key: n - before.get(key, 0) for key, n in _calls(port).items()}
        finally:
            aws.terminate()
            aws.wait()
    print("| | CPU per sample | samples/s and core | memory |\n|---|---:|---:|---:|")
    for name, turned in figures.items():
        middle = {key: median(turn[key] for turn in turned) for key in turned[0]}
        print(
            f"| {name} | {middle['cpu_us_per_sample']:.0f} µs | {middle['samples_per_core_s']:.0f} "
            f"| {middle['max_rss_mib']:.0f} MiB |"
        )
    print("\nCalls of the worker's last turn, for", samples + BATCH, "samples:", json.dumps(calls))


def environment_for(port: int) -> dict[str, str]:
    """Ours, with the scripted AWS for all services."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "EVAL_"))},
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _measured(name: str, samples: int, environment: dict[str, str], log: Any) -> dict[str, float]:
    command = [sys.executable, HERE / f"{name}.py", str(samples), str(BATCH)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=log, check=False)  # noqa: S603
    if done.returncode:
        log.seek(0)
        sys.exit(f"{name} failed:\n{log.read()[-3_000:].decode()}")
    lines = done.stdout.decode().splitlines()  # EMF lines go to standard output too
    figures: dict[str, float] = json.loads(
        next(line for line in reversed(lines) if "cpu_us_per_sample" in line)
    )
    return figures


def _calls(port: int) -> dict[str, int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/calls", timeout=5) as response:
        calls: dict[str, int] = json.load(response)
        return calls


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            _calls(port)
        except OSError:
            time.sleep(0.05)
        else:
            return
    sys.exit("the scripted AWS did not start")


if __name__ == "__main__":
    main()
