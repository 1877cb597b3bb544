"""A day of the request ledger to cost lines in their table, on one core.

`.venv/bin/python benchmarks/cost/run.py [--quick] [--rows 2000000] [--latency-ms 3]`. DynamoDB is scripted
and has a process of its own: see `scripted_ledger.py`. Reading, which is the most of it, is measured beside
what a user would write instead.
"""

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from day import HOURS
from metric_calls import asked_of_cloudwatch

HERE = Path(__file__).parent
PEER_HOURS = 2
"""The peer reads so much of the day; the job does the same hours once more, and both must agree."""

Figures = dict[str, float]


def main() -> None:
    """Measure both and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a twentieth of the rows")
    parser.add_argument("--rows", type=int, default=2_000_000, help="of the whole day")
    parser.add_argument("--latency-ms", type=float, default=3.0, help="of each call")
    chosen = parser.parse_args()
    rows = chosen.rows // 20 if chosen.quick else chosen.rows
    with scripted_ledger(rows, chosen.latency_ms) as port:
        day = measured("job", len(HOURS), port)
        asked = calls(port)
        job, peer = (measured(name, PEER_HOURS, port) for name in ("job", "peer"))
    if day["rows"] != rows or (job["rows"], job["tokens"]) != (peer["rows"], peer["tokens"]):
        sys.exit(f"the sums differ: {day}, {job}, {peer}")
    if day["lines"] != asked.pop("rows put") or day["swept"] != asked.pop("rows deleted"):
        sys.exit(f"not every line was written: {day}, {asked}")
    print(
        f"A day of {rows:,} rows ({asked.pop('bytes read') / 1e9:.2f} GB) to {day['lines']:,.0f} cost lines, "
        f"written, on one core: {day['wall_s']:.1f} s, {day['waited_s']:.1f} s of it others had the core; "
        f"{day['max_rss_mib']:.0f} MiB at most ({day['rss_before_mib']:.0f} MiB before the first row).\n"
    )
    print("| | wall | CPU | per row | per line |\n|---|---:|---:|---:|---:|")
    sharing = {
        f"sharing_{figure}": day[figure] - day[f"reading_{figure}"] - day[f"writing_{figure}"]
        for figure in ("wall_s", "cpu_s")
    }
    for name, part in (
        ("reading and adding up", "reading_"),
        ("sharing out, and the rest", "sharing_"),
        ("claiming, writing, publishing, sweeping", "writing_"),
        ("together", ""),
    ):
        wall_s, cpu_s = ((day | sharing)[f"{part}{figure}"] for figure in ("wall_s", "cpu_s"))
        of_row, of_line = (cpu_s * 1e6 / count for count in (rows, day["lines"]))
        print(f"| {name} | {wall_s:.1f} s | {cpu_s:.1f} s | {of_row:.1f} µs | {of_line:.0f} µs |")
    print(f"\nCalls: {', '.join(f'{name} {count:,}' for name, count in sorted(asked.items()))}.\n")
    print(f"| {job['rows']:,.0f} rows, read | CPU per row | rows/s and core | memory |\n|---|---:|---:|---:|")
    for name, figures in (("this job", job), ("aioboto3, TypeDeserializer, Decimal", peer)):
        print(
            f"| {name} | {figures['reading_cpu_s'] * 1e6 / figures['rows']:.1f} µs "
            f"| {figures['rows'] / figures['reading_cpu_s']:,.0f} | {figures['max_rss_mib']:.0f} MiB |"
        )
    print(f"\nThe peer costs {peer['reading_cpu_s'] / job['reading_cpu_s']:.1f} times as much a row.\n")
    print("| GetMetricData for a run over | metrics | calls | billed |\n|---|---:|---:|---:|")
    for asked_for in asked_of_cloudwatch():
        print(f"| {asked_for.run} | {asked_for.metrics:,} | {asked_for.calls} | ${asked_for.usd:.3f} |")


def measured(name: str, hours: int, port: int) -> Figures:
    """The figures that a process prints, which has one core for itself."""
    cores = sorted(os.sched_getaffinity(0))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    command = ["taskset", "--cpu-list", str(cores[-1]), sys.executable, str(HERE / f"{name}.py"), str(hours)]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-3_000:].decode()}")
    figures: Figures = json.loads(done.stdout.decode().splitlines()[-1])
    return figures


@contextlib.contextmanager
def scripted_ledger(rows: int, latency_ms: float) -> Iterator[int]:
    """The port that it listens on, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, str(HERE / "scripted_ledger.py"), str(port), str(rows), str(latency_ms)]
    with tempfile.TemporaryFile() as log:
        ledger = subprocess.Popen(command, stderr=log)  # noqa: S603
        try:
            wait_for(port)
            yield port
        finally:
            ledger.terminate()
            ledger.wait()


def calls(port: int) -> dict[str, int]:
    """How often each table was asked what, and how much of the ledger was read."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/calls", timeout=5) as response:
        counted: dict[str, int] = json.load(response)
        return counted


def wait_for(port: int) -> None:
    """Return once it answers."""
    for _ in range(600):
        try:
            calls(port)
        except OSError:
            time.sleep(0.05)
        else:
            return
    sys.exit("the scripted ledger did not start")


if __name__ == "__main__":
    main()
