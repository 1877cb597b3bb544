"""One request's life as a page shows it: facts, calls, time, tokens, scores, what was said. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from llmplatform.aws.eval_content import NOTHING_STORED, Said, Withheld, why_withheld
from llmplatform.evaluations import BERTSCORE, DIMENSIONS, EvalContent, EvalResult, epoch_of
from llmplatform.invocation import Attempt
from llmplatform.ledger import LedgerRow
from llmplatform.policy import TenantPolicy
from llmplatform.prices import PriceTable
from watch.console.request_table import OUTCOME_STATES
from watch.console.tables import Cell, Column, Row, State, Table
from watch.console.viewer import Viewer
from watch.reading.calibrations import Calibration
from watch.requests.drawing import Drawn, drawn_parts, place_of
from watch.requests.pricing import RequestCost, cost_of_request
from watch.requests.timings import Timings, timings_of

_LOW: Final = 2
_GOOD: Final = 4

ROLE_READS_NONE: Final = "your role reads none"


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and a value."""

    name: str
    value: str | float | datetime | None
    state: State | None = None
    mono: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """Something that was said."""

    name: str
    text: str
    cut: bool


@dataclass(frozen=True, slots=True)
class RequestView:
    """One request, ready for its page."""

    row: LedgerRow
    number: int
    facts: tuple[Fact, ...]
    timings: Timings
    parts: tuple[Drawn, ...]
    ttft_x: int | None
    calls: Table
    tokens: Table
    cost: RequestCost
    scores: Table
    judges: tuple[Fact, ...]
    no_scores: str | None
    """Why there are none; None where there are."""
    content: str | None
    """Why what was said cannot be shown; None where it can be asked for, or is shown."""
    texts: tuple[Text, ...] = ()
    reasons: tuple[tuple[str, str, str], ...] = ()
    """Judge, dimension, reason."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a request is shown with."""

    prices: PriceTable
    region: str
    now: datetime
    results: Mapping[str, Sequence[EvalResult]]
    """By request id."""
    scores_failed: bool
    scores_cut: bool
    """Whether the trace may have more scores than were read."""
    calibrations: Mapping[str, Calibration | None]
    """By judge identity; one that could not be read is not in it."""
    said: Mapping[tuple[str, str], Said] | None
    """By request and judge, where it was asked for."""


def view_of(
    number: int, row: LedgerRow, viewer: Viewer, policy: TenantPolicy | None, around: Around
) -> RequestView:
    """All of one request."""
    timings = timings_of(row)
    cost = cost_of_request(row, around.prices, around.region)
    results = around.results.get(row.request_id, ())
    said = {} if around.said is None else around.said
    shown = [(result, said.get((row.request_id, result.judge.identity))) for result in results]
    withheld = why_not(viewer, policy)
    asked = around.said is not None
    return RequestView(
        row=row,
        number=number,
        facts=tuple(_facts(row)),
        timings=timings,
        parts=drawn_parts(timings),
        ttft_x=place_of(row.time_to_first_token_ms, timings),
        calls=_calls(number, row),
        tokens=_tokens(number, cost),
        cost=cost,
        scores=_scores(number, results),
        judges=tuple(_judges(results, around)),
        no_scores=None if results else _no_scores(row, around),
        content=_content_state(row, results, withheld, shown if asked else None),
        texts=tuple(_texts(shown)),
        reasons=tuple(_reasons(shown)),
    )


def why_not(viewer: Viewer, policy: TenantPolicy | None) -> Withheld | None:
    """Why a viewer may not be shown what was said; None where they may."""
    reason = why_withheld(policy)
    if reason is not None:
        hashed = policy is not None
        return Withheld(f"not kept by policy (hash_only): {reason}" if hashed else reason, "policy")
    return None if viewer.may_read_content(policy) else Withheld(ROLE_READS_NONE, "policy")


def _facts(row: LedgerRow) -> Iterator[Fact]:
    yield Fact("Outcome", row.outcome.value, OUTCOME_STATES[row.outcome], note=_status(row))
    if row.error_code is not None:
        yield Fact("Error", row.error_code, mono=True)
    yield Fact("Tenant", row.tenant_id, note=None if row.origin == "client" else f"origin: {row.origin}")
    yield Fact("Asked for", row.requested_model_id)
    yield Fact("Served by", row.model_id, note=row.route_reason)
    behind = row.endpoint_name or row.backend_model_id
    yield Fact("Backend", behind, mono=True, note=row.endpoint_type or "no model was called")
    yield Fact("Surface", row.surface, note="streamed" if row.stream else "in one piece")
    yield Fact("Finish reason", row.finish_reason)
    yield Fact("Received", row.received_at)
    yield Fact("Completed", row.completed_at)
    sampled = f"yes: {row.sample_reason}" if row.sampled else "no"
    yield Fact(
        "Chosen for evaluation",
        sampled,
        note=None if row.sampled_rate is None else f"rate {row.sampled_rate:g}",
    )
    yield Fact("Spans kept", row.trace_kept or "no")
    yield Fact("Prompt, counted by us", row.counted_prompt_tokens, note="tokens")
    yield Fact("Prompt's SHA-256", row.prompt_sha256, mono=True)
    yield Fact("Request id", row.request_id, mono=True)


def _status(row: LedgerRow) -> str:
    return "the client left before a status" if row.http_status is None else f"HTTP {row.http_status}"


def _calls(number: int, row: LedgerRow) -> Table:
    return Table(
        caption="Calls to models",
        name=f"calls-{number}",
        columns=(
            Column("call", "Call", "number", sortable=False),
            Column("why", "Why", sortable=False),
            Column("model", "Model", sortable=False),
            Column("outcome", "Outcome", sortable=False),
            Column("started", "Started at", "ms", sortable=False),
            Column("lasted", "Lasted", "ms", sortable=False),
            Column("first", "First event at", "ms", sortable=False),
            Column("upstream", "By its own account", "ms", "what the backend says it took", sortable=False),
            Column("tier", "Tier", sortable=False),
            Column("upstream_id", "Backend's request id", sortable=False),
        ),
        rows=[_call(at, attempt) for at, attempt in enumerate(row.attempts, start=1)],
        empty="No model was called.",
    )


def _call(at: int, attempt: Attempt) -> Row:
    error = " · ".join(one for one in (attempt.error_code, attempt.error_type) if one)
    return {
        "call": at,
        "why": Cell(attempt.reason, state=None if attempt.reason == "requested" else "warning"),
        "model": Cell(attempt.model_id, note=attempt.endpoint_name or attempt.backend_model_id),
        "outcome": Cell(attempt.outcome.value, state=OUTCOME_STATES[attempt.outcome], note=error or None),
        "started": attempt.started_ms,
        "lasted": attempt.duration_ms,
        "first": attempt.first_event_ms,
        "upstream": attempt.upstream_latency_ms,
        "tier": attempt.service_tier,
        "upstream_id": attempt.upstream_request_id,
    }


def _tokens(number: int, cost: RequestCost) -> Table:
    why = cost.why_unknown
    at_least = f"at least ${cost.known_usd:f}: {why}" if cost.known_usd else why
    return Table(
        caption="Tokens and their prices",
        name=f"tokens-{number}",
        columns=(
            Column("call", "Call", "number", sortable=False),
            Column("class", "Class", sortable=False),
            Column("tokens", "Tokens", "tokens", sortable=False),
            Column("source", "Counted by", sortable=False),
            Column("price_key", "Price key", sortable=False),
            Column("price", "USD per million", sortable=False),
            Column("since", "In force since", sortable=False),
            Column("amount", "Amount, USD", sortable=False),
        ),
        rows=[
            {
                "call": line.attempt,
                "class": line.token_class.replace("_", " "),
                "tokens": line.tokens,
                "source": line.source.value,
                "price_key": line.price_key,
                "price": None if line.usd_per_million is None else f"{line.usd_per_million.normalize():f}",
                "since": None if line.effective_from is None else line.effective_from.isoformat(),
                "amount": Cell(
                    None if line.amount_usd is None else f"{line.amount_usd:f}", note=line.why_unknown
                ),
            }
            for line in cost.lines
        ],
        totals={
            "call": "Sum",
            **dict.fromkeys(("class", "tokens", "source", "price_key", "price", "since"), ""),
            "amount": Cell(
                None if cost.amount_usd is None else f"{cost.amount_usd:f}",
                note=None if cost.amount_usd is not None else at_least,
            ),
        },
        empty="No model was called: nothing to pay.",
    )


def _scores(number: int, results: Sequence[EvalResult]) -> Table:
    return Table(
        caption="Scores",
        name=f"scores-{number}",
        columns=(
            Column("dimension", "Dimension", sortable=False),
            Column("score", "Score", "number", "1 to 5, higher is better", sortable=False),
            Column("epoch", "Epoch", help="what makes scores comparable", sortable=False),
            Column("judged", "Judged", "time", sortable=False),
        ),
        rows=[
            {
                "dimension": dimension.replace("_", " "),
                "score": Cell(value, state=_state(dimension, value)),
                "epoch": epoch_of(dimension, result.judge.identity, result.bertscore_identity),
                "judged": result.judged_at,
            }
            for result in results
            for dimension in DIMENSIONS
            if (value := result.values.get(dimension)) is not None
        ],
        hide_caption=True,
    )


def _state(dimension: str, value: float) -> State | None:
    if dimension == BERTSCORE:
        return None
    return "critical" if value <= _LOW else "ok" if value >= _GOOD else "warning"


def _judges(results: Sequence[EvalResult], around: Around) -> Iterator[Fact]:
    for result in results:
        judge = result.judge
        seen = "; it saw less than all of it" if result.content_truncated else ""
        cost = "unknown" if result.judge_cost_usd is None else f"${result.judge_cost_usd:f}"
        yield Fact(
            f"Judge {judge.identity}",
            _calibrated(judge.identity, around),
            note=f"{judge.model_id}, rubric {judge.rubric_id} {judge.rubric_version}; cost {cost}{seen}",
        )


def _calibrated(identity: str, around: Around) -> str:
    if identity not in around.calibrations:
        return "calibration unknown"
    found = around.calibrations[identity]
    if found is None:
        return "never calibrated"
    days = (around.now - found.at).days
    return f"calibrated {days} days ago, {'passed' if found.passed else 'did not pass'}"


def _no_scores(row: LedgerRow, around: Around) -> str:
    if around.scores_failed:
        return "Scores cannot be read now."
    if not row.sampled:
        return "Not chosen for evaluation, so there are no scores."
    if around.scores_cut:
        return "This trace has more scores than are read at once, and those that were read are of others."
    age_s = (around.now - row.completed_at).total_seconds()
    return (
        f"Chosen {age_s:,.0f} s ago and not scored: it waits for a worker, was skipped, or was put aside "
        "(`llm-platform evals parked`)."
    )


def _content_state(
    row: LedgerRow,
    results: Sequence[EvalResult],
    withheld: Withheld | None,
    shown: Sequence[tuple[EvalResult, Said | None]] | None,
) -> str | None:
    if withheld is not None:
        return withheld.reason
    if not results:
        return "not sampled: only what is evaluated is kept" if not row.sampled else "nothing is stored yet"
    if shown is None:
        none_stored = all(result.content is None for result in results)
        return NOTHING_STORED.reason if none_stored else None
    if any(isinstance(said, EvalContent) for _, said in shown):
        return None
    reasons = {_told(said) for _, said in shown if isinstance(said, Withheld)}
    return "; ".join(sorted(reasons)) or NOTHING_STORED.reason


def _told(said: Withheld) -> str:
    return f"erased: {said.reason}" if said.kind == "erased" else said.reason


def _texts(shown: Sequence[tuple[EvalResult, Said | None]]) -> Iterator[Text]:
    """What was said, once: every judge was given the same."""
    said = next((said for _, said in shown if isinstance(said, EvalContent)), None)
    if said is None:
        return
    yield Text("Prompt", said.prompt, said.prompt_truncated)
    yield Text("Answer", said.completion, said.completion_truncated)
    if said.reference is not None:
        yield Text("Reference", said.reference, said.reference_truncated)
    for number, context in enumerate(said.contexts, start=1):
        yield Text(f"Context {number}", context, said.contexts_truncated)


def _reasons(shown: Sequence[tuple[EvalResult, Said | None]]) -> Iterator[tuple[str, str, str]]:
    for result, said in shown:
        if isinstance(said, EvalContent):
            for dimension in DIMENSIONS:
                if dimension in said.reasons:
                    yield result.judge.identity, dimension.replace("_", " "), said.reasons[dimension]
