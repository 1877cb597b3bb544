"""How a request's life looks in a terminal. Pure: rows and spans in, something to print out."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmplatform import ids
from llmplatform.invocation import Attempt, Outcome
from llmplatform.ledger import LedgerRow
from llmplatform.sampling import DEFAULT_HEAD_RATE
from llmplatform.usage import TokenUsage, UsageSource
from llmplatform.waterfall import Bar, bars_of_row
from operator_cli.console import count, ms

_WIDTH: Final = 30
_STYLES: Final = {
    Outcome.COMPLETED: "green",
    Outcome.CLIENT_CANCELLED: "yellow",
    Outcome.BACKEND_FAILED: "red",
    Outcome.REFUSED: "red",
}


def request_life(trace_id: str, rows: Sequence[LedgerRow], bars: Sequence[Bar] | None) -> RenderableType:
    """All that is known of a trace: each of its requests, then the spans, None where they cannot be read."""
    parts: list[RenderableType] = [
        Text(f"trace {ids.as_uuid(trace_id)}", style="bold"),
        Text(f"      {trace_id}  {ids.as_xray(trace_id)}", style="dim"),
    ]
    if len(rows) > 1:
        parts.append(Text(f"{len(rows)} requests"))
    for row in rows:
        parts += [Text(), _request(row)]
        if not bars:
            parts += [Text(), waterfall(bars_of_row(row))]
    parts += [Text(), Text("spans", style="bold")]
    if bars:
        parts.append(waterfall(bars))
    elif bars is None:
        parts.append(_reason("X-Ray cannot be read now", style="yellow"))
    elif any(row.trace_kept for row in rows):
        parts.append(
            _reason(
                "kept, but X-Ray has none of them (yet); on a laptop they do not survive a restart",
                style="yellow",
            )
        )
    else:
        parts.append(
            _reason(
                "not kept: those of failed, slow and evaluated requests are, and of others "
                f"{DEFAULT_HEAD_RATE:.0%} by chance (GATEWAY_TRACE_SAMPLE_RATE)",
                style="dim",
            )
        )
    if not rows:
        parts.append(Text("the ledger has no row of it (yet)", style="yellow"))
    return Group(*parts)


def waterfall(bars: Sequence[Bar]) -> Table:
    """Bars on one time line."""
    zero = min(bar.start_s for bar in bars)
    whole_s = max(max(bar.end_s for bar in bars) - zero, 1e-6)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    for bar in bars:
        begin = min(_WIDTH - 1, round((bar.start_s - zero) / whole_s * _WIDTH))
        length = max(1, min(_WIDTH - begin, round((bar.end_s - bar.start_s) / whole_s * _WIDTH)))
        line = " " * begin + "█" * length + " " * (_WIDTH - begin - length)
        table.add_row(
            Text("  " * (bar.depth + 1) + bar.name),
            Text(line, style="red" if bar.failed else "cyan"),
            Text(f"{ms((bar.start_s - zero) * 1e3)} + {ms((bar.end_s - bar.start_s) * 1e3)}", style="dim"),
        )
    return table


def _reason(text: str, *, style: str) -> Padding:
    return Padding(Text(text, style=style), (0, 0, 0, 2))


def _request(row: LedgerRow) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for name, value in _facts(row):
        table.add_row(f"  {name}", value)
    return table


def _facts(row: LedgerRow) -> Iterable[tuple[str, Text]]:
    yield "request", Text(row.request_id, style="bold")
    yield "received", Text(f"{row.received_at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z")
    yield "tenant", Text(row.tenant_id + ("" if row.origin == "client" else f" ({row.origin})"))
    yield "route", Text(_route(row))
    yield "outcome", _outcome(row)
    yield "tokens", Text(_tokens(row))
    yield "timings", Text(_timings(row))
    sampled = f"yes ({row.sample_reason})" if row.sampled else "no"
    rate = "" if row.sampled_rate is None else f", rate {row.sampled_rate:g}"
    yield "sampled", Text(sampled + rate)
    yield "trace kept", Text(row.trace_kept or "no")
    for number, attempt in enumerate(row.attempts, start=1):
        yield f"attempt {number}", _attempt(attempt)


def _route(row: LedgerRow) -> str:
    asked, answered = row.requested_model_id, row.model_id
    model = answered or asked or "none"
    if asked and answered and asked != answered:
        model = f"{answered} (asked for {asked})"
    kind = f"{row.surface}, {'streamed' if row.stream else 'whole'}"
    if row.endpoint_type is None:
        return f"{model} · {kind} · reached no backend"
    reason = f" · {row.route_reason}" if row.route_reason else ""
    return f"{model} → {row.endpoint_type} {row.backend_model_id} · {kind}{reason}"


def _outcome(row: LedgerRow) -> Text:
    details = [
        f"HTTP {row.http_status}" if row.http_status is not None else "the client left before a status",
        *([row.error_code] if row.error_code else []),
        *([f"finish reason {row.finish_reason}"] if row.finish_reason else []),
    ]
    text = Text(row.outcome.value, style=_STYLES[row.outcome])
    return text.append(f" ({', '.join(details)})", style="default")


def _tokens(row: LedgerRow) -> str:
    if row.usage_source is UsageSource.UNKNOWN:
        told = "unknown"
    else:
        told = f"{_usage(row.usage)} ({row.usage_source.value})"
    ours = (
        ""
        if row.counted_prompt_tokens is None
        else f"; our count of the prompt {row.counted_prompt_tokens:,}"
    )
    return told + ours


def _usage(usage: TokenUsage) -> str:
    parts = [f"input {count(usage.input_tokens)}", f"output {count(usage.output_tokens)}"]
    for name, value in (
        ("cache read", usage.cache_read_tokens),
        ("cache write", usage.cache_write_tokens),
        ("reasoning", usage.reasoning_tokens),
    ):
        if value:
            parts.append(f"{name} {value:,}")
    return " · ".join(parts)


def _timings(row: LedgerRow) -> str:
    parts = []
    if row.time_to_first_token_ms is not None:
        parts.append(f"first token {ms(row.time_to_first_token_ms)}")
    if row.first_token_delivered_ms is not None:
        parts.append(f"delivered {ms(row.first_token_delivered_ms)}")
    parts.append(f"total {ms(row.total_latency_ms)}")
    if row.gateway_overhead_ms is not None:
        parts.append(f"the gateway itself {ms(row.gateway_overhead_ms)}")
    return " · ".join(parts)


def _attempt(attempt: Attempt) -> Text:
    """Three lines: who was asked, how it went, what it took."""
    text = Text(f"{attempt.model_id} → {attempt.endpoint_type} {attempt.backend_model_id}\n")
    error = "" if attempt.error_code is None else f" {attempt.error_type or attempt.error_code}"
    text.append(f"{attempt.reason} · ")
    text.append(f"{attempt.outcome.value}{error}", style=_STYLES[attempt.outcome])
    text.append(f" · {ms(attempt.started_ms)} + {ms(attempt.duration_ms)}\n")
    if attempt.usage_source is UsageSource.UNKNOWN:
        text.append("tokens unknown")
    else:
        text.append(f"{_usage(attempt.usage)} ({attempt.usage_source.value})")
    if attempt.upstream_request_id is not None:
        text.append(f" · backend's id {attempt.upstream_request_id}", style="dim")
    return text
