"""Signing in with a key, and out again.

The key is sent once, by POST, and kept nowhere; what the browser keeps is a signed session.
"""

import os
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from llmplatform.errors import Forbidden, GatewayOverloaded, Unauthenticated
from watch.console import cookies
from watch.console.door import CSRF_FIELD, form_of
from watch.console.keys import Keys, TooManyAttempts
from watch.console.origin import local_path
from watch.console.parts import ConsoleParts
from watch.console.rendering import page
from watch.console.sessions import same_token

_NONCE_BYTES = 24


def routes(parts: ConsoleParts, keys: Keys) -> APIRouter:
    """`/login` and `/logout`."""
    router = APIRouter()
    secure = parts.settings.secure

    def form(request: Request, *, next_path: str, problem: str = "", status: int = 200) -> Response:
        nonce = cookies.login_nonce_in(request.headers, secure=secure) or os.urandom(_NONCE_BYTES).hex()
        response = page(
            request,
            "login.html",
            viewer=None,
            title="Sign in",
            next_path=next_path,
            problem=problem,
            csrf_token=parts.seal.login_token(nonce),
        )
        response.status_code = status
        cookies.keep_login_nonce(request, response, nonce, secure=secure)
        return response

    @router.get("/login")
    async def show(request: Request) -> Response:
        return form(request, next_path=local_path(request.query_params.get("next", "/")))

    @router.post("/login")
    async def sign_in(request: Request) -> Response:
        sent = form_of(request)
        next_path = local_path(sent.get("next", "/"))
        nonce = cookies.login_nonce_in(request.headers, secure=secure)
        if nonce is None or not same_token(sent.get(CSRF_FIELD, ""), parts.seal.login_token(nonce)):
            raise Forbidden("the form has expired, or the browser keeps no cookies: load the page again")
        try:
            session = await keys.session(request, sent.get("key", "").strip())
        except Unauthenticated as fault:
            return form(request, next_path=next_path, problem=str(fault), status=HTTPStatus.UNAUTHORIZED)
        except (TooManyAttempts, GatewayOverloaded) as fault:
            status = (
                HTTPStatus.TOO_MANY_REQUESTS
                if isinstance(fault, TooManyAttempts)
                else HTTPStatus.SERVICE_UNAVAILABLE
            )
            response = form(request, next_path=next_path, problem=str(fault), status=status)
            response.headers["retry-after"] = str(fault.retry_after_s)
            return response
        response = RedirectResponse(next_path, HTTPStatus.SEE_OTHER)
        for_s = int(parts.settings.session_h * 3_600)
        cookies.keep_session(request, response, parts.seal.seal(session), for_s=for_s, secure=secure)
        return response

    @router.post("/logout")
    async def sign_out(request: Request) -> Response:
        response = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
        cookies.forget_session(request, response.headers, secure=secure)
        return response

    return router
