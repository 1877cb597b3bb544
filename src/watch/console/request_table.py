"""Requests as a table: the same for a page, its file and the live tail. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from llmplatform import ids
from llmplatform.aws.eval_reader import JudgedScores
from llmplatform.invocation import Outcome
from llmplatform.ledger import LedgerRow
from llmplatform.policy import Objectives
from llmplatform.prices import PriceTable
from llmplatform.usage import TokenUsage
from watch.console.tables import Cell, Column, Row, State, Table
from watch.requests.filters import Slow
from watch.requests.pricing import BY_THE_HOUR, NO_PRICE, NOT_COUNTED, cost_of_request

_SHORTLY: Final = {BY_THE_HOUR: "by the hour", NO_PRICE: "no price", NOT_COUNTED: "not counted"}
"""Why a cost is unknown, in a table; a trace's page says all of it."""
OUTCOME_STATES: Final[Mapping[Outcome, State]] = {
    Outcome.COMPLETED: "ok",
    Outcome.CLIENT_CANCELLED: "muted",
    Outcome.BACKEND_FAILED: "critical",
    Outcome.REFUSED: "warning",
}

_COLUMNS: Final = (
    Column("completed_at", "Completed", "time"),
    Column("trace", "Trace"),
    Column("tenant", "Tenant"),
    Column("model", "Model", help="that answered; where it is not the one asked for, that one beside it"),
    Column("outcome", "Outcome"),
    Column("ttft", "TTFT", "ms", help="time to the first token"),
    Column("total", "Total", "ms"),
    Column("input", "Input", "tokens", help="neither read from nor written to a cache"),
    Column("cache_read", "Cache read", "tokens"),
    Column("cache_write", "Cache write", "tokens"),
    Column("output", "Output", "tokens"),
    Column("source", "Counted by", help="who told the tokens: the model's report, or an estimate of ours"),
    Column("cost", "Cost, estimated", "usd", help="at the prices of its day"),
    Column("score", "Lowest score", "number", help="of the judge's dimensions, 1 to 5"),
)


def request_table(
    rows: Sequence[LedgerRow],
    scores: Mapping[str, JudgedScores],
    *,
    prices: PriceTable,
    region: str,
    objectives: Mapping[str, Objectives],
    rests_on: str | None = None,
    empty: str = "",
) -> Table:
    """The table of these rows, in their order."""
    return Table(
        caption="Requests",
        columns=_COLUMNS,
        rows=[
            _row(row, scores.get(row.request_id), prices, region, objectives.get(row.tenant_id))
            for row in rows
        ],
        rests_on=rests_on,
        empty=empty,
        hide_caption=True,
    )


def trace_path(trace_id: str) -> str:
    """Where a trace (32 hex digits) is shown."""
    return f"/traces/{ids.as_uuid(trace_id)}"


def _row(
    row: LedgerRow,
    judged: JudgedScores | None,
    prices: PriceTable,
    region: str,
    objectives: Objectives | None,
) -> Row:
    slow = None if objectives is None else Slow.by(objectives)
    cost = cost_of_request(row, prices, region)
    trace = ids.as_uuid(row.trace_id)
    return {
        "completed_at": row.completed_at,
        "trace": Cell(trace, href=trace_path(row.trace_id), title=trace),
        "tenant": Cell(row.tenant_id, note=None if row.origin == "client" else row.origin),
        "model": _model(row),
        "outcome": Cell(row.outcome.value, state=OUTCOME_STATES[row.outcome], note=row.error_code),
        "ttft": _time(row.time_to_first_token_ms, None if slow is None else slow.ttft_ms),
        "total": _time(row.total_latency_ms, None if slow is None else slow.total_ms),
        **_tokens(row.usage),
        "source": row.usage_source.value,
        "cost": Cell(cost.amount_usd, note=_SHORTLY.get(cost.why_unknown or "")),
        "score": _lowest(judged, sampled=row.sampled),
    }


def _model(row: LedgerRow) -> Cell:
    served, asked = row.model_id, row.requested_model_id
    if served is None:
        return Cell(asked, note=None if asked is None else "did not answer")
    return Cell(served, note=None if asked in {None, served} else f"asked for {asked}")


def _time(ms: float | None, objective_ms: float | None) -> Cell:
    late = ms is not None and objective_ms is not None and ms > objective_ms
    return Cell(ms, state="warning" if late else None, note="over objective" if late else None)


def _tokens(usage: TokenUsage) -> dict[str, int | None]:
    return {
        "input": usage.input_tokens,
        "cache_read": usage.cache_read_tokens,
        "cache_write": usage.cache_write_tokens,
        "output": usage.output_tokens,
    }


def _lowest(judged: JudgedScores | None, *, sampled: bool) -> Cell:
    if judged is None or not judged.scores:
        return Cell(None, note="not yet" if sampled else None)
    dimension, score = min(judged.scores.items(), key=lambda one: one[1])
    return Cell(score, note=dimension.replace("_", " "))
