"""What serves the requests: an endpoint, a model, the platform itself. For those who see all tenants."""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from watch.alarming.alarm_states import AlarmState
from watch.console.pages.asking import Asked, SignedIn
from watch.console.pages.gathering import gathered
from watch.console.parts import ConsoleParts
from watch.console.rendering import as_csv, page
from watch.console.serving_views import (
    EndpointView,
    ModelView,
    brakes_table,
    endpoints_list,
    models_list,
    platform_charts,
)
from watch.console.viewer import NotThere
from watch.metric_queries import Wanted

_RELOADS_S = 60


def routes(parts: ConsoleParts) -> APIRouter:
    """`/endpoints`, `/models`, `/platform`."""
    router = APIRouter()
    _add_endpoints(router, parts)
    _add_models(router, parts)
    _add_platform(router, parts)
    return router


def _add_endpoints(router: APIRouter, parts: ConsoleParts) -> None:
    @router.get("/endpoints")
    async def endpoints(request: Request, viewer: SignedIn, range_: Asked) -> Response:
        viewer.check_sees_all()
        table = endpoints_list(parts.catalogue, range_).sorted_as(request.query_params, default="endpoint")
        if (file := as_csv(request, table)) is not None:
            return file
        return page(request, "list.html", viewer=viewer, title="Endpoints", range=range_, table=table)

    @router.get("/endpoints/{name:path}")
    async def endpoint(request: Request, viewer: SignedIn, range_: Asked, name: str) -> Response:
        viewer.check_sees_all()
        hardware = parts.catalogue.endpoints.get(name)
        if hardware is None:
            raise NotThere("endpoint")
        view = EndpointView(name, hardware, parts.catalogue, range_, parts.limits)
        told = await gathered(parts, viewer, view.wants())
        by_variant = [
            (variant, [one.chart(told.figures, range_, parts.limits) for one in drawn])
            for variant, drawn in view.by_variant
        ]
        shared = [one.chart(told.figures, range_, parts.limits) for one in view.shared]
        charts = [*shared, *(one for _, drawn in by_variant for one in drawn)]
        models = view.models_table(told.figures).sorted_as(request.query_params)
        hardware_table = view.hardware_table()
        if (file := as_csv(request, models, hardware_table, *charts)) is not None:
            return file
        return page(
            request,
            "endpoint.html",
            viewer=viewer,
            title=f"Endpoint {name}",
            range=range_,
            told=told,
            ringing=_about(told.ringing, f"endpoint/{name}/"),
            cells=view.traffic.cells(told.figures, parts.limits),
            shared=shared,
            by_variant=by_variant,
            models=models,
            hardware=hardware_table,
            reloads_s=_RELOADS_S if range_.last else None,
        )


def _add_models(router: APIRouter, parts: ConsoleParts) -> None:
    @router.get("/models")
    async def models(request: Request, viewer: SignedIn, range_: Asked) -> Response:
        viewer.check_sees_all()
        table = models_list(parts.catalogue, range_).sorted_as(request.query_params, default="model")
        if (file := as_csv(request, table)) is not None:
            return file
        return page(request, "list.html", viewer=viewer, title="Models", range=range_, table=table)

    @router.get("/models/{model_id:path}")
    async def model(request: Request, viewer: SignedIn, range_: Asked, model_id: str) -> Response:
        viewer.check_sees_all()
        entry = parts.catalogue.models.get(model_id)
        if entry is None:
            raise NotThere("model")
        view = ModelView(entry, parts.policies.policies(), range_, parts.clock.now(), parts.limits)
        told = await gathered(parts, viewer, view.wants())
        charts = [one.chart(told.figures, range_, parts.limits) for one in view.charts]
        tenants = view.tenants_table(told.figures)
        tenants = tenants.sorted_as(request.query_params, default="requests", direction="desc")
        facts = view.facts_table()
        if (file := as_csv(request, tenants, facts, *charts)) is not None:
            return file
        return page(
            request,
            "panels.html",
            viewer=viewer,
            title=f"Model {model_id}",
            range=range_,
            told=told,
            ringing=_about(told.ringing, f"model/{model_id}"),
            cells=view.traffic.cells(told.figures, parts.limits),
            charts=charts,
            tables=(tenants, facts),
            reloads_s=_RELOADS_S if range_.last else None,
        )


def _add_platform(router: APIRouter, parts: ConsoleParts) -> None:
    drawn = platform_charts()

    @router.get("/platform")
    async def platform(request: Request, viewer: SignedIn, range_: Asked) -> Response:
        viewer.check_sees_all()
        wants: list[Wanted] = [want for one in drawn for want in one.wants(range_)]
        told = await gathered(parts, viewer, wants)
        charts = [one.chart(told.figures, range_, parts.limits) for one in drawn]
        brakes = brakes_table(parts.policies.sampling_brakes(), parts.clock.now())
        if (file := as_csv(request, brakes, *charts)) is not None:
            return file
        return page(
            request,
            "panels.html",
            viewer=viewer,
            title="Platform",
            range=range_,
            told=told,
            ringing=_about(told.ringing, "platform"),
            cells=None,
            charts=charts,
            tables=(brakes,),
            reloads_s=_RELOADS_S if range_.last else None,
        )


def _about(ringing: Sequence[AlarmState] | None, subject: str) -> list[AlarmState] | None:
    """What rings about a thing: one whose name is the subject, or begins with it where that ends in "/"."""
    if ringing is None:
        return None
    return [
        alarm
        for alarm in ringing
        if (alarm.subject.startswith(subject) if subject.endswith("/") else alarm.subject == subject)
    ]
