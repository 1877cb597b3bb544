"""The billing API's application: who asks, what for, and the page that answers it.

What it needs is started and stopped by who builds it. What a route does, in this order: the key, the right to
see, the parameters, the reading.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from costagg.api import openapi
from costagg.api.callers import Caller, Callers, NoSuchTenant
from costagg.api.faults import PROBLEM_JSON, problem, problem_body
from costagg.api.observe import AsgiApp, Observed, observing
from costagg.api.page import Page, decode_cursor
from costagg.api.query import CostParameters, CostQuery, HoursParameters, digest_of, parameters
from costagg.api.reading import Costs
from costagg.api.replying import format_of, reply
from llmplatform.aws.access import AccessSource
from llmplatform.aws.cost_reader import CostReader
from llmplatform.aws.parameters import PolicySource
from llmplatform.clock import Clock
from llmplatform.errors import InternalFault, PlatformFault


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What the routes need, open."""

    reader: CostReader
    policies: PolicySource
    access: AccessSource
    clock: Clock


def create_app(parts: ApiParts) -> AsgiApp:
    """The application that `costagg.api.server.serve` runs."""
    app = FastAPIOffline(
        title="LLM platform billing API",
        version=version("llm-platform"),
        description=openapi.DESCRIPTION,
        docs_url="/docs",
        redoc_url=None,
        # A redirect would name the host that the request did, and whatever stands before us has another path.
        redirect_slashes=False,
    )
    _add_costs(app, Callers(parts.policies, parts.access), Costs(parts.reader, parts.clock))
    _add_health(app, lambda: _waiting_for(parts))
    _add_errors(app)
    openapi.document(app)
    return observing(app, parts.clock)


def _add_costs(app: FastAPI, callers: Callers, costs: Costs) -> None:
    async def authenticated(request: Request) -> Caller:
        caller = await callers.of(request.headers.getlist("authorization"))
        _observed(request).caller = str(caller)
        return caller

    @app.get(openapi.TENANT_COSTS)
    async def tenant_costs(request: Request, tenant_id: str) -> Response:
        caller = await authenticated(request)
        caller.check_sees(tenant_id)
        _observed(request).owner = tenant_id
        asked = parameters(CostParameters, request.query_params.multi_items())
        digest = digest_of(tenant_id, asked)
        after = decode_cursor(digest, asked.cursor)
        page = await costs.of_owner(caller, tenant_id, CostQuery.of(asked), after=after, limit=asked.limit)
        # Reached by the roles alone: who has a tenant's key has that tenant. One that is removed is known by
        # its costs.
        if not page.rows and not after and not callers.knows(tenant_id):
            raise NoSuchTenant
        about = {"tenant_id": tenant_id, "group_by": asked.group_by}
        return _answer(request, page, asked, about, digest)

    @app.get(openapi.ALL_COSTS)
    async def all_costs(request: Request) -> Response:
        caller = await authenticated(request)
        caller.check_sees_all()
        asked = parameters(CostParameters, request.query_params.multi_items())
        digest = digest_of(openapi.ALL_COSTS, asked)
        after = decode_cursor(digest, asked.cursor)
        page = await costs.of_all(caller, CostQuery.of(asked), after=after, limit=asked.limit)
        return _answer(request, page, asked, {"group_by": asked.group_by}, digest)

    @app.get(openapi.HOURS)
    async def hours(request: Request) -> Response:
        caller = await authenticated(request)
        caller.check_sees_all()
        asked = parameters(HoursParameters, request.query_params.multi_items())
        digest = digest_of(openapi.HOURS, asked)
        page = await costs.of_hours(caller, asked, after=decode_cursor(digest, asked.cursor))
        return _answer(request, page, asked, {}, digest)


def _answer(
    request: Request, page: Page, asked: HoursParameters, about: Mapping[str, Any], digest: str
) -> Response:
    answer = reply(
        page,
        asked,
        about=about,
        digest=digest,
        form=format_of(asked, request.headers.get("accept", "")),
        if_none_match=request.headers.get("if-none-match"),
    )
    return Response(answer.body, answer.status, dict(answer.headers))


def _waiting_for(parts: ApiParts) -> list[str]:
    ages = {"tenants": parts.policies.age_s, "roles": parts.access.age_s}
    return [name for name, age_s in ages.items() if age_s is None]


def _add_health(app: FastAPI, waiting_for: Callable[[], list[str]]) -> None:
    @app.get("/healthz", summary="Whether the process is alive", tags=["health"])
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", summary="Whether this task should get traffic", tags=["health"])
    async def readyz(response: Response) -> dict[str, bool | list[str]]:
        missing = waiting_for()
        response.status_code = 503 if missing else 200
        return {"ready": not missing, "waiting_for": missing}


def _add_errors(app: FastAPI) -> None:
    """Every error as problem details, with the request's id."""

    @app.exception_handler(PlatformFault)
    async def platform_fault(request: Request, fault: PlatformFault) -> Response:
        status, headers, body = problem(fault, _observed(request).request_id)
        return Response(body, status, headers, PROBLEM_JSON)

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
        return await platform_fault(request, InternalFault(type(error).__name__))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        body = problem_body(
            status,
            code=status.name.lower(),
            detail="the paths and methods there are stand in /openapi.json",
            request_id=_observed(request).request_id,
        )
        return Response(body, status, error.headers, PROBLEM_JSON)


def _observed(request: Request) -> Observed:
    observed: Observed = request.scope["state"]["observed"]
    return observed
