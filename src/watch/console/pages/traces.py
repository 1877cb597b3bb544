"""`/traces/{trace_id}`: the requests under a trace, each with its whole life; what was said on request."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from llmplatform import ids
from llmplatform.aws.eval_content import Said, Withheld
from llmplatform.aws.ledger_reader import MAX_ROWS
from llmplatform.aws.tables import REQUEST_LEDGER
from llmplatform.evaluations import EvalContent, EvalResult
from llmplatform.ledger import LedgerRow
from llmplatform.policy import TenantPolicy
from llmplatform.sampling import DEFAULT_HEAD_RATE
from llmplatform.waterfall import Bar
from watch.console.faults import CannotBeRead
from watch.console.observe import log_content_read
from watch.console.pages.asking import SignedIn
from watch.console.parts import ConsoleParts
from watch.console.rendering import address, as_csv, page
from watch.console.request_table import request_table, trace_path
from watch.console.trace_view import Around, view_of, why_not
from watch.console.viewer import Viewer
from watch.reading.calibrations import Calibration
from watch.reading.log_lines import WITHIN_S as LOG_WITHIN_S
from watch.reading.log_lines import LogLine, query_of
from watch.reading.partly import partly
from watch.reading.scores import MOST_OF_TRACE, scores_by_request
from watch.reading.traces import WITHIN_S as SPANS_WITHIN_S
from watch.requests.drawing import drawn_bars

MOST_SHOWN: Final = 20
"""Requests of a trace that are shown whole; the table has all."""
_LEDGER_WITHIN_S: Final = 6.0
_OPENED_WITHIN_S: Final = 6.0
"""All that was said, each under its tenant's key."""
_OF_LOG_WITHIN_S: Final = LOG_WITHIN_S + 4
_OF_SPANS_WITHIN_S: Final = SPANS_WITHIN_S + 4


@dataclass(frozen=True, slots=True)
class _Trace:
    """What is known of a trace, as far as the viewer may see it. None could not be read."""

    trace_id: str
    rows: tuple[LedgerRow, ...]
    bars: tuple[Bar, ...] | None
    results: tuple[EvalResult, ...] | None
    scores_cut: bool = False
    """Whether there may be more results than were read."""


def routes(parts: ConsoleParts) -> APIRouter:
    """The trace, and the button that shows what was said."""
    router = APIRouter()

    @router.get("/traces/{any_id}")
    async def trace(request: Request, viewer: SignedIn, any_id: str) -> Response:
        trace_id = ids.trace_id_of(ids.bare(any_id))
        if trace_id is None:
            return _missing(request, viewer, any_id, known_form=False)
        if any_id != ids.as_uuid(trace_id):
            return RedirectResponse(trace_path(trace_id), HTTPStatus.SEE_OTHER)
        found = await _read(parts, viewer, trace_id)
        if not found.rows:
            request_row = await _of_request(parts, viewer, any_id)
            if request_row is not None:
                return RedirectResponse(trace_path(request_row.trace_id), HTTPStatus.SEE_OTHER)
            return _missing(request, viewer, any_id)
        log = None
        if request.query_params.get("log"):
            log = await _log(parts, viewer, found)
        return await _page(parts, request, viewer, found, log=log)

    @router.get("/traces/{any_id}/content")
    async def back(request: Request, any_id: str) -> Response:
        # The address of a page that shows what was said, loaded again, shows it no more.
        to = address(f"/traces/{quote(any_id, safe='')}", request.query_params)
        return RedirectResponse(to, HTTPStatus.SEE_OTHER)

    @router.post("/traces/{any_id}/content")
    async def content(request: Request, viewer: SignedIn, any_id: str) -> Response:
        trace_id = ids.parse_uuid(any_id)
        found = None if trace_id is None else await _read(parts, viewer, trace_id)
        if found is None or not found.rows:
            return _missing(request, viewer, any_id)
        said = await _said(parts, request, viewer, found)
        return await _page(parts, request, viewer, found, said=said)

    return router


async def _read(parts: ConsoleParts, viewer: Viewer, trace_id: str) -> _Trace:
    """All of it; only without the ledger is there no page. Its rows say whether X-Ray has spans, and when.

    Others' requests may be under it too. A tenant's are asked for alone, so that not even their number tells
    of them, and what comes is held to the viewer once more.
    """
    lives, only = parts.lives, viewer.tenant_id
    rows, results = await asyncio.gather(
        partly("ledger", lives.ledger.of_trace(trace_id, only), within_s=_LEDGER_WITHIN_S),
        partly("scores", lives.scores.of_trace(trace_id, only)),
    )
    if rows is None:
        raise CannotBeRead("the ledger")
    seen = tuple(row for row in rows if viewer.may_see(row.tenant_id))
    bars = await partly("spans", lives.traces.of_requests(seen, only), within_s=_OF_SPANS_WITHIN_S)
    ours = None if results is None else tuple(one for one in results if viewer.may_see(one.tenant_id))
    cut = results is not None and len(results) == MOST_OF_TRACE
    return _Trace(trace_id, seen, bars, ours, cut)


async def _of_request(parts: ConsoleParts, viewer: Viewer, any_id: str) -> LedgerRow | None:
    """The row whose request id this is, as answers and `x-request-id` give it."""
    if ids.arrival_of(any_id) is None:
        return None
    tenants = [policy.tenant_id for policy in parts.policies.policies() if viewer.may_see(policy.tenant_id)]
    asked = [*tenants, ids.UNKNOWN] if viewer.sees_all else tenants
    rows = await partly("ledger", parts.lives.ledger.of_request(any_id, asked), within_s=_LEDGER_WITHIN_S)
    if rows is None:
        raise CannotBeRead("the ledger")
    return next((row for row in rows if viewer.may_see(row.tenant_id)), None)


async def _said(
    parts: ConsoleParts, request: Request, viewer: Viewer, found: _Trace
) -> dict[tuple[str, str], Said]:
    """What was said, as far as policy and role allow, each reading of a tenant's written down."""
    shown = {row.request_id for row in found.rows[:MOST_SHOWN]}
    results = [result for result in found.results or () if result.request_id in shown]

    async def one(result: EvalResult) -> Said:
        policy = _policy(parts, result.tenant_id)
        withheld = why_not(viewer, policy)
        if withheld is not None:
            return withheld
        try:
            async with asyncio.timeout(_OPENED_WITHIN_S):
                return await parts.lives.content.said(result, policy)
        except TimeoutError:
            return Withheld("under the tenant's key, and KMS does not answer in time")

    told = await asyncio.gather(*map(one, results))
    opened = {
        result.tenant_id for result, said in zip(results, told, strict=True) if isinstance(said, EvalContent)
    }
    for tenant_id in sorted(opened):
        log_content_read(request, tenant_id, ids.as_uuid(found.trace_id))
    return {
        (result.request_id, result.judge.identity): said for result, said in zip(results, told, strict=True)
    }


async def _log(parts: ConsoleParts, viewer: Viewer, found: _Trace) -> Sequence[LogLine] | str:
    """The log's lines of the trace, or why there are none to show."""
    start, end = _span(found.rows)
    reading = parts.lives.log_lines.of_trace(found.trace_id, start, end, viewer.tenant_id)
    lines = await partly("log lines", reading, within_s=_OF_LOG_WITHIN_S)
    if lines is None:
        return "Logs Insights did not answer"
    return lines if viewer.sees_all else [line for line in lines if _is_of(line, viewer)]


def _is_of(line: LogLine, viewer: Viewer) -> bool:
    """Whether a line says that it is of what the viewer sees; one that does not say is not."""
    try:
        told = orjson.loads(line.message)
    except orjson.JSONDecodeError:
        return False
    tenant_id = told.get("tenant_id") if isinstance(told, dict) else None
    return isinstance(tenant_id, str) and viewer.may_see(tenant_id)


async def _page(
    parts: ConsoleParts,
    request: Request,
    viewer: Viewer,
    found: _Trace,
    *,
    said: dict[tuple[str, str], Said] | None = None,
    log: Sequence[LogLine] | str | None = None,
) -> Response:
    start, end = _span(found.rows)
    log_query = query_of(found.trace_id, viewer.tenant_id)
    results = found.results or ()
    around = Around(
        prices=parts.prices,
        region=parts.links.region,
        now=parts.clock.now(),
        results=scores_by_request(results),
        scores_failed=found.results is None,
        scores_cut=found.scores_cut,
        calibrations=await _calibrations(parts, results),
        said=said,
    )
    views = [
        view_of(number, row, viewer, _policy(parts, row.tenant_id), around)
        for number, row in enumerate(found.rows[:MOST_SHOWN], start=1)
    ]
    table = request_table(
        found.rows,
        {},
        prices=parts.prices,
        region=parts.links.region,
        objectives={},
        rests_on=f"{len(found.rows)} requests{' at least' if len(found.rows) == MAX_ROWS else ''}",
    )
    tables = [one for view in views for one in (view.calls, view.tokens, view.scores)]
    if (file := as_csv(request, *tables)) is not None:
        return file
    return page(
        request,
        "trace.html",
        viewer=viewer,
        title=f"Trace {ids.as_uuid(found.trace_id)}",
        trace_id=found.trace_id,
        xray_id=ids.as_xray(found.trace_id),
        path=trace_path(found.trace_id),
        views=views,
        requests=table,
        all_of_them=len(found.rows),
        spans=None if found.bars is None else drawn_bars(found.bars),
        kept=any(row.trace_kept for row in found.rows),
        head_rate=DEFAULT_HEAD_RATE,
        scores_failed=found.results is None,
        may_show=said is None and any(view.content is None for view in views),
        said=said is not None,
        log=log,
        log_query=log_query,
        links=parts.links.of_trace(found.trace_id, start, end, log_query),
    )


async def _calibrations(parts: ConsoleParts, results: Sequence[EvalResult]) -> dict[str, Calibration | None]:
    """Of the judges of these results; one that cannot be read is left out."""
    judges = sorted({result.judge.identity for result in results})

    async def of(identity: str) -> tuple[Calibration | None]:
        return (await parts.lives.calibrations.of(identity),)

    found = await asyncio.gather(*(partly("calibration", of(identity)) for identity in judges))
    return {judge: read[0] for judge, read in zip(judges, found, strict=True) if read is not None}


def _missing(request: Request, viewer: Viewer, any_id: str, *, known_form: bool = True) -> Response:
    answer = page(
        request,
        "trace_missing.html",
        viewer=viewer,
        title="No such trace",
        any_id=any_id,
        known_form=known_form,
        retention_days=REQUEST_LEDGER.retention_days,
        request_id_too=ids.arrival_of(any_id) is not None,
    )
    answer.status_code = HTTPStatus.NOT_FOUND
    return answer


def _policy(parts: ConsoleParts, tenant_id: str) -> TenantPolicy | None:
    return parts.policies.policy_of(ids.TenantId(tenant_id))


def _span(rows: Sequence[LedgerRow]) -> tuple[datetime, datetime]:
    return min(row.received_at for row in rows), max(row.completed_at for row in rows)
