"""The first page: which tenants the viewer sees."""

from fastapi import APIRouter, Request, Response

from llmplatform.policy import TenantPolicy
from watch.console.pages.asking import Asked, SignedIn
from watch.console.parts import ConsoleParts
from watch.console.rendering import as_csv, page
from watch.console.tables import Column, Row, Table


def routes(parts: ConsoleParts) -> APIRouter:
    """`/`."""
    router = APIRouter()

    @router.get("/")
    async def start(request: Request, viewer: SignedIn, range_: Asked) -> Response:
        policies = [policy for policy in parts.policies.policies() if viewer.may_see(policy.tenant_id)]
        table = _tenants(policies).sorted_as(request.query_params, default="tenant")
        if (file := as_csv(request, table)) is not None:
            return file
        return page(request, "start.html", viewer=viewer, title="Overview", range=range_, tenants=table)

    return router


def _tenants(policies: list[TenantPolicy]) -> Table:
    rows: list[Row] = [
        {
            "tenant": policy.tenant_id,
            "name": policy.display_name or None,
            "content": policy.content_mode.value,
            "ttft_p99": policy.objectives.ttft_p99_ms,
            "budget": policy.daily_budget_usd,
            "sampled": policy.eval_sample_rate,
        }
        for policy in policies
    ]
    return Table(
        caption="Tenants",
        columns=(
            Column("tenant", "Tenant"),
            Column("name", "Name"),
            Column("content", "Content"),
            Column("ttft_p99", "TTFT p99 objective", "ms"),
            Column("budget", "Daily budget", "usd"),
            Column("sampled", "Sampled for evaluation", "ratio"),
        ),
        rows=rows,
        rests_on=f"{len(rows)} tenants",
        empty="There are no tenants yet: `llm-platform tenant add` makes one.",
    )
