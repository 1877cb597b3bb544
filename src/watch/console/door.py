"""The door before every page: was it meant for us, how large is it, who sends it, and is a change theirs.

Plain ASGI in front of the routes, so that no page can forget to ask. Behind it `viewer_of(request)` is there.
Open to all are the login page, the files of our own pages and the health checks, and nothing else.
"""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmplatform.errors import Forbidden, PlatformFault, RequestTooLarge, RequestTooSlow, Unauthenticated
from watch.console import cookies
from watch.console.faults import error_page, wants_html
from watch.console.keys import Keys
from watch.console.observe import observed_of
from watch.console.origin import SAFE_METHODS, Ours
from watch.console.parts import ConsoleParts
from watch.console.sessions import same_token
from watch.console.viewer import Viewer

CSRF_FIELD: Final = "csrf_token"
CSRF_HEADER: Final = "x-csrf-token"
MOST_BODY_BYTES: Final = 65_536
_BODY_WITHIN_S: Final = 10.0
_OPEN: Final = ("/login", "/healthz", "/readyz")
_HEALTH: Final = ("/healthz", "/readyz")
"""A load balancer asks with an address for a host."""


class Door:
    """Lets through who may come in, with what they sent."""

    def __init__(self, app: ASGIApp, parts: ConsoleParts, keys: Keys) -> None:
        self._app = app
        self._seal = parts.seal
        self._keys = keys
        self._secure = parts.settings.secure
        self._ours = Ours(parts.settings.public_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the module."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            await self._admit(request)
        except Unauthenticated as fault:
            await _not_signed_in(request, fault, secure=self._secure)(scope, receive, send)
            return
        except PlatformFault as fault:
            await error_page(request, fault)(scope, receive, send)
            return
        await self._app(scope, _replaying(request, receive), send)

    async def _admit(self, request: Request) -> None:
        # Of the request's line: `request.url` is put together from the Host header, which says what it likes.
        path, headers = request.scope["path"], request.headers
        if path not in _HEALTH and not self._ours.answers_to(headers.get("host", "")):
            raise Forbidden("the console does not answer to this host name")
        if not self._ours.sent(request.method, headers):
            raise Forbidden("this was not sent by a page of the console")
        changes = request.method not in SAFE_METHODS
        if changes:
            await _read_form(request)
        if path in _OPEN or path.startswith("/static/"):
            return
        viewer = await self._keys.viewer(request)
        observed_of(request).viewer = viewer
        if changes and viewer.needs_csrf_token and not same_token(_given_token(request), viewer.csrf_token):
            raise Forbidden("the form has expired: go back, load the page again and send it once more")


def viewer_of(request: Request) -> Viewer:
    """Who looks. Raises Unauthenticated before the door, where nobody does."""
    viewer = observed_of(request).viewer
    if viewer is None:
        raise Unauthenticated("nobody is signed in")
    return viewer


def form_of(request: Request) -> Mapping[str, str]:
    """The fields of the form that was sent, whose CSRF token is checked already; the last of a name."""
    form: Mapping[str, str] = request.scope["state"].get("form", {})
    return form


def _given_token(request: Request) -> str:
    return request.headers.get(CSRF_HEADER) or form_of(request).get(CSRF_FIELD, "")


async def _read_form(request: Request) -> None:
    """Read the body, within bounds of size and time."""
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BODY_BYTES:
                    raise RequestTooLarge(f"a form has at most {MOST_BODY_BYTES // 1024} KiB")
    except TimeoutError:
        raise RequestTooSlow("the form did not arrive in time") from None
    state = request.scope["state"]
    state["body"] = bytes(body)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        text = body.decode("utf-8", "replace")
        try:
            state["form"] = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=100))
        except ValueError:
            raise RequestTooLarge("a form has at most 100 fields") from None


def _replaying(request: Request, receive: Receive) -> Receive:
    """What a route reads: the body that was read already, then what comes."""
    body = request.scope["state"].get("body")
    if body is None:
        return receive
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed


def _not_signed_in(request: Request, fault: Unauthenticated, *, secure: bool) -> Response:
    """The way to the login page for a person who reads; a refusal for all others.

    A session that has ended leaves no cookie behind. Behind a load balancer there is no page to log in on.
    """
    response: Response
    by_alb = "x-amzn-oidc-data" in request.headers
    if wants_html(request) and request.method in SAFE_METHODS and not by_alb:
        query = f"?{request.url.query}" if request.url.query else ""
        to = quote(f"{request.url.path}{query}", safe="/")
        response = RedirectResponse("/login" if to == "/" else f"/login?next={to}", HTTPStatus.SEE_OTHER)
    else:
        response = error_page(request, fault)
        response.headers["www-authenticate"] = "Bearer"
    if cookies.session_in(Headers(scope=request.scope), secure=secure) is not None:
        cookies.forget_session(request, MutableHeaders(raw=response.raw_headers), secure=secure)
    return response
