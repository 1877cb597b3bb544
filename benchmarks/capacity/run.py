"""Closed formulas of `llm-platform estimate` beside a simulation of the same day.

    .venv/bin/python -m benchmarks.capacity.run [--quick] [--seed 1]

A day of requests drawn by chance (`day.py`), its streams and how they are given to tasks (`streaming.py`),
the writes of the largest tenant, the samples' bytes, and the judge's queue (`judging.py`), at the design's
scale and at more traffic. What an estimate says is computed for the busiest minute that was drawn, so that
only the formulas are compared, not the guess of a peak. It prints a table in Markdown.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

import numpy as np

from benchmarks.capacity.day import Day, drawn, minutes, zipf
from benchmarks.capacity.judging import judged
from benchmarks.capacity.streaming import streamed
from llmplatform.aws.tables import LEDGER_SHARDS
from llmplatform.clock import SystemClock
from llmplatform.footprint import LEDGER_ROW_UNITS, RESULT_UNITS, SAMPLE_BYTES
from operator_cli.estimate import figures as known
from operator_cli.estimate.needs import Needs
from operator_cli.estimate.options import Options
from operator_cli.estimate.running import estimate_here

SCALES: Final = (1, 10, 100, 1_000)
JUDGED_S: Final = 3_600
HELD_MINUTES: Final = 30


@dataclass(frozen=True)
class Compared:
    """A figure, as it is computed and as it was simulated."""

    what: str
    scale: str
    computed: float
    simulated: float


def main() -> None:
    """Simulate, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the design's scale alone")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    rows = [*compared(np.random.default_rng(asked.seed), quick=asked.quick)]
    print("| | scale | computed | simulated | simulated / computed |\n|---|---|---:|---:|---:|")
    for row in rows:
        ratio = row.simulated / row.computed
        print(f"| {row.what} | {row.scale} | {row.computed:,.2f} | {row.simulated:,.2f} | {ratio:.2f} |")


def compared(chance: np.random.Generator, *, quick: bool) -> Iterator[Compared]:
    """Every comparison."""
    found = estimate_here(Options(), {}, SystemClock())
    shares = zipf(found.asked.workload.tenants)
    workload = replace(found.asked.workload, largest_tenant=Decimal(str(shares[0])))
    day = drawn(workload.requests_per_day, shares, chance)
    yield Compared("busiest minute over the mean", "1×", float(workload.peak_to_mean), day.peak_to_mean)
    for scale in SCALES[:1] if quick else SCALES:
        of_day = drawn(workload.requests_per_day * scale, shares, chance) if scale > 1 else day
        larger = replace(
            workload.times(Decimal(scale), "traffic"), peak_to_mean=Decimal(str(of_day.peak_to_mean))
        )
        yield from _writes(f"{scale:,}×", Needs(larger, found.asked.facts), of_day, chance)
    peak = replace(workload, peak_to_mean=Decimal(str(day.peak_to_mean)))
    yield from _streams(Needs(peak, found.asked.facts), day, chance)
    yield from _judge(Needs(peak, found.asked.facts), chance)


def _writes(scale: str, needs: Needs, day: Day, chance: np.random.Generator) -> Iterator[Compared]:
    """Of the largest tenant to its partitions, and of all samples to the stream, in the busiest second."""
    rate = float(needs.workload.sample_rate)
    largest = day.counts[:, 0]
    shards = chance.multinomial(largest, np.full(LEDGER_SHARDS, 1 / LEDGER_SHARDS))
    rows = shards + chance.binomial(shards, rate)  # the judge's calls are rows too
    yield Compared(
        "largest tenant's busiest shard, write units in the busiest second",
        scale,
        float(needs.hottest_ledger_partition.likely),
        float(rows.max()) * LEDGER_ROW_UNITS,
    )
    yield Compared(
        "largest tenant's results, write units in the busiest second",
        scale,
        float(needs.hottest_results_partition.likely),
        float(chance.binomial(largest, rate).max()) * RESULT_UNITS,
    )
    yield Compared(
        "largest tenant, requests of its busiest minute",
        scale,
        float(
            needs.workload.peak_per_s * 60 * needs.workload.largest_tenant * known.TENANT_PEAK.value.likely
        ),
        float(minutes(largest).max()),
    )
    yield Compared(
        "bytes into the stream in the busiest second",
        scale,
        float(needs.stream_bytes_per_s),
        float(chance.binomial(day.by_second, rate).max()) * SAMPLE_BYTES,
    )


def _streams(needs: Needs, day: Day, chance: np.random.Generator) -> Iterator[Compared]:
    workload = needs.workload
    tasks = int(needs.peak_gateway_tasks.likely)
    streams = streamed(
        day,
        first_token_s=float(known.FIRST_TOKEN_S.value.likely),
        output_tokens=float(workload.output_tokens),
        tokens_per_s=float(known.TOKENS_A_SECOND.value.likely),
        tasks=tasks,
        chance=chance,
    )
    computed = float(needs.streams(workload.peak_per_s).likely)
    yield Compared("streams at once in the busiest minute", "1×", computed, streams.busiest_minute)
    yield Compared("streams at once, at most", "1×", computed, float(streams.most))
    yield Compared(
        f"streams at once at one of {tasks} tasks", "1×", computed / tasks, float(streams.busiest_task)
    )
    held = day.by_minute.reshape(-1, HELD_MINUTES).max(axis=1) / day.by_minute.mean()
    yield Compared(
        "tasks over those of a mean minute, where each is held for half an hour",
        "1×",
        float(known.SCALED_TASKS.value.likely),
        float(held.mean()),
    )


def _judge(needs: Needs, chance: np.random.Generator) -> Iterator[Compared]:
    slots = needs.facts.house.judge_calls_at_once
    call_s = float(known.JUDGE_S.value.likely)
    for shards in (1, 2, 4):
        full = judged(
            samples_per_s=2 * slots / call_s,
            shards=shards,
            slots=slots,
            call_s=call_s,
            seconds=JUDGED_S,
            chance=chance,
        )
        what = f"verdicts a second of a worker with {shards} shard{'s' if shards > 1 else ''}"
        used = known.JUDGE_SLOTS.value.low if shards == 1 else known.JUDGE_SLOTS.value.high
        yield Compared(what, "full", slots / call_s * float(used), full.per_s)
    rate = float(needs.samples_per_s)
    at_peak = judged(
        samples_per_s=rate, shards=4, slots=slots, call_s=call_s, seconds=JUDGED_S, chance=chance
    )
    yield Compared("the judge's calls at once", "1×", rate * call_s, at_peak.slots_used * slots)


if __name__ == "__main__":
    main()
