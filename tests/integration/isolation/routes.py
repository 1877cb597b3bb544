"""Every route of every process: as its application has them, and as the sweep knows them.

A route that an application has and the sweep does not know fails a test: see `test_apis.py`.
"""

import asyncio
from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from costagg.api.app import ApiParts, create_app
from gateway.bootstrap import SURFACES
from gateway.http.app import AppParts, build_app
from harness.console import console
from harness.gateway import small_catalogue
from llmplatform.aws.parameters import InMemoryPolicySource
from llmplatform.testing import FakeClock

Process = Literal["gateway", "billing API", "console"]
GATEWAY: Final[Process] = "gateway"
BILLING: Final[Process] = "billing API"
CONSOLE: Final[Process] = "console"
PROCESSES: Final = (GATEWAY, BILLING, CONSOLE)

OpenTo = Literal["anybody", "tenants", "roles"]


@dataclass(frozen=True, slots=True)
class Route:
    """One route, and how somebody asks it for what is another's."""

    process: Process
    method: str
    path: str
    """As the application has it."""
    target: str = ""
    """What is asked for, with a subject's words in braces; by default the path."""
    open_to: OpenTo = "tenants"
    refused: int = 404
    """What the attacker's own key gets there."""
    word: str | None = None
    """Which of the words says whose it is; None where the key alone does."""
    own: str | None = None
    """What the attacker may ask for itself there; None where nothing is its own."""
    body: str = ""

    @property
    def name(self) -> str:
        """As a person calls it."""
        return f"{self.method} {self.path}"

    @property
    def asked(self) -> str:
        """The target with braces."""
        return self.target or self.path


CHAT: Final = "/v1/chat/completions"
COSTS: Final = "/v1/tenants/{tenant_id}/costs"
CHAT_BODY: Final = (
    '{"model":"scripted-bedrock","messages":[{"role":"user","content":"Where is the plain ink?"}]}'
)
_FORM: Final = "key=x"


def _open(process: Process, *paths: str, method: str = "GET") -> Iterator[Route]:
    for path in paths:
        yield Route(process, method, path, open_to="anybody", own=path)


def _documented(process: Process) -> Iterator[Route]:
    yield from _open(process, "/healthz", "/readyz", "/docs", "/docs/oauth2-redirect", "/openapi.json")
    yield from _open(process, "/openapi.json", method="HEAD")
    yield Route(process, "any", "/static-offline-docs", "/static-offline-docs/{tenant}.js", "anybody")


def _of_tenant(method: str, path: str, word: str = "tenant", *, own: str | None = "", **more: Any) -> Route:
    """A page of the console of which the word in the path says whose it is."""
    start, _, rest = path.partition("{")
    end = rest.partition("}")[2]
    return Route(
        CONSOLE,
        method,
        path,
        f"{start}{{{word}}}{end}",
        word=word,
        own=f"{start}{{{word}}}{end}" if own == "" else own,
        **more,
    )


def _of_roles(path: str, word: str | None = None) -> Route:
    start = path.partition("{")[0]
    return Route(CONSOLE, "GET", path, start + (f"{{{word}}}" if word else ""), "roles", word=word)


ROUTES: Final[tuple[Route, ...]] = (
    Route(GATEWAY, "POST", CHAT, own=CHAT, body=CHAT_BODY),
    Route(GATEWAY, "GET", "/v1/models", own="/v1/models"),
    Route(
        GATEWAY,
        "GET",
        "/v1/models/{model_id:path}",
        "/v1/models/{model}",
        word="model",
        own="/v1/models/{model}",
    ),
    *_documented(GATEWAY),
    Route(
        BILLING,
        "GET",
        COSTS,
        "/v1/tenants/{tenant}/costs?{days}",
        word="tenant",
        own="/v1/tenants/{tenant}/costs?{days}",
    ),
    Route(BILLING, "GET", "/v1/costs", "/v1/costs?{days}", "roles", refused=403),
    Route(BILLING, "GET", "/v1/hours", "/v1/hours?{days}", "roles", refused=403),
    *_documented(BILLING),
    *_open(CONSOLE, "/healthz", "/readyz"),
    Route(CONSOLE, "GET", "/static/{path:path}", "/static/{tenant}.js", "anybody"),
    Route(CONSOLE, "HEAD", "/static/{path:path}", "/static/{tenant}.js", "anybody"),
    Route(CONSOLE, "GET", "/login", "/login?next=/tenants/{tenant}", "anybody", own="/login"),
    Route(CONSOLE, "POST", "/login", open_to="anybody", body=_FORM),
    Route(CONSOLE, "POST", "/logout", own="/logout"),
    Route(CONSOLE, "GET", "/", own="/"),
    Route(CONSOLE, "GET", "/tenants", own="/tenants"),
    _of_tenant("GET", "/tenants/{tenant_id}"),
    _of_roles("/endpoints"),
    _of_roles("/endpoints/{name:path}", "model"),
    _of_roles("/models"),
    _of_roles("/models/{model_id:path}", "model"),
    _of_roles("/platform"),
    Route(CONSOLE, "GET", "/requests", "/requests?tenant={tenant}", word="tenant", own="/requests"),
    Route(
        CONSOLE,
        "GET",
        "/requests/tail",
        "/requests/tail?tenant={tenant}&after=2026-01-01",
        word="tenant",
        own="/requests/tail?after=2026-01-01",
    ),
    _of_tenant("GET", "/traces/{any_id}", "trace"),
    Route(CONSOLE, "GET", "/traces/{any_id}/content", "/traces/{trace}/content", refused=303, word="trace"),
    _of_tenant("POST", "/traces/{any_id}/content", "trace", body=_FORM),
    Route(CONSOLE, "GET", "/evaluations", own="/evaluations"),
    _of_tenant("GET", "/evaluations/{tenant_id}"),
    Route(
        CONSOLE,
        "GET",
        "/evaluations/{tenant_id}/reasons",
        "/evaluations/{tenant}/reasons",
        refused=303,
        word="tenant",
    ),
    _of_tenant("POST", "/evaluations/{tenant_id}/reasons", body=_FORM),
    Route(CONSOLE, "GET", "/alarms", own="/alarms"),
    _of_tenant("GET", "/alarms/{name:path}", "alarm"),
    Route(CONSOLE, "GET", "/runbooks", own="/runbooks"),
    Route(CONSOLE, "GET", "/runbooks/{name}", "/runbooks/{tenant}", word="tenant", own="/runbooks/cost"),
    Route(CONSOLE, "GET", "/cost", own="/cost"),
    _of_tenant("GET", "/cost/{owner}"),
)


def route_of(process: Process, method: str, path: str) -> Route:
    """The route with this method and path."""
    (found,) = (one for one in ROUTES if (one.process, one.method, one.path) == (process, method, path))
    return found


async def routes_of(process: Process) -> frozenset[tuple[str, str]]:
    """Method and path of every route that the process's application has."""
    clock = FakeClock()
    policies = InMemoryPolicySource(clock)
    match process:
        case "gateway":
            inner = build_app(AppParts(small_catalogue(), policies, list))
            return frozenset({*_flat(inner.routes), *(("POST", path) for path in SURFACES)})
        case "billing API":
            unused: Any = policies
            app = create_app(ApiParts(reader=unused, policies=policies, access=unused, clock=clock))
            return frozenset(_flat((await _within(app)).routes))
        case "console":
            async with console() as made:
                return frozenset(_flat((await _within(made.app)).routes))


async def _within(app: Any) -> Any:
    """The application with the routes inside those that are before it, which it adds to what it is asked."""
    scope: MutableMapping[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/healthz",
        "raw_path": b"/healthz",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
    }

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(_: Any) -> None:
        """What is answered is of no interest."""

    await app(scope, receive, send)
    return scope["app"]


def _flat(routes: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for route in routes:
        if (included := getattr(route, "original_router", None)) is not None:
            yield from _flat(included.routes)
        else:
            for method in getattr(route, "methods", None) or ("any",):
                yield method, route.path
