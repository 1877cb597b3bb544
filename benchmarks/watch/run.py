"""The console's views and `watch apply` on a scripted AWS with 50 tenants, 10 models and a million requests.

`.venv/bin/python benchmarks/watch/run.py [--quick] [--rounds 20] [--rows 1000000] [--latency-ms 10]
[--puts-per-s 30]`. Everything is a process of its own: see `scripted_aws.py`. Prints tables in Markdown.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

from processes import ScriptedAws, console, memory_mib, scripted_aws
from views import AT_ONCE, Measuring, views
from world import Requests

from watch.alarming.pacing import SHARE

HERE: Final = Path(__file__).parent
WANTED_MS: Final = 300
DEFAULT_PUTS_PER_S: Final = 3


def main() -> None:
    """Apply alarms, look at pages, ask as others do, and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, and a higher quota of puts")
    parser.add_argument("--rounds", type=int, help="of cold views by one viewer; a third of it by ten")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the request ledger")
    parser.add_argument("--latency-ms", type=float, default=10.0, help="of each call of AWS")
    parser.add_argument(
        "--puts-per-s", type=float, default=30.0, help="the quota of puts; an account's default is 3"
    )
    parser.add_argument("--no-apply", action="store_true", help="put no alarms: then none ring")
    parser.add_argument("--only", help="views whose names have this in them")
    chosen = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # what is there of a long run is seen
    rounds = chosen.rounds or (3 if chosen.quick else 20)
    puts_per_s = 150.0 if chosen.quick else chosen.puts_per_s
    print(f"{os.cpu_count()} cores, load average {_load()} at the start.\n")
    with scripted_aws(chosen.rows, chosen.latency_ms, puts_per_s) as aws:
        if not chosen.no_apply:
            print_applied(aws)
        requests = Requests(chosen.rows, datetime.now(UTC))
        pages = [view for view in views(requests) if not chosen.only or chosen.only in view.name]
        with console(aws.environment()) as running:
            measuring = Measuring(running, aws)
            measuring.warm_up(pages)
            for number in range(rounds):
                turn = number % len(pages)
                measuring.round([*pages[turn:], *pages[:turn]], 1)
            for _ in range(max(1, rounds // 3)):
                measuring.round(pages, AT_ONCE)
            memory = memory_mib(running.pid)
        print_views(measuring)
        print(f"\nThe console took {memory:.0f} MiB at most.\n")
        throttled = {name: count for name, count in aws.calls().items() if name.endswith("throttled")}
        print(f"Throttled, all views together: {json.dumps(throttled)}.\n")
        print_peer(aws)
    print(f"\nLoad average {_load()} at the end.")


def print_applied(aws: ScriptedAws) -> None:
    """`watch apply`, twice."""
    print(
        "| `python -m watch apply` | wall | CPU | calls | puts | throttled |\n|---|---:|---:|---:|---:|---:|"
    )
    puts = 0
    for name in ("first", "second"):
        before = aws.calls()
        began_s, cpu_before = time.monotonic(), _cpu_of_children()
        command = [sys.executable, "-m", "watch", "apply"]
        done = subprocess.run(  # noqa: S603
            command, env=aws.environment(), capture_output=True, check=False
        )
        wall_s, cpu_s = time.monotonic() - began_s, _cpu_of_children() - cpu_before
        if done.returncode:
            sys.exit(f"watch apply failed:\n{(done.stdout + done.stderr)[-3_000:].decode()}")
        calls = {key: count - before.get(key, 0) for key, count in aws.calls().items()}
        throttled = sum(count for key, count in calls.items() if key.endswith("throttled"))
        asked = sum(count for key, count in calls.items() if not key.endswith("throttled"))
        put = calls.get("PutMetricAlarm", 0) + calls.get("PutCompositeAlarm", 0)
        print(f"| {name} | {wall_s:.0f} s | {cpu_s:.1f} s | {asked:,} | {put:,} | {throttled} |")
        puts = puts or put
    print(
        f"\nPuts at {aws.puts_per_s:g} a second, the quota that the scripted AWS holds to; "
        f"at an account's default of {DEFAULT_PUTS_PER_S} they take "
        f"{puts / (DEFAULT_PUTS_PER_S * SHARE) / 60:.0f} min.\n"
    )


def print_views(measuring: Measuring) -> None:
    """A line a page: one viewer cold and warm, ten at once."""
    print(
        "| view | calls cold | warm | p50 cold | p95 cold | p95 warm | CPU cold | CPU warm | waited "
        f"| {AT_ONCE} at once: calls | p50 cold | p95 cold | CPU each |"
    )
    print("|---|" + "---:|" * 12)
    notes: list[str] = []
    for name in dict.fromkeys(name for name, _, _ in measuring.figures):
        cold, warm, many = (
            measuring.figures[name, when, at_once]
            for when, at_once in (("cold", 1), ("warm", 1), ("cold", AT_ONCE))
        )
        for figures, of in ((cold, 1), (many, AT_ONCE)):
            counted = [sum(figures.calls[at : at + of]) for at in range(0, len(figures.calls), of)]
            if counted != figures.asked_of_aws:
                notes.append(f"{name}: the console counts {counted} calls, AWS {figures.asked_of_aws}")
        for told, figures in (("one viewer", cold), ("one viewer, warm", warm), (f"{AT_ONCE} at once", many)):
            if figures.failed:
                notes.append(f"{name}: {figures.failed} views failed ({told})")
        slow = " (slow)" if percentile(cold.wall_ms, 95) > WANTED_MS else ""
        print(
            f"| {name}{slow} | {_range(cold.calls)} | {_range(warm.calls)} "
            f"| {percentile(cold.wall_ms, 50):.0f} ms "
            f"| {percentile(cold.wall_ms, 95):.0f} ms | {percentile(warm.wall_ms, 95):.0f} ms "
            f"| {median(cold.cpu_ms):.0f} ms | {median(warm.cpu_ms):.0f} ms "
            f"| {median(cold.waited_ms):.0f} ms "
            f"| {_range(many.asked_of_aws)} | {percentile(many.wall_ms, 50):.0f} ms "
            f"| {percentile(many.wall_ms, 95):.0f} ms | {median(many.cpu_ms):.0f} ms |"
        )
    for note in notes:
        print(f"\n{note}.")


def print_peer(aws: ScriptedAws) -> None:
    """What the overview's figures cost who asks for each by itself."""
    print("| the overview's figures | calls | wall | CPU |\n|---|---:|---:|---:|")
    for threads in ("1", "10"):
        command = [sys.executable, str(HERE / "peer.py"), threads]
        done = subprocess.run(command, env=aws.environment(), capture_output=True, check=False)  # noqa: S603
        if done.returncode:
            sys.exit(f"the peer failed:\n{done.stderr[-3_000:].decode()}")
        told = json.loads(done.stdout)
        print(
            f"| boto3, GetMetricStatistics a figure, {threads} at once | {told['calls']:,} "
            f"| {told['wall_s'] * 1_000:,.0f} ms | {told['cpu_s'] * 1_000:,.0f} ms |"
        )


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent do not exceed."""
    if not values:
        return math.inf
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _range(values: Sequence[int]) -> str:
    return str(values[0]) if min(values) == max(values) else f"{min(values)}-{max(values)}"


def _cpu_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _load() -> str:
    return " ".join(f"{one:.1f}" for one in os.getloadavg())


if __name__ == "__main__":
    main()
