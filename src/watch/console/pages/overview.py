"""The overview: what rings, then traffic, errors, speed, money and quality, by tenant, model and endpoint."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from watch.console.overview import Overview
from watch.console.pages.asking import Asked, SignedIn
from watch.console.pages.gathering import gathered
from watch.console.parts import ConsoleParts
from watch.console.rendering import address, as_csv, page

_SEE_OTHER = 303
_RELOADS_S = 60


def routes(parts: ConsoleParts) -> APIRouter:
    """`/`; a tenant's role is taken to its own page."""
    router = APIRouter()

    @router.get("/")
    async def overview(request: Request, viewer: SignedIn, range_: Asked) -> Response:
        if viewer.tenant_id is not None:
            return RedirectResponse(
                address(f"/tenants/{viewer.tenant_id}", range_.query), status_code=_SEE_OTHER
            )
        policies = sorted(parts.policies.policies(), key=lambda policy: policy.tenant_id)
        shown = Overview(policies, parts.catalogue, range_, parts.clock.now(), parts.limits)
        told = await gathered(parts, viewer, shown.wants(), [policy.tenant_id for policy in policies])
        figures, query = told.figures, request.query_params
        tenants = shown.tenants_table(figures, told.standing, told.ringing)
        tenants = tenants.sorted_as(query, default="requests", direction="desc")
        models = shown.models_table(figures).sorted_as(query, default="requests", direction="desc")
        endpoints = shown.endpoints_table(figures).sorted_as(query, default="endpoint")
        charts = [drawn.chart(figures, range_, parts.limits) for drawn in shown.charts]
        if (file := as_csv(request, tenants, models, endpoints, *charts)) is not None:
            return file
        return page(
            request,
            "overview.html",
            viewer=viewer,
            title="Overview",
            range=range_,
            told=told,
            all=shown.all_traffic.cells(figures, parts.limits),
            spend=shown.spend_today(figures),
            charts=charts,
            tenants=tenants,
            models=models,
            endpoints=endpoints,
            reloads_s=_RELOADS_S if range_.last else None,
        )

    return router
