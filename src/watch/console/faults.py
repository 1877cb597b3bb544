"""Faults as pages: which status, and what a person can do. No stack, nothing of what was asked for.

For programs (no `text/html` among what they accept) the same in one line of text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from llmplatform.errors import (
    ClientFault,
    Forbidden,
    GatewayOverloaded,
    InternalFault,
    MalformedRequest,
    PlatformFault,
    RequestTooLarge,
    RequestTooSlow,
    Unauthenticated,
)
from watch.console.observe import observed_of
from watch.console.rendering import page
from watch.console.viewer import NotThere


class CannotBeRead(PlatformFault):
    """What a whole page rests on cannot be read now. A page that has something to show says it in place."""

    code = "cannot_be_read"

    def __init__(self, what: str, *, retry_after_s: int = 5) -> None:
        super().__init__(f"{what} cannot be read now")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class _Told:
    status: HTTPStatus
    title: str
    advice: str


_AGAIN: Final = "Nothing is wrong with what you asked for. Try again in a moment."
_TOLD: Final[Mapping[type[PlatformFault], _Told]] = {
    NotThere: _Told(
        HTTPStatus.NOT_FOUND, "Not found", "Check the address, or start from the overview. A link may be old."
    ),
    Unauthenticated: _Told(HTTPStatus.UNAUTHORIZED, "Not signed in", "Sign in again."),
    Forbidden: _Told(
        HTTPStatus.FORBIDDEN, "Not allowed", "Go back and load the page again, or ask who runs the platform."
    ),
    MalformedRequest: _Told(
        HTTPStatus.BAD_REQUEST, "That cannot be shown", "Change the part of the address that is named here."
    ),
    RequestTooLarge: _Told(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Too large", "Send less at once."),
    RequestTooSlow: _Told(HTTPStatus.REQUEST_TIMEOUT, "Too slow", "Send it again."),
    ClientFault: _Told(HTTPStatus.BAD_REQUEST, "That cannot be shown", "Change what is named here."),
    GatewayOverloaded: _Told(HTTPStatus.SERVICE_UNAVAILABLE, "Not now", _AGAIN),
    CannotBeRead: _Told(HTTPStatus.SERVICE_UNAVAILABLE, "Not now", _AGAIN),
}
_BUG: Final = _Told(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "Something broke here",
    "Try again. If it stays so, give the request id to who runs the platform: the log has the rest.",
)
_TOO_MANY: Final = _Told(HTTPStatus.TOO_MANY_REQUESTS, "Too many attempts", "Wait, then try again.")


def wants_html(request: Request) -> bool:
    """Whether a person reads the answer."""
    return "text/html" in request.headers.get("accept", "")


def error_page(request: Request, fault: PlatformFault) -> Response:
    """The answer to a request that failed."""
    told = _told(fault)
    # What a bug says of itself is not for a page.
    reason = "" if isinstance(fault, InternalFault) or told is _BUG else str(fault)
    return _answer(request, told, reason, _retry_after(fault))


def http_error_page(request: Request, status_code: int, headers: Mapping[str, str] | None = None) -> Response:
    """The answer where no route, or no method, is there."""
    status = HTTPStatus(status_code)
    if status is HTTPStatus.NOT_FOUND:
        return error_page(request, NotThere())
    told = _Told(status, status.phrase, "Start from the overview.")
    return _answer(request, told, "", dict(headers or {}))


def _told(fault: PlatformFault) -> _Told:
    if fault.code == "too_many_attempts":
        return _TOO_MANY
    return next((_TOLD[kind] for kind in type(fault).__mro__ if kind in _TOLD), _BUG)


def _retry_after(fault: PlatformFault) -> dict[str, str]:
    seconds = getattr(fault, "retry_after_s", None)
    return {} if seconds is None else {"retry-after": str(seconds)}


def _answer(request: Request, told: _Told, reason: str, headers: Mapping[str, str]) -> Response:
    observed = observed_of(request)
    if not wants_html(request):
        text = f"{told.status.value} {told.title}: {reason or told.advice} (request {observed.request_id})\n"
        return PlainTextResponse(text, told.status, dict(headers))
    response = page(
        request,
        "error.html",
        viewer=observed.viewer,
        title=told.title,
        status=told.status.value,
        reason=reason,
        advice=told.advice,
        signed_out=told.status is HTTPStatus.UNAUTHORIZED,
    )
    response.status_code = told.status
    response.headers.update(headers)
    return response
