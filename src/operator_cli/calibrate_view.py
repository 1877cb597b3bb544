"""How a calibration looks in a terminal. Pure: a report and a verdict in, something to print out."""

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from evalworker.calibration.bootstrap import Estimate
from evalworker.calibration.gate import Verdict
from evalworker.calibration.report import Agreement, Coverage, DimensionReport, Report
from evalworker.calibration.statistics import LABELS

_STATISTICS: Final = ("exact", "kappa", "spearman")
_INDENT: Final = (0, 0, 0, 2)


def calibration(report: Report, verdict: Verdict) -> RenderableType:
    """The whole report: each dimension, all together, and the gate's verdict with its reasons."""
    times = "" if report.repeat == 1 else f", each judged {report.repeat} times"
    parts: list[RenderableType] = [
        Text(f"judge {report.judge_identity}", style="bold"),
        Text(f"{report.items:,} items{times}; in brackets: 95 % bootstrap interval", style="dim"),
    ]
    for each in (*report.dimensions, report.overall):
        parts += [Text(), *_dimension(each)]
    return Group(*parts, Text(), *_verdict(verdict))


def _dimension(report: DimensionReport) -> Iterator[RenderableType]:
    yield Text(report.dimension, style="bold")
    yield Padding(Text(_coverage(report.coverage), style="dim"), _INDENT)
    if not report.coverage.compared:
        return
    sides = {
        "judge": report.judge,
        "always the mode": report.mode,
        "length": report.length,
        "people (ceiling)": report.people,
    }
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")  # fits 80 columns
    for name in ("", *sides):
        table.add_column(name)
    for statistic in _STATISTICS:
        table.add_row(statistic, *(_shown(getattr(side, statistic)) for side in sides.values()))
    table.add_row("bias", _shown(report.bias, signed=True))
    yield Padding(table, _INDENT)
    for note in _notes(sides):
        yield Padding(Text(note, style="dim"), _INDENT)
    if report.within_item_sd is not None:
        yield Padding(Text(f"repeated judgements differ by {report.within_item_sd:.2f} (sd)"), _INDENT)
    yield Padding(_confusion(report), _INDENT)


def _coverage(coverage: Coverage) -> str:
    told = f"{coverage.labelled:,} labelled, {coverage.compared:,} compared"
    if coverage.share is not None:
        told += f"; {coverage.scored:,} of {coverage.asked:,} judgements gave a score ({coverage.share:.1%})"
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in coverage.without_score.items())
    return f"{told}; {reasons}" if reasons else told


def _shown(estimate: Estimate, *, signed: bool = False) -> Text:
    if estimate.value is None:
        return Text("unknown", style="dim")
    text = Text(_figure(estimate.value, signed=signed))
    if estimate.low is not None and estimate.high is not None:
        low, high = (_figure(end, signed=signed) for end in (estimate.low, estimate.high))
        text.append(f" [{low},{high}]", style="dim")
    return text


def _figure(value: float, *, signed: bool) -> str:
    rounded = round(value, 2) + 0.0  # what rounds to minus zero is zero
    return f"{rounded:+.2f}" if signed else f"{rounded:.2f}"


def _notes(sides: dict[str, Agreement]) -> Iterator[str]:
    """Why something is unknown, or has no interval."""
    for name, side in sides.items():
        reasons: dict[str, list[str]] = {}
        for statistic in _STATISTICS:
            reason = getattr(side, statistic).reason
            if reason is not None:
                reasons.setdefault(reason, []).append(statistic)
        for reason, statistics in reasons.items():
            which = "" if len(statistics) == len(_STATISTICS) else f", {' and '.join(statistics)}"
            yield f"{name}{which}: {reason}"


def _confusion(report: DimensionReport) -> Table:
    """Items by the judge's label (rows) and people's (columns)."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    table.add_column("judge \\ people", style="dim")
    for label in LABELS:
        table.add_column(str(label), justify="right")
    for label, row in zip(LABELS, report.confusion, strict=True):
        table.add_row(str(label), *(f"{cell:.4g}" if cell else "·" for cell in row))
    return table


def _verdict(verdict: Verdict) -> Iterator[Text]:
    yield (
        Text("gate passed: this judge may be released", style="bold green")
        if verdict.passed
        else Text("gate failed: this judge may not be released", style="bold red")
    )
    for dimension, reasons in verdict.reasons.items():
        for reason in reasons:
            yield Text(f"  {dimension}: {reason}")
