"""The console's application: what stands before every page, the pages, and what is said when one fails.

From the outside in: an id, guarding headers and a line in the log (`observe`); whether the request is meant
for us, how large, from whom (`door`); the route. What the pages need is started and stopped by who builds
it. How a page is written stands in `watch.console.pages`.
"""

from collections.abc import Callable, Sequence

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from llmplatform.errors import InternalFault, PlatformFault
from watch.console import login
from watch.console.assets import static_route
from watch.console.door import Door
from watch.console.faults import error_page, http_error_page
from watch.console.keys import Keys
from watch.console.observe import observing
from watch.console.pages import PAGES
from watch.console.parts import ConsoleParts


def create_app(parts: ConsoleParts, pages: Sequence[Callable[[ConsoleParts], APIRouter]] = PAGES) -> ASGIApp:
    """The application that `watch.console.server` runs."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    keys = Keys(parts)
    app.state.parts = parts
    routers = [login.routes(parts, keys), *(routes(parts) for routes in pages)]
    for router in routers:
        app.include_router(router)
    # What the navigation may lead to.
    app.state.paths = frozenset(getattr(route, "path", "") for router in routers for route in router.routes)
    app.router.routes.append(static_route())
    _add_health(app, lambda: _waiting_for(parts))
    _add_errors(app)
    app.add_middleware(Door, parts=parts, keys=keys)
    return observing(app, parts.clock, secure=parts.settings.secure)


def _waiting_for(parts: ConsoleParts) -> list[str]:
    ages = {"tenants": parts.policies.age_s, "roles": parts.access.age_s}
    return [name for name, age_s in ages.items() if age_s is None]


def _add_health(app: FastAPI, waiting_for: Callable[[], list[str]]) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, bool | list[str]]:
        missing = waiting_for()
        response.status_code = 503 if missing else 200
        return {"ready": not missing, "waiting_for": missing}


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(PlatformFault)
    async def platform_fault(request: Request, fault: PlatformFault) -> Response:
        return error_page(request, fault)

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
        return error_page(request, InternalFault(type(error).__name__))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        return http_error_page(request, error.status_code, error.headers)
