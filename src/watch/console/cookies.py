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


def session_in(headers: Headers) -> str | None:
    """The session cookie of a request."""
    return _found(headers, _SESSION)


def login_nonce_in(headers: Headers) -> str | None:
    """The nonce that the login form was given with."""
    return _found(headers, _LOGIN)


def keep_session(request: Request, response: Response, value: str, *, for_s: int, secure: bool) -> None:
    """Have the browser keep a session, sent along too where an alarm's message on another site led here.

    What changes anything, or shows what was said, is a POST, which needs the session's token besides.
    """
    _keep(request, response, _SESSION, value, for_s, secure=secure, same_site="lax")


def keep_login_nonce(request: Request, response: Response, value: str, *, secure: bool) -> None:
    """Have the browser keep a login form's nonce."""
    _keep(request, response, _LOGIN, value, _LOGIN_S, secure=secure, same_site="strict")


def forget_session(request: Request, headers: MutableHeaders) -> None:
    """Have the browser forget its session, and a load balancer's."""
    for name in (*_names(request.headers, _SESSION),):
        secure = "; Secure" if name.startswith("__Host-") else ""
        headers.append("set-cookie", f"{name}=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict{secure}")
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
    secured, local = _names(request.headers, kind)
    name = secured if secure else local
    response.set_cookie(
        name, value, max_age=for_s, path="/", secure=secure, httponly=True, samesite=same_site
    )


def _found(headers: Headers, kind: str) -> str | None:
    cookies = _cookies(headers)
    return next((cookies[name] for name in _names(headers, kind) if name in cookies), None)


def _names(headers: Headers, kind: str) -> tuple[str, str]:
    """How a cookie is called by https, and how on a laptop."""
    port = headers.get("host", "").rpartition(":")[2]
    return f"__Host-{kind}", f"{kind}_{port}" if port.isdigit() else kind


def _cookies(headers: Headers) -> Mapping[str, str]:
    return cookie_parser(headers.get("cookie", ""))
