"""`/requests`: finds requests by id, tenant, time and what became of them; and shows them as they end."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from llmplatform import ids
from llmplatform.aws.eval_reader import JudgedScores
from llmplatform.errors import MalformedRequest
from llmplatform.evaluations import DIMENSIONS
from llmplatform.invocation import Outcome
from llmplatform.ledger import LedgerRow
from llmplatform.policy import Objectives
from watch.console.faults import CannotBeRead
from watch.console.pages.asking import Asked, SignedIn
from watch.console.parts import ConsoleParts
from watch.console.rendering import as_csv, page
from watch.console.request_table import request_table, trace_path
from watch.console.timerange import TimeRange
from watch.console.viewer import Viewer
from watch.reading.partly import FAILURES, partly
from watch.reading.requests import TAIL_ROWS, Found, Tenants
from watch.requests.filters import Filters
from watch.requests.merging import Cursor

ROWS: Final = 50
TAIL_EVERY_S: Final = 2
TAIL_OF_MANY_EVERY_S: Final = 5
"""Where more than `_FEW_TENANTS` are looked at: each is eight reads a time."""
TAIL_STOPS_AFTER_MIN: Final = 5
_FEW_TENANTS: Final = 10
_WITHIN_S: Final = 8.0
_ROWS_A_GET: Final = 100
_FILTERS: Final = (
    "tenant",
    "model",
    "outcome",
    "error",
    "origin",
    "slow",
    "slow_ms",
    "score",
    "dimension",
)


@dataclass(frozen=True, slots=True)
class _Listed:
    """What a page of requests shows."""

    found: Found
    scores: Mapping[str, JudgedScores]
    scores_failed: bool = False


def routes(parts: ConsoleParts) -> APIRouter:
    """`/requests` and its live tail."""
    router = APIRouter()

    @router.get("/requests")
    async def requests(request: Request, viewer: SignedIn, range_: Asked) -> Response:
        query = request.query_params
        problem = None
        if query.get("q"):
            trace_id = ids.trace_id_of(ids.bare(query["q"]))
            if trace_id is not None:
                return RedirectResponse(trace_path(trace_id), HTTPStatus.SEE_OTHER)
            problem = "That is no id: paste what x-trace-id, x-request-id or the answer's id said."
        filters = Filters.asked(query)
        tenants = _tenants(parts, viewer, filters)
        listed = await _listed(parts, tenants, filters, range_, query.get("after"))
        found = listed.found
        table = request_table(
            found.rows,
            listed.scores,
            prices=parts.prices,
            region=parts.links.region,
            objectives=_objectives(tenants),
            rests_on=_told(found),
            empty=_empty(found),
        ).sorted_as(query)
        if (file := as_csv(request, table)) is not None:
            return file
        return page(
            request,
            "requests.html",
            viewer=viewer,
            title="Requests",
            range=range_,
            problem=problem,
            rows=table,
            found=found,
            scores_failed=listed.scores_failed,
            asked={name: query.get(name, "") for name in _FILTERS},
            choices=_choices(parts, viewer),
            # Only at the newest end is there anything to wait for, and scores come long after.
            tail=_tail_of(found.rows, parts.clock.now(), tenants)
            if range_.last and not query.get("after") and filters.low is None
            else None,
        )

    @router.get("/requests/tail")
    async def tail(request: Request, viewer: SignedIn) -> Response:
        query = request.query_params
        since = _moment(query.get("after", ""))
        filters = Filters.asked(query)
        tenants = _tenants(parts, viewer, filters)
        try:
            async with asyncio.timeout(_WITHIN_S):
                rows = await parts.lives.search.tail(tenants, filters, since)
        except FAILURES as failure:
            raise CannotBeRead("the ledger") from failure
        table = request_table(
            rows, {}, prices=parts.prices, region=parts.links.region, objectives=_objectives(tenants)
        )
        told = zip(rows, table.rows, strict=True)
        answer = page(
            request, "requests_tail.html", viewer=viewer, title="Requests", table=table, told=list(told)
        )
        answer.headers["x-tail-after"] = _text(max((row.completed_at for row in rows), default=since))
        return answer

    return router


def _tenants(parts: ConsoleParts, viewer: Viewer, filters: Filters) -> Tenants:
    """Whose rows are read: those that the viewer sees, or the one of them that is asked for."""
    if filters.tenant is not None:
        viewer.check_sees(filters.tenant)
        return {filters.tenant: parts.policies.policy_of(ids.TenantId(filters.tenant))}
    tenants: Tenants = {
        policy.tenant_id: policy for policy in parts.policies.policies() if viewer.may_see(policy.tenant_id)
    }
    # Requests that named no tenant are the platform's own.
    return {**tenants, ids.UNKNOWN: None} if viewer.sees_all else tenants


async def _listed(
    parts: ConsoleParts, tenants: Tenants, filters: Filters, range_: TimeRange, after: str | None
) -> _Listed:
    cursor = Cursor.asked(after) if after else None
    try:
        async with asyncio.timeout(_WITHIN_S):
            if filters.low is not None:
                return await _with_low_scores(parts, tenants, filters, range_, cursor)
            found = await parts.lives.search.page(
                tenants, filters, range_.first, range_.end, after=cursor, wanted=ROWS
            )
    except FAILURES as failure:
        raise CannotBeRead("the ledger") from failure
    scores = await partly("scores", parts.lives.scores.of_rows(found.rows))
    return _Listed(found, scores or {}, scores is None)


async def _with_low_scores(
    parts: ConsoleParts, tenants: Tenants, filters: Filters, range_: TimeRange, cursor: Cursor | None
) -> _Listed:
    """The other way around: scores first, then the rows that they are of."""
    assert filters.low is not None  # noqa: S101  # as the caller asked
    low = await parts.lives.scores.low(tenants, range_.first, range_.end, filters.low)
    scores = {one.request_id: one for one in low.scores}
    wanted = sorted(low.scores, key=lambda one: one.request_id, reverse=True)
    if cursor is not None and cursor.before is not None:
        wanted = [one for one in wanted if one.request_id < cursor.before]
    rows: list[LedgerRow] = []
    following = None
    for at in range(0, len(wanted), _ROWS_A_GET):
        batch = wanted[at : at + _ROWS_A_GET]
        found = await parts.lives.search.rows_of(
            [(one.tenant_id, one.event_at, one.request_id) for one in batch], tenants, filters
        )
        rows += [found[one.request_id] for one in batch if one.request_id in found]
        if len(rows) > ROWS:
            rows = rows[:ROWS]
            following = Cursor(rows[-1].completed_at, rows[-1].request_id)
            break
    return _Listed(Found(tuple(rows), following, low.stopped_at), scores)


def _objectives(tenants: Tenants) -> dict[str, Objectives]:
    return {tenant: policy.objectives for tenant, policy in tenants.items() if policy is not None}


def _told(found: Found) -> str:
    rows = f"{len(found.rows)} request{'' if len(found.rows) == 1 else 's'}, the newest first"
    if found.stopped_at is not None:
        return f"{rows}; looked back to {found.stopped_at:%Y-%m-%d %H:%M:%S} UTC, older ones may be there"
    return rows


def _empty(found: Found) -> str:
    if found.stopped_at is not None:
        if found.following is None:  # by scores, which are looked through from the newest on
            return "None among the newest scores of this time: ask for an earlier or a shorter one."
        return "None so far: go on to look further back."
    return "No such request in this time. One that has just ended may be on its way: load the page again."


def _choices(parts: ConsoleParts, viewer: Viewer) -> dict[str, Sequence[str]]:
    policies = [policy for policy in parts.policies.policies() if viewer.may_see(policy.tenant_id)]
    models = sorted(parts.catalogue.models)
    return {
        "tenant": sorted(policy.tenant_id for policy in policies),
        # A model may be made for one tenant: its name is for who may use it.
        "model": [
            name
            for name in models
            if viewer.sees_all or any(policy.allows_model(name) for policy in policies)
        ],
        "outcome": [outcome.value for outcome in Outcome],
        "origin": ["client", "judge"],
        "dimension": DIMENSIONS,
    }


@dataclass(frozen=True, slots=True)
class _Tail:
    """What the script is told of the live tail."""

    after: str
    seen: str
    """Requests that are on the page already."""
    every_s: int
    stops_after_min: int = TAIL_STOPS_AFTER_MIN
    most_rows: int = TAIL_ROWS


def _tail_of(rows: Sequence[LedgerRow], now: datetime, tenants: Tenants) -> _Tail:
    newest = max((row.completed_at for row in rows), default=now - timedelta(minutes=1))
    return _Tail(
        after=_text(newest),
        seen=" ".join(row.request_id for row in rows),
        every_s=TAIL_EVERY_S if len(tenants) <= _FEW_TENANTS else TAIL_OF_MANY_EVERY_S,
    )


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedRequest("after: must be a time", param="after") from None


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
