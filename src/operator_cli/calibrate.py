"""`llm-platform evals calibrate`: how far a judge agrees with people, and whether it may be released.

The figures are `evalworker.calibration`'s, how they look is in `calibrate_view`. Which judge is asked, and
where the record is kept, is handed in.
"""

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evalworker.calibration.gate import GateRule, Verdict, gate
from evalworker.calibration.judgements import JudgedItem
from evalworker.calibration.judging import Judge, judge_items
from evalworker.calibration.labels import LabelFile, LabelsFault, parse_labels
from evalworker.calibration.record import calibration_record
from evalworker.calibration.report import Report, build_report
from llmplatform.clock import Clock
from operator_cli.calibrate_view import calibration
from operator_cli.console import ERR, print_table

PASSED: Final = 0
FAILED: Final = 1
BAD_INPUT: Final = 2
_PROBLEMS_SHOWN: Final = 20

OpenJudge = Callable[[LabelFile], AbstractAsyncContextManager[Judge]]
"""Opens the judge for a file: one that is asked now where it has content, else one that looks scores up."""
Store = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Keeps a calibration's record."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to try."""

    repeat: int = 1
    """Judgements of each item."""
    concurrency: int = 8
    """Judgements under way at a time."""
    resamples: int = 2_000
    seed: int = 0
    """Of the resampling: one file and one judge give one report."""


def run_calibrate(
    path: Path,
    open_judge: OpenJudge,
    store: Store | None,
    clock: Clock,
    *,
    rule: GateRule | None = None,
    effort: Effort | None = None,
    as_json: bool = False,
) -> int:
    """Print the calibration of a judge by the labels in `path`; gives the command's exit status.

    0: it may be released; 1: it may not; 2: the file cannot be used, and no judge was asked. The record is
    stored in both of the first cases, after printing. What the judge raises travels on.
    """
    rule, effort = rule or GateRule(), effort or Effort()
    try:
        labels = parse_labels(path.read_bytes())
    except OSError as error:
        return _refuse(path, [error.strerror or "cannot be read"])
    except LabelsFault as fault:
        return _refuse(path, fault.problems)
    _warn_of_too_few(labels, rule)

    async def calibrate() -> Verdict:
        async with open_judge(labels) as judge:
            judged = await _judge(judge, labels, effort)
            identity = judge.identity
        report = build_report(
            judged,
            judge_identity=identity,
            repeat=effort.repeat,
            rng=np.random.default_rng(effort.seed),
            resamples=effort.resamples,
        )
        verdict = gate(report, rule)
        _show(report, verdict, as_json=as_json)
        if store is not None:
            await store(calibration_record(report, verdict, calibrated_at=clock.now()))
        return verdict

    return PASSED if asyncio.run(calibrate()).passed else FAILED


async def _judge(judge: Judge, labels: LabelFile, effort: Effort) -> tuple[JudgedItem, ...]:
    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=ERR, transient=True, disable=not ERR.is_terminal) as progress:
        task = progress.add_task("judging", total=len(labels.items) * effort.repeat)
        return await judge_items(
            judge,
            labels.items,
            repeat=effort.repeat,
            concurrency=effort.concurrency,
            judged=lambda: progress.advance(task),
        )


def _show(report: Report, verdict: Verdict, *, as_json: bool) -> None:
    if as_json:
        both = {"report": dataclasses.asdict(report), "verdict": dataclasses.asdict(verdict)}
        print(json.dumps(both, indent=2))
    else:
        print_table(calibration(report, verdict))


def _warn_of_too_few(labels: LabelFile, rule: GateRule) -> None:
    """Say before judging, which costs money, that it cannot pass."""
    for dimension in rule.dimensions:
        labelled = sum(dimension in item.labels for item in labels.items)
        if labelled < rule.min_items:
            ERR.print(
                f"[yellow]warning:[/yellow] {dimension} has {labelled} labelled items, "
                f"the gate asks for {rule.min_items}: it will not pass"
            )
    if labels.ignored_columns:
        positions = ", ".join(map(str, labels.ignored_columns))
        ERR.print(f"[yellow]warning:[/yellow] columns that mean nothing here are ignored: {positions}")


def _refuse(path: Path, problems: list[str] | tuple[str, ...]) -> int:
    for problem in problems[:_PROBLEMS_SHOWN]:
        ERR.print(f"[red]error:[/red] {escape(str(path))}: {escape(problem)}")
    if len(problems) > _PROBLEMS_SHOWN:
        ERR.print(f"and {len(problems) - _PROBLEMS_SHOWN} more")
    return BAD_INPUT
