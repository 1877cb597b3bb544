"""Evaluations: how good answers are, by tenant and model; one tenant's over time, and its worst answers."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from llmplatform.aws.eval_content import Said
from llmplatform.aws.eval_reader import JudgedScores
from llmplatform.errors import MalformedRequest
from llmplatform.eval_heartbeat import last_of
from llmplatform.eval_scores import Worst, epoch_in, worst_of
from llmplatform.evaluations import BERTSCORE, DIMENSIONS, EvalResult, Judge
from llmplatform.policy import TenantPolicy
from watch.console.charts import Chart
from watch.console.evaluations_overview import (
    EvaluationsOverview,
    Figure,
    Judges,
    Means,
    OverviewRead,
    parked_table,
    workers_table,
)
from watch.console.evaluations_tenant import Choice, EvaluationsOfTenant, Minutes, chosen
from watch.console.evaluations_worst import WORST, judges_table, worst_table
from watch.console.observe import log_content_read
from watch.console.pages.asking import Asked, SignedIn
from watch.console.parts import ConsoleParts
from watch.console.rendering import address, as_csv, page
from watch.console.tables import Table
from watch.console.timerange import TimeRange
from watch.console.trace_view import why_not
from watch.console.viewer import NotThere, Viewer
from watch.evaluations.folding import whole_of
from watch.evaluations.reaches import Reach
from watch.evaluations.standing import NoScores, is_old, why_none
from watch.quality import Standing
from watch.reading.calibrations import Calibration
from watch.reading.partly import partly
from watch.reading.scores import MOST_LOOKED_AT

_RELOADS_S: Final = 60
_MOST_JUDGES: Final = 8
"""Of the whole platform whose calibration is looked up for one view."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """The newest answers of a time, as far as they were looked through. None could not be read."""

    scored: Sequence[JudgedScores] | None
    worst: tuple[tuple[Worst, EvalResult | None], ...] = ()
    judges: Mapping[str, Judge | str | None] | None = None

    @property
    def cut(self) -> bool:
        """Whether there are older ones that were not looked at."""
        return self.scored is not None and len(self.scored) == MOST_LOOKED_AT


def routes(parts: ConsoleParts) -> APIRouter:
    """`/evaluations`, `/evaluations/{tenant}`, and the button that shows the judge's reasons."""
    router = APIRouter()

    @router.get("/evaluations")
    async def evaluations(request: Request, viewer: SignedIn, range_: Asked) -> Response:
        if viewer.tenant_id is not None:
            to = f"/evaluations/{quote(viewer.tenant_id, safe='')}"
            return RedirectResponse(address(to, range_.query), HTTPStatus.SEE_OTHER)
        return await _overview(parts, request, viewer, range_)

    @router.get("/evaluations/{tenant_id}")
    async def of_tenant(request: Request, viewer: SignedIn, range_: Asked, tenant_id: str) -> Response:
        return await _of_tenant(parts, request, viewer, range_, tenant_id)

    @router.get("/evaluations/{tenant_id}/reasons")
    async def back(request: Request, tenant_id: str) -> Response:
        # The address of a page that shows reasons, loaded again, shows them no more.
        to = address(f"/evaluations/{quote(tenant_id, safe='')}", request.query_params)
        return RedirectResponse(to, HTTPStatus.SEE_OTHER)

    @router.post("/evaluations/{tenant_id}/reasons")
    async def reasons(request: Request, viewer: SignedIn, range_: Asked, tenant_id: str) -> Response:
        return await _of_tenant(parts, request, viewer, range_, tenant_id, reasons=True)

    return router


async def _overview(parts: ConsoleParts, request: Request, viewer: Viewer, range_: TimeRange) -> Response:
    now = parts.clock.now()
    policies = sorted(parts.policies.policies(), key=lambda policy: policy.tenant_id)
    evaluating = parts.evaluations.evaluating
    standing, workers, parked = await asyncio.gather(
        partly("standing", parts.standing.of(policy.tenant_id for policy in policies)),
        partly("workers", evaluating.workers()),
        partly("parked", evaluating.parked()),
    )
    tables: list[Table] = []
    shown, means = None, None
    if standing is not None:
        shown = EvaluationsOverview(policies, standing, range_)
        means, judges = await asyncio.gather(_means(parts, shown), _calibrations(parts, shown.judges))
        none_of: dict[str, NoScores] = {
            policy.tenant_id: why_none(policy, workers, now) for policy in policies
        }
        table = shown.table(OverviewRead(means, judges, none_of))
        tables.append(table.sorted_as(request.query_params, default="tenant"))
    if workers is not None:
        tables.append(workers_table(workers, now).sorted_as(request.query_params))
    if parked is not None:
        tables.append(parked_table(parked).sorted_as(request.query_params))
    if (file := as_csv(request, *tables)) is not None:
        return file
    by_name = {table.name: table for table in tables}
    return page(
        request,
        "evaluations.html",
        viewer=viewer,
        title="Evaluations",
        range=range_,
        standing=standing,
        old=_oldest_look(standing, now),
        scores=by_name.get("scores"),
        means_failed=shown is not None and bool(shown.reaches) and means is None,
        workers=by_name.get("workers"),
        parked=by_name.get("parked"),
        reloads_s=_RELOADS_S if range_.last else None,
    )


async def _means(parts: ConsoleParts, shown: EvaluationsOverview) -> Means | None:
    if not shown.by_minutes:
        figures = await parts.metrics.read(shown.wants())
        return None if figures.nothing_read else shown.means_of(figures)
    minutes = await _minutes(parts, shown.reaches)
    if minutes is None:
        return None
    means = {series: whole_of(of_series) for series, of_series in minutes.items()}
    return {series: Figure(mean.value, mean.n) for series, mean in means.items()}


async def _of_tenant(
    parts: ConsoleParts,
    request: Request,
    viewer: Viewer,
    range_: TimeRange,
    tenant_id: str,
    *,
    reasons: bool = False,
) -> Response:
    viewer.check_sees(tenant_id)
    policy = parts.policies.policy_of(tenant_id)
    standing = await partly("standing", parts.standing.of([tenant_id]))
    statuses = None if standing is None else standing.by_tenant.get(tenant_id)
    if policy is None and not statuses:
        raise NotThere("tenant")
    query = request.query_params
    if query.get("dimension") and query["dimension"] not in DIMENSIONS:
        raise MalformedRequest("dimension: there is none of this name", param="dimension")
    choice, asked = chosen(tenant_id, statuses or (), query, range_)
    shown = EvaluationsOfTenant(choice, asked, range_)
    minutes, before, looked, workers = await asyncio.gather(
        _minutes(parts, shown.reaches),
        _minutes(parts, shown.reaches_before),
        _looked(parts, choice, range_, {status.series.epoch for status in asked}),
        partly("workers", parts.evaluations.evaluating.workers()),
    )
    earlier: Minutes = before or {}
    said = await _said(parts, request, viewer, policy, looked) if reasons else None
    judges = looked.judges or {}
    calibrations = await _calibrations(
        parts, [epoch for epoch, judge in judges.items() if not isinstance(judge, str)]
    )
    standing_table = shown.table(minutes, earlier).sorted_as(query)
    worst = worst_table(looked.worst, said).sorted_as(query)
    charts = [] if minutes is None else shown.charts(minutes, earlier)
    distributions = [] if minutes is None else shown.distributions(minutes, earlier)
    who = judges_table(judges, calibrations)
    files: tuple[Table | Chart, ...] = (
        standing_table,
        worst,
        who,
        *charts,
        *(one.table for one in distributions),
    )
    if not reasons and (file := as_csv(request, *files)) is not None:
        return file
    now = parts.clock.now()
    look = None if standing is None else standing.looks.get(tenant_id)
    return page(
        request,
        "evaluations_tenant.html",
        viewer=viewer,
        title=f"Evaluations of {tenant_id}",
        range=range_,
        shown=shown,
        choice=choice,
        policy=policy,
        standing=standing,
        unreadable=standing is not None and statuses is None,
        look=look,
        old=look is not None and is_old(look, now),
        no_scores=why_none(policy, workers, now) if statuses == () else None,
        standing_table=standing_table,
        minutes_failed=minutes is None,
        before_failed=before is None,
        charts=charts,
        distributions=distributions,
        dimensions=DIMENSIONS,
        looked=looked,
        worst=worst,
        most_looked_at=MOST_LOOKED_AT,
        judges=who if judges else None,
        said=said,
        withheld=why_not(viewer, policy),
        last_of=None if workers is None else last_of(tenant_id, workers),
        here_path=f"/evaluations/{quote(tenant_id, safe='')}",
        reloads_s=_RELOADS_S if range_.last and not reasons else None,
    )


async def _minutes(parts: ConsoleParts, reaches: Iterable[Reach]) -> Minutes | None:
    return await partly("minutes of scores", parts.evaluations.minutes.of(reaches))


async def _looked(parts: ConsoleParts, choice: Choice, range_: TimeRange, epochs: set[str]) -> _Looked:
    """The newest answers: the worst of them, and one of each epoch, which names its judge."""
    scores = parts.lives.scores
    newest = await partly("scores", scores.newest(choice.tenant_id, range_.first, range_.end))
    if newest is None:
        return _Looked(None)
    asked = [
        one
        for one in newest
        if choice.model in {None, one.model_id}
        and (choice.epoch is None or choice.epoch in {epoch_in(one, name) for name in one.values})
    ]
    worst = worst_of(asked, WORST, choice.dimension)
    of_epoch: dict[str, JudgedScores] = {}
    judges: dict[str, Judge | str | None] = dict.fromkeys(epochs)
    for one in asked:
        of_epoch.setdefault(one.judge_identity, one)
        if one.bertscore_identity is not None and epoch_in(one, BERTSCORE) in judges:
            judges[epoch_in(one, BERTSCORE)] = one.bertscore_identity
    named = [one for epoch, one in of_epoch.items() if epoch in judges]
    wanted = [*(one.scores for one in worst), *named]
    whole = await partly("answers", scores.whole(wanted)) or (None,) * len(wanted)
    for result in whole[len(worst) :]:
        if result is not None:
            judges[result.judge.identity] = result.judge
    return _Looked(newest, tuple(zip(worst, whole, strict=False)), judges)


async def _said(
    parts: ConsoleParts, request: Request, viewer: Viewer, policy: TenantPolicy | None, looked: _Looked
) -> dict[str, Said]:
    """The judge's reasons of the worst answers, as far as they may be read; each reading is written down."""
    withheld = why_not(viewer, policy)
    results = [result for _, result in looked.worst if result is not None]
    if withheld is not None:
        return {result.request_id: withheld for result in results}
    said = await asyncio.gather(*(parts.lives.content.said(result, policy) for result in results))
    for trace_id in dict.fromkeys(result.trace_id for result in results):
        log_content_read(request, results[0].tenant_id, trace_id)
    return {result.request_id: one for result, one in zip(results, said, strict=True)}


async def _calibrations(parts: ConsoleParts, judges: Sequence[str]) -> Judges:
    """The last calibration of each; "" for one that cannot be read, or is one too many."""
    asked = list(judges)[:_MOST_JUDGES]
    found = await asyncio.gather(
        *(partly("calibration", _calibration(parts, identity)) for identity in asked)
    )
    return {identity: "" if known is None else known[0] for identity, known in zip(asked, found, strict=True)}


async def _calibration(parts: ConsoleParts, identity: str) -> tuple[Calibration | None]:
    """In a tuple: that there never was one is an answer too."""
    return (await parts.lives.calibrations.of(identity),)


def _oldest_look(standing: Standing | None, now: datetime) -> datetime | None:
    """The drift job's oldest look at a tenant, where it should have looked again since."""
    looks = () if standing is None else standing.looks.values()
    return min((look.at for look in looks if look is not None and is_old(look, now)), default=None)
