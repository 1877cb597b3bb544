"""How a tenant's scores look, in a terminal and for programs. Pure: what was found in, what to print out.

A line of bars has its own scale, told beside it: a fall of a tenth of a point is to be seen.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmplatform.aws.eval_content import Said, Withheld
from llmplatform.eval_heartbeat import Heartbeat
from llmplatform.eval_scores import Line, Mean, Worst, width_of
from llmplatform.eval_status import SeriesStatus
from llmplatform.evaluations import BERTSCORE, EvalResult, Judge
from operator_cli.evals_times import iso, minute, second

_BARS: Final = "▁▂▃▄▅▆▇█"
_NOTHING: Final = "·"
_INDENT: Final = (0, 0, 0, 2)
_INNER: Final = (0, 0, 0, 4)


@dataclass(frozen=True, slots=True)
class BadAnswer:
    """One of the worst answers; `result` is None where it is gone meanwhile."""

    worst: Worst
    result: EvalResult | None
    said: Said | None


@dataclass(frozen=True, slots=True)
class Overview:
    """What there is to say of a tenant's scores."""

    tenant_id: str
    start: datetime
    end: datetime
    answers: int
    stand_for: float
    """Requests: the sum of 1 / sample rate."""
    lines: tuple[Line, ...]
    judges: Mapping[str, Judge | str | None]
    """By epoch: the judge, or the scorer's identity for BERTScore. None is unknown."""
    statuses: Mapping[str, SeriesStatus]
    """By the key of the series."""
    worst: tuple[BadAnswer, ...]
    workers: tuple[Heartbeat, ...]
    """Of the whole platform."""


def overview(found: Overview) -> RenderableType:
    """All of it, for a terminal."""
    width = width_of(found.start, found.end)
    parts: list[RenderableType] = [
        Text(
            f"{found.tenant_id}  {minute(found.start)} to {minute(found.end)}, by the {width}", style="bold"
        ),
        Text(f"answers scored: {found.answers:,}, standing for {found.stand_for:,.0f} requests"),
    ]
    epochs = [
        (epoch, list(lines)) for epoch, lines in groupby(found.lines, key=lambda line: line.series.epoch)
    ]
    if sum(isinstance(found.judges.get(epoch), Judge | None) for epoch, _ in epochs) > 1:
        parts.append(
            Text(
                "judged by more than one judge: their scores cannot be compared, and no mean spans them",
                style="yellow",
            )
        )
    for epoch, lines in epochs:
        parts += [Text(), _judge(epoch, found.judges.get(epoch))]
        for model, of_model in groupby(lines, key=lambda line: line.series.model_id):
            parts += _model(model, list(of_model), found.statuses)
    if found.worst:
        parts += [Text(), *_worst(found.worst)]
    return Group(*parts, Text(), *_workers(found.workers, found.end))


def sparkline(means: Sequence[float | None]) -> str:
    """Bars from the lowest of the means to the highest; a dot where there is none."""
    known = [mean for mean in means if mean is not None]
    if not known:
        return _NOTHING * len(means)
    low, high = min(known), max(known)

    def bar(mean: float | None) -> str:
        if mean is None:
            return _NOTHING
        share = (mean - low) / (high - low) if high > low else 0.5
        return _BARS[min(int(share * len(_BARS)), len(_BARS) - 1)]

    return "".join(map(bar, means))


def _judge(epoch: str, judge: Judge | str | None) -> Text:
    match judge:
        case Judge():
            rubric = f"rubric {judge.rubric_id} {judge.rubric_version}"
            return Text(f"judge {epoch}  {judge.model_id}, {rubric}", style="bold")
        case str():
            return Text(f"BERTScore {judge}", style="bold")
        case None:
            return Text(f"judge {epoch}", style="bold")


def _model(
    model: str, lines: Sequence[Line], statuses: Mapping[str, SeriesStatus]
) -> Iterator[RenderableType]:
    yield Padding(Text(model), _INDENT)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("dimension", "n", "mean"):
        table.add_column(name, no_wrap=True, justify="left" if name == "dimension" else "right")
    table.add_column("over time", overflow="fold")  # a month is longer than a line
    table.add_column("from–to", no_wrap=True)
    for line in lines:
        means = [mean.value for _, mean in line.buckets]
        dimension = line.series.dimension
        table.add_row(
            dimension,
            f"{line.whole.n:,}",
            _figure(line.whole.value, dimension),
            Text(sparkline(means), style="cyan"),
            Text(_scale(means, dimension), style="dim"),
        )
    yield Padding(table, _INNER)
    standing: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        told = _drift(statuses.get(line.series.key), line.series.dimension)
        standing.setdefault(told, []).append(line.series.dimension)
    for (told_text, style), dimensions in standing.items():
        names = "all" if len(dimensions) == len(lines) > 1 else ", ".join(dimensions)
        drift = Text("drift: ", style="dim").append(told_text, style=style)
        yield Padding(drift.append(f" ({names})", style="dim"), _INNER)


def _figure(value: float | None, dimension: str) -> str:
    if value is None:
        return "unknown"
    return f"{value:.3f}" if dimension == BERTSCORE else f"{value:.2f}"


def _scale(means: Sequence[float | None], dimension: str) -> str:
    known = [mean for mean in means if mean is not None]
    if not known:
        return ""
    return f"{_figure(min(known), dimension)}–{_figure(max(known), dimension)}"


def _drift(status: SeriesStatus | None, dimension: str) -> tuple[str, str]:
    """How a series stands, and in which style that is said."""
    if status is None:
        return "not watched yet", "dim"
    if not status.current:
        return "an earlier epoch", "dim"
    if status.status == "warming_up":
        lacks = [
            f"{missing:,} {what}"
            for missing, what in ((status.missing_samples, "samples"), (status.missing_hours, "hours"))
            if missing
        ]
        return f"warming up{', lacks ' + ' and '.join(lacks) if lacks else ''}", "dim"
    drop = ""
    if status.drop_percent is not None:
        side = "under" if status.drop_percent > 0 else "over"
        drop = f"; {abs(status.drop_percent):.1f} % {side} the baseline"
    if status.fall is not None:
        fall = status.fall
        levels = f"{_figure(fall.baseline_mean, dimension)} → {_figure(fall.level, dimension)}"
        return f"fallen since {minute(fall.onset)}: {levels}{drop}", "bold red"
    return f"{status.status}{drop}", "red" if status.dropped else "green"


def _worst(worst: Sequence[BadAnswer]) -> Iterator[RenderableType]:
    first = worst[0].worst
    by = "BERTScore" if first.dimension == BERTSCORE else f"judge {first.scores.judge_identity}"
    yield Text(f"worst answers by {by}", style="bold")
    for one in worst:
        scores, result = one.worst.scores, one.result
        trace = "gone meanwhile" if result is None else result.trace_id
        figure = f"{one.worst.value:.3f}" if one.worst.dimension == BERTSCORE else f"{one.worst.value:g}"
        yield Text(
            f"  {second(scores.event_at)}  {one.worst.dimension} {figure}  {scores.model_id}  trace {trace}"
        )
        reason = reason_text(one.said, one.worst.dimension)
        if reason is not None:
            yield Padding(reason, _INNER)


def reason_text(said: Said | None, dimension: str) -> Text | None:
    """The judge's reason, or why it is not shown; None where there can be none."""
    if said is None or dimension == BERTSCORE:
        return None
    if isinstance(said, Withheld):
        return Text(f"reason: {said.reason}", style="dim")
    reason = said.reasons.get(dimension)
    return None if reason is None else Text(printable(reason))


def printable(text: str) -> str:
    """A text that others wrote, without what would steer the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)


def _workers(workers: Sequence[Heartbeat], now: datetime) -> Iterator[Text]:
    if not workers:
        yield Text("no worker has told of itself within two days (`llm-platform doctor`)", style="yellow")
        return
    yield Text("workers, of all tenants, since each one's start", style="dim")
    for beat in workers:
        skipped, parked = sum(beat.skipped.values()), sum(beat.parked.values())
        seen_s = (now - beat.at).total_seconds()
        lag = "unknown" if beat.lag_s is None else f"{beat.lag_s:.0f} s"
        yield Text(
            f"  {beat.worker}: {beat.read:,} read, {beat.scored:,} scored, {beat.known:,} scored before, "
            f"{skipped:,} skipped, {parked:,} parked; lag {lag}; seen {seen_s:.0f} s ago",
            style="dim",
        )


def facts_of_overview(found: Overview) -> dict[str, Any]:
    """The same for programs."""
    return {
        "tenant_id": found.tenant_id,
        "from": iso(found.start),
        "to": iso(found.end),
        "answers": found.answers,
        "stand_for_requests": found.stand_for,
        "series": [_facts_of_line(line, found) for line in found.lines],
        "worst": [_facts_of_worst(one) for one in found.worst],
        "workers": [
            {
                "worker": beat.worker,
                "at": iso(beat.at),
                "started_at": iso(beat.started_at),
                "read": beat.read,
                "scored": beat.scored,
                "known": beat.known,
                "skipped": dict(beat.skipped),
                "parked": dict(beat.parked),
                "lag_s": beat.lag_s,
            }
            for beat in found.workers
        ],
    }


def _facts_of_line(line: Line, found: Overview) -> dict[str, Any]:
    status = found.statuses.get(line.series.key)
    return {
        "model_id": line.series.model_id,
        "dimension": line.series.dimension,
        "epoch": line.series.epoch,
        "judge": facts_of_judge(found.judges.get(line.series.epoch)),
        **_facts_of_mean(line.whole),
        "bucket": width_of(found.start, found.end),
        "buckets": [{"at": iso(at), **_facts_of_mean(mean)} for at, mean in line.buckets],
        "drift": None
        if status is None
        else {
            "status": status.status,
            "current": status.current,
            "drop_percent": status.drop_percent,
            "dropped": status.dropped,
            "fallen_since": None if status.fall is None else iso(status.fall.onset),
        },
    }


def facts_of_judge(judge: Judge | str | None) -> dict[str, Any] | None:
    """Who scored, for programs."""
    match judge:
        case Judge():
            return {
                "identity": judge.identity,
                "model_id": judge.model_id,
                "rubric_id": judge.rubric_id,
                "rubric_version": judge.rubric_version,
            }
        case str():
            return {"identity": judge}
        case None:
            return None


def _facts_of_mean(mean: Mean) -> dict[str, Any]:
    return {"n": mean.n, "weight": mean.weight, "mean": mean.value}


def _facts_of_worst(one: BadAnswer) -> dict[str, Any]:
    scores, dimension = one.worst.scores, one.worst.dimension
    withheld = one.said.reason if isinstance(one.said, Withheld) else None
    said = None if one.said is None or isinstance(one.said, Withheld) else one.said
    return {
        "request_id": scores.request_id,
        "trace_id": None if one.result is None else one.result.trace_id,
        "at": iso(scores.event_at),
        "model_id": scores.model_id,
        "judge_identity": scores.judge_identity,
        "dimension": dimension,
        "score": one.worst.value,
        "reason": None if said is None else said.reasons.get(dimension),
        "reason_withheld": withheld,
    }
