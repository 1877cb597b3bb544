"""How one evaluation looks. Several judges' results stand side by side, and do not compare. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmplatform.aws.eval_content import NOTHING_STORED, Said, Withheld
from llmplatform.evaluations import BERTSCORE, DIMENSIONS, EvalContent, EvalResult, epoch_of
from llmplatform.usage import TokenUsage
from operator_cli.console import ms
from operator_cli.evals_times import iso, second
from operator_cli.evals_view import facts_of_judge, printable

_INDENT: Final = (0, 0, 0, 2)


@dataclass(frozen=True, slots=True)
class Shown:
    """A result, and what was said."""

    result: EvalResult
    said: Said


def evaluations(shown: Sequence[Shown], *, content: bool) -> RenderableType:
    """All results, request by request."""
    parts: list[RenderableType] = []
    for request_id, group in groupby(shown, key=lambda one: one.result.request_id):
        parts += [*_request(request_id, list(group), content=content), Text()]
    return Group(*parts[:-1])


def _request(request_id: str, shown: Sequence[Shown], *, content: bool) -> Iterator[RenderableType]:
    first = shown[0].result
    yield Text(f"request {request_id}", style="bold")
    about = _grid()
    for name, value in (
        ("tenant", first.tenant_id),
        ("trace", first.trace_id),
        ("completed", second(first.event_at)),
        ("model", _model(first)),
        ("sampled", f"at rate {first.sample_rate:g} ({first.sample_reason}): stands for {first.weight:,.1f}"),
        ("prompt SHA-256", first.prompt_sha256 or "unknown"),
    ):
        about.add_row(name, value)
    yield Padding(about, _INDENT)
    if len(shown) > 1:
        yield Text(
            f"{len(shown)} judges judged it, each on a scale of its own: their scores cannot be compared",
            style="yellow",
        )
    yield Padding(_side_by_side([one.result for one in shown]), _INDENT)
    for one in shown:
        yield from _reasons(one)
    if content:
        yield from _content(shown)


def _model(result: EvalResult) -> str:
    behind = [name for name in (result.backend_model_id, result.endpoint_name) if name is not None]
    return f"{result.model_id} ({result.endpoint_type}{': ' + ', '.join(behind) if behind else ''})"


def _side_by_side(results: Sequence[EvalResult]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("judge", style="dim")
    for result in results:
        table.add_column(result.judge.identity)
    rows: list[tuple[str, list[str]]] = [
        ("judge model", [result.judge.model_id for result in results]),
        ("rubric", [f"{result.judge.rubric_id} {result.judge.rubric_version}" for result in results]),
    ]
    rows += [
        (dimension, [_score(result, dimension) for result in results])
        for dimension in DIMENSIONS
        if any(dimension in result.values for result in results)
    ]
    rows += [
        ("BERTScore by", [result.bertscore_identity or "no reference" for result in results]),
        ("judged", [second(result.judged_at) for result in results]),
        ("judge saw", ["less than all of it" if r.content_truncated else "all of it" for r in results]),
        ("latency", [ms(result.judge_latency_ms) for result in results]),
        ("tokens", [_usage(result.judge_usage) for result in results]),
        ("cost", [_cost(result) for result in results]),
    ]
    for name, values in rows:
        table.add_row(name, *values)
    return table


def _score(result: EvalResult, dimension: str) -> str:
    if dimension == BERTSCORE:
        return "none" if result.bertscore_f1 is None else f"{result.bertscore_f1:.4f}"
    score = result.scores.get(dimension)
    return "none" if score is None else str(score)


def _usage(usage: TokenUsage) -> str:
    known = usage.known()
    return ", ".join(f"{n:,} {name.removesuffix('_tokens')}" for name, n in known.items()) or "unknown"


def _cost(result: EvalResult) -> str:
    return "unknown" if result.judge_cost_usd is None else f"${result.judge_cost_usd:f}"


def _reasons(shown: Shown) -> Iterator[RenderableType]:
    heading = Text(f"reasons of judge {shown.result.judge.identity}", style="bold")
    if isinstance(shown.said, Withheld):
        yield heading.append(f": {shown.said.reason}", style="dim")
        return
    yield heading
    reasons = _grid()
    for dimension in DIMENSIONS:
        if dimension in shown.said.reasons:
            reasons.add_row(dimension, printable(shown.said.reasons[dimension]))
    yield Padding(reasons, _INDENT)


def _content(shown: Sequence[Shown]) -> Iterator[RenderableType]:
    """What was said, once: every judge was given the same."""
    said = next((one.said for one in shown if isinstance(one.said, EvalContent)), None)
    if said is None:
        reasons = {one.said.reason for one in shown if isinstance(one.said, Withheld)}
        yield Text(f"content: {'; '.join(sorted(reasons)) or NOTHING_STORED.reason}", style="dim")
        return
    for name, text, truncated in _texts(said):
        yield Text(f"{name}{' (cut)' if truncated else ''}", style="bold")
        yield Padding(Text(printable(text)), _INDENT)


def _texts(said: EvalContent) -> Iterator[tuple[str, str, bool]]:
    yield "prompt", said.prompt, said.prompt_truncated
    yield "completion", said.completion, said.completion_truncated
    if said.reference is not None:
        yield "reference", said.reference, said.reference_truncated
    for number, context in enumerate(said.contexts, start=1):
        yield f"context {number}", context, said.contexts_truncated


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    return grid


def facts_of_shown(shown: Shown, *, content: bool) -> dict[str, Any]:
    """One result for programs; `content` adds what was said, but the judge's reasons are always there."""
    result = shown.result
    said = shown.said if isinstance(shown.said, EvalContent) else None
    facts = {
        "request_id": result.request_id,
        "trace_id": result.trace_id,
        "tenant_id": result.tenant_id,
        "event_at": iso(result.event_at),
        "judged_at": iso(result.judged_at),
        "model_id": result.model_id,
        "backend_model_id": result.backend_model_id,
        "endpoint_type": result.endpoint_type,
        "endpoint_name": result.endpoint_name,
        "sample_rate": result.sample_rate,
        "sample_reason": result.sample_reason,
        "prompt_sha256": result.prompt_sha256,
        "judge": facts_of_judge(result.judge),
        "epochs": {
            dimension: epoch_of(dimension, result.judge.identity, result.bertscore_identity)
            for dimension in result.values
        },
        "scores": dict(result.scores),
        "bertscore_f1": result.bertscore_f1,
        "bertscore_identity": result.bertscore_identity,
        "content_truncated": result.content_truncated,
        "judge_latency_ms": result.judge_latency_ms,
        "judge_usage": dict(result.judge_usage.known()),
        "judge_cost_usd": None if result.judge_cost_usd is None else f"{result.judge_cost_usd:f}",
        "reasons": None if said is None else dict(said.reasons),
        "content_withheld": shown.said.reason if isinstance(shown.said, Withheld) else None,
    }
    if content:
        facts["content"] = None if said is None else _facts_of_content(said)
    return facts


def _facts_of_content(said: EvalContent) -> dict[str, Any]:
    names = (name for name in said.__struct_fields__ if name != "reasons")
    return {name: getattr(said, name) for name in names}
