"""The form that faults take over HTTP: status, problem details (RFC 9457), what to do. Pure.

The one place here that knows both `llmplatform.errors` and HTTP. What the table of costs cannot give now is a
503, to be asked for again; a bug of ours tells nothing but the request's id.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import orjson

from costagg.api.callers import NoSuchTenant
from llmplatform.errors import (
    ClientFault,
    Forbidden,
    GatewayOverloaded,
    PlatformFault,
    TelemetryFault,
    Unauthenticated,
)

PROBLEM_JSON: Final = "application/problem+json"
RETRY_AFTER_S: Final = 5
REALM: Final = 'Bearer realm="llm-platform billing"'

_STATUSES: Final[Mapping[type[PlatformFault], HTTPStatus]] = {
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    NoSuchTenant: HTTPStatus.NOT_FOUND,
    ClientFault: HTTPStatus.BAD_REQUEST,
    GatewayOverloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    TelemetryFault: HTTPStatus.SERVICE_UNAVAILABLE,
}


def problem(fault: PlatformFault, request_id: str) -> tuple[HTTPStatus, dict[str, str], bytes]:
    """Status, headers and body that tell a client of a fault."""
    status = next(
        (_STATUSES[kind] for kind in type(fault).__mro__ if kind in _STATUSES),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )
    headers = {}
    code, detail, param = fault.code, str(fault), None
    if isinstance(fault, ClientFault):
        code, param = fault.specific_code, fault.param
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = str(getattr(fault, "retry_after_s", RETRY_AFTER_S))
    else:
        detail = "a fault of ours; name the request id when you report it"
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = REALM
    return status, headers, problem_body(status, code=code, detail=detail, param=param, request_id=request_id)


def problem_body(
    status: HTTPStatus, *, code: str, detail: str, request_id: str, param: str | None = None
) -> bytes:
    """Problem details as JSON."""
    return orjson.dumps(
        {
            "type": "about:blank",
            "title": status.phrase,
            "status": status.value,
            "code": code,
            "detail": detail,
            "param": param,
            "request_id": request_id,
        }
    )
