"""This gateway, LiteLLM's proxy and a bare pass-through on the same scripted backend, one after another.

    python benchmarks/gateway/run.py [--quick] [--only NAME ...] [--out FILE]

Prints a table in Markdown, writes all figures to a file. What is measured, and how: benchmarks/README.md.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import targets
import uvloop
from measure import PACED_STREAMS, Report, Sizes, measure

FULL = Sizes(whole=3_000, burst=1_000, paced=800, alone=200, soak=20_000, repeats=3)
QUICK = Sizes(whole=400, burst=150, paced=200, alone=40, soak=2_000, limit_s=20)
# At fourteen milliseconds a request the same amount of work would take a quarter of an hour.
FULL_SLOW = Sizes(whole=300, burst=60, paced=200, alone=60, soak=0)
QUICK_SLOW = Sizes(whole=60, burst=16, paced=200, alone=10, soak=0, limit_s=20)

NAMES = ("gateway", "litellm", "pass-through")


async def run(names: Sequence[str], *, quick: bool, logs: Path) -> list[Report]:
    """The reports, the backend's own first."""
    sizes, slow = (QUICK, QUICK_SLOW) if quick else (FULL, FULL_SLOW)
    reports: list[Report] = []
    async with targets.direct(logs) as backend:
        reports.append(await _measured(backend, sizes))
        if "gateway" in names:
            async with targets.gateway(backend, logs) as target:
                reports.append(await _measured(target, sizes, soak=True))
        if "litellm" in names:
            async with targets.litellm(backend, logs) as target:
                reports.append(await _measured(target, slow))
        if "pass-through" in names:
            async with targets.pass_through(backend, logs) as target:
                reports.append(await _measured(target, sizes))
    return reports


async def _measured(target: targets.Target, sizes: Sizes, *, soak: bool = False) -> Report:
    began = time.monotonic()
    report = await measure(target, sizes, soak=soak)
    print(f"  {target.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return report


def table(reports: Sequence[Report]) -> str:
    """The figures in Markdown, a column a target."""
    backend, *measured = reports
    rows = [
        ("CPU per request, not streamed", [_us(r.cpu_us_per_request) for r in measured]),
        ("CPU per token, burst", [_us(r.cpu_us_per_burst_token) for r in measured]),
        ("CPU per token, 20 ms apart", [_us(r.cpu_us_per_paced_token) for r in measured]),
        (
            "added time to first token, 1 stream (p50 / p99)",
            [_added(r, backend, "ttft_alone") for r in measured],
        ),
        (
            f"added time to first token, {PACED_STREAMS} streams (p50 / p99)",
            [_added(r, backend, "ttft_loaded") for r in measured],
        ),
        ("memory after start / after the work", [_memory(r) for r in measured]),
        ("memory over the soak: growth", [_soak(r) for r in measured]),
    ]
    lines = ["| | " + " | ".join(r.name for r in measured) + " |", "|---|" + "---:|" * len(measured)]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows]
    return "\n".join(lines)


def _us(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value / 1000:.2f} ms" if value >= 1_000 else f"{value:.1f} µs"  # noqa: PLR2004


def _added(report: Report, backend: Report, which: str) -> str:
    ours, theirs = getattr(report, which), getattr(backend, which)
    if ours is None or theirs is None:
        return "–"
    added = ours.over(theirs)
    return f"{added.p50_ms:.1f} / {added.p99_ms:.1f} ms"


def _memory(report: Report) -> str:
    if report.rss_start_mib is None or report.rss_after_work_mib is None:
        return "–"
    return f"{report.rss_start_mib:.0f} / {report.rss_after_work_mib:.0f} MiB"


def _soak(report: Report) -> str:
    if report.soak_growth_mib is None:
        return "–"
    return f"{report.soak_growth_mib:+.1f} MiB ({report.soak_streams:,}, {report.soak_cancelled:,} cancelled)"


def circumstances() -> dict[str, str]:
    """What the figures depend on."""
    cpus = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    load = os.getloadavg()[0]
    return {
        "processor": f"{cpus[0] if cpus else platform.machine()}, {os.cpu_count()} cores",
        "load_before": f"{load:.1f}",
        "python": platform.python_version(),
        "uvicorn": version("uvicorn"),
        "aiohttp": version("aiohttp"),
        "litellm": _litellm_version(),
    }


def _litellm_version() -> str:
    python = targets.LITELLM.with_name("python")
    if not python.exists():
        return "not installed"
    ask = "import importlib.metadata as m; print(m.version('litellm'))"
    return subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


def main() -> int:
    """Exit status 1 when an answer was wrong or exchanges failed."""
    parser = argparse.ArgumentParser(description="This gateway beside LiteLLM and a bare pass-through.")
    parser.add_argument("--quick", action="store_true", help="about a minute; the figures are rough")
    parser.add_argument(
        "--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES)
    )
    parser.add_argument("--out", type=Path, default=Path(".state/benchmarks/gateway.json"))
    arguments = parser.parse_args()
    if "litellm" in arguments.only and not targets.LITELLM.exists():
        parser.error(f"no LiteLLM in {targets.LITELLM.parent.parent}: `make bench` installs it")
    found = circumstances()
    with tempfile.TemporaryDirectory(prefix="bench-gateway-") as logs:
        reports = uvloop.run(run(arguments.only, quick=arguments.quick, logs=Path(logs)))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    sizes = {"full": asdict(FULL), "full_slow": asdict(FULL_SLOW)}
    if arguments.quick:
        sizes = {"quick": asdict(QUICK), "quick_slow": asdict(QUICK_SLOW)}
    results = {"circumstances": found, "sizes": sizes, "targets": [r.as_json() for r in reports]}
    arguments.out.write_text(json.dumps(results, indent=2) + "\n")
    print(table(reports))
    print("\n" + ", ".join(f"{name} {value}" for name, value in found.items()))
    failures = [f"{r.name}, {phase}: {what}" for r in reports for phase, what in r.failures.items()]
    print("\n".join(failures), file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
