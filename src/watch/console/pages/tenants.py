"""A tenant's page, and the list of tenants."""

from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from llmplatform.policy import TenantPolicy
from watch.console.pages.asking import Asked, SignedIn
from watch.console.pages.gathering import gathered
from watch.console.parts import ConsoleParts
from watch.console.rendering import as_csv, page
from watch.console.tables import Cell, Column, Row, Table
from watch.console.tenant_view import TenantView, scores_table
from watch.console.timerange import TimeRange
from watch.console.viewer import NotThere
from watch.quality import quality_of

_RELOADS_S = 60


def routes(parts: ConsoleParts) -> APIRouter:
    """`/tenants` and `/tenants/{tenant_id}`."""
    router = APIRouter()

    @router.get("/tenants")
    async def tenants(request: Request, viewer: SignedIn, range_: Asked) -> Response:
        policies = [policy for policy in parts.policies.policies() if viewer.may_see(policy.tenant_id)]
        table = _tenants(policies, range_).sorted_as(request.query_params, default="tenant")
        if (file := as_csv(request, table)) is not None:
            return file
        return page(request, "list.html", viewer=viewer, title="Tenants", range=range_, table=table)

    @router.get("/tenants/{tenant_id}")
    async def tenant(request: Request, viewer: SignedIn, range_: Asked, tenant_id: str) -> Response:
        viewer.check_sees(tenant_id)
        policy = parts.policies.policy_of(tenant_id)
        if policy is None:
            raise NotThere("tenant")
        view = TenantView(policy, parts.catalogue, range_, parts.clock.now(), parts.limits)
        told = await gathered(parts, viewer, view.wants(), [tenant_id])
        statuses = None if told.standing is None else told.standing.by_tenant[tenant_id]
        charts = [drawn.chart(told.figures, range_, parts.limits) for drawn in view.charts]
        models = view.models_table(told.figures, links=viewer.sees_all)
        models = models.sorted_as(request.query_params, default="requests", direction="desc")
        scores = None
        if statuses is not None:
            table = scores_table(tenant_id, statuses, urlencode(range_.query))
            scores = table.sorted_as(request.query_params, default="model")
        policy_table = view.policy_table(parts.policies.sampling_factor(parts.clock.now()))
        tables = [one for one in (models, scores, policy_table) if one is not None]
        if (file := as_csv(request, *tables, *charts)) is not None:
            return file
        return page(
            request,
            "tenant.html",
            viewer=viewer,
            title=f"Tenant {tenant_id}",
            range=range_,
            policy=policy,
            told=told,
            ringing=None
            if told.ringing is None
            else [one for one in told.ringing if one.tenant_id == tenant_id],
            cells=view.cells(told.figures, None if statuses is None else quality_of(statuses)),
            charts=charts,
            models=models,
            scores=scores,
            policy_table=policy_table,
            paths=request.app.state.paths,
            reloads_s=_RELOADS_S if range_.last else None,
        )

    return router


def _tenants(policies: list[TenantPolicy], range_: TimeRange) -> Table:
    query = urlencode(range_.query)
    rows: list[Row] = [
        {
            "tenant": Cell(policy.tenant_id, href=f"/tenants/{policy.tenant_id}?{query}"),
            "name": policy.display_name or None,
            "content": policy.content_mode.value,
            "ttft_p50": policy.objectives.ttft_p50_ms,
            "ttft_p99": policy.objectives.ttft_p99_ms,
            "budget": policy.daily_budget_usd,
            "token_budget": policy.daily_budget_tokens,
            "sampled": policy.eval_sample_rate,
        }
        for policy in policies
    ]
    return Table(
        caption="Tenants",
        hide_caption=True,
        columns=(
            Column("tenant", "Tenant"),
            Column("name", "Name"),
            Column("content", "Content"),
            Column("ttft_p50", "TTFT p50 objective", "ms"),
            Column("ttft_p99", "TTFT p99 objective", "ms"),
            Column("budget", "Daily budget", "usd"),
            Column("token_budget", "Daily tokens", "number"),
            Column("sampled", "Sampled for evaluation", "ratio"),
        ),
        rows=rows,
        empty="There are no tenants yet: `llm-platform tenant add` makes one.",
    )
