"""The console's two cookies: a session, and a login form's nonce.

A browser sends a host's cookies to all of its ports, so on a laptop their names carry the port: two consoles
there do not end each other's sessions. By https they are bound to the host (`__Host-`).
"""

from collections.abc import Mapping
from typing import Final, Literal

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import Response

_SESSION: Final = "watch_session"
_LOGIN: Final = "watch_login"
_LOGIN_S: Final = 3_600
_ALB_COOKIES: Final = 4
"""As many parts as a load balancer's own session has at most."""


def session_in(headers: Headers, *, secure: bool) -> str | None:
    """The session cookie of a request; by https only the one that no other host can have set."""
    return _cookies(headers).get(_name(headers, _SESSION, secure=secure))


def login_nonce_in(headers: Headers, *, secure: bool) -> str | None:
    """The nonce that the login form was given with."""
    return _cookies(headers).get(_name(headers, _LOGIN, secure=secure))


def keep_session(request: Request, response: Response, value: str, *, for_s: int, secure: bool) -> None:
    """Have the browser keep a session, sent along too where an alarm's message on another site led here.

    What changes anything, or shows what was said, is a POST, which needs the session's token besides.
    """
    _keep(request, response, _SESSION, value, for_s, secure=secure, same_site="lax")


def keep_login_nonce(request: Request, response: Response, value: str, *, secure: bool) -> None:
    """Have the browser keep a login form's nonce."""
    _keep(request, response, _LOGIN, value, _LOGIN_S, secure=secure, same_site="strict")


def forget_session(request: Request, headers: MutableHeaders, *, secure: bool) -> None:
    """Have the browser forget its session, and a load balancer's."""
    name, secured = _name(request.headers, _SESSION, secure=secure), "; Secure" if secure else ""
    headers.append("set-cookie", f"{name}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax{secured}")
    for number in range(_ALB_COOKIES):
        name = f"AWSELBAuthSessionCookie-{number}"
        if name in _cookies(request.headers):
            headers.append("set-cookie", f"{name}=; Max-Age=0; Path=/; HttpOnly; Secure")


def _keep(
    request: Request,
    response: Response,
    kind: str,
    value: str,
    for_s: int,
    *,
    secure: bool,
    same_site: Literal["lax", "strict"],
) -> None:
    name = _name(request.headers, kind, secure=secure)
    response.set_cookie(
        name, value, max_age=for_s, path="/", secure=secure, httponly=True, samesite=same_site
    )


def _name(headers: Headers, kind: str, *, secure: bool) -> str:
    """How a cookie is called by https, else on a laptop."""
    if secure:
        return f"__Host-{kind}"
    port = headers.get("host", "").rpartition(":")[2]
    return f"{kind}_{port}" if port.isdigit() else kind


def _cookies(headers: Headers) -> Mapping[str, str]:
    return cookie_parser(headers.get("cookie", ""))
