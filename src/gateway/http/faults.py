"""The form that faults take over HTTP: status, OpenAI's error object, Retry-After. Pure.

The one place that knows both `llmplatform.errors` and HTTP. The types are OpenAI's, on which its SDKs'
users branch; `code` is ours, stable, and says more. What was chosen where there was a choice:

- **424** for a model that failed, as Bedrock and SageMaker have it. OpenAI's SDKs repeat 408, 409, 429 and
  5xx by themselves; a model that failed, here after our own retries, they should not call again unasked.
- **502** for a backend that failed or spoke nonsense. 500 is left to mean one thing: a bug of ours.
- **504** for each of the four timeouts; `error.message` says which.
- **400** for a request that the backend refused, with the backend's own words: they go to the client that
  sent the prompt, which they may quote, and nowhere else. Account numbers in them are masked: a denial
  names the role that we call with, which is no tenant's business. A failed model's words are told too,
  being the container's error; those of other faults are about us and are not.
- **500** with nothing but the trace id for a bug, and for a fault that should never have reached a client
  (configuration, telemetry).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from llmplatform import ids
from llmplatform.errors import (
    BackendFault,
    BackendInternal,
    BackendModelFailed,
    BackendProtocolCorrupt,
    BackendRejected,
    BackendThrottled,
    BackendTimedOut,
    BackendUnavailable,
    BackendUnreachable,
    ClientFault,
    ConfigFault,
    Forbidden,
    GatewayOverloaded,
    InternalFault,
    MalformedRequest,
    PlatformFault,
    RequestTooLarge,
    RequestTooSlow,
    TelemetryFault,
    TenantOverloaded,
    Unauthenticated,
    UnknownModel,
    UnsupportedParameter,
)

ErrorResponse = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, headers, JSON body. `content-type` and `x-trace-id` are added where every response gets them."""

MAX_DETAIL_CHARS: Final = 2_000


@dataclass(frozen=True, slots=True)
class FaultForm:
    """How one class of fault looks from outside."""

    status: int
    type: str
    tells_detail: bool = False
    """Whether the client is told what the backend said."""
    tells_message: bool = True


_INVALID: Final = "invalid_request_error"
_SERVER: Final = "server_error"
_BUG: Final = FaultForm(500, _SERVER, tells_message=False)

FORMS: Final[Mapping[type[PlatformFault], FaultForm]] = {
    PlatformFault: _BUG,
    ClientFault: FaultForm(400, _INVALID),
    MalformedRequest: FaultForm(400, _INVALID),
    UnsupportedParameter: FaultForm(400, _INVALID),
    RequestTooLarge: FaultForm(413, _INVALID),
    RequestTooSlow: FaultForm(408, _INVALID),
    InternalFault: _BUG,
    Unauthenticated: FaultForm(401, "authentication_error"),
    Forbidden: FaultForm(403, "permission_error"),
    UnknownModel: FaultForm(404, "not_found_error"),
    TenantOverloaded: FaultForm(429, "rate_limit_error"),
    GatewayOverloaded: FaultForm(503, _SERVER),
    BackendFault: FaultForm(502, _SERVER),
    BackendThrottled: FaultForm(429, "rate_limit_error"),
    BackendTimedOut: FaultForm(504, _SERVER),
    BackendUnreachable: FaultForm(502, _SERVER),
    BackendUnavailable: FaultForm(503, _SERVER),
    BackendRejected: FaultForm(400, _INVALID, tells_detail=True),
    BackendModelFailed: FaultForm(424, _SERVER, tells_detail=True),
    BackendInternal: FaultForm(502, _SERVER),
    BackendProtocolCorrupt: FaultForm(502, _SERVER),
    ConfigFault: _BUG,
    TelemetryFault: _BUG,
}
"""Every class of `llmplatform.errors`; a subclass elsewhere looks like its nearest ancestor."""

_UNEXPECTED: Final = "The gateway failed on this request. The failure is recorded under the trace id."
_INTERNAL_CODE: Final = "internal_error"
_ACCOUNT_NUMBER: Final = re.compile(r"(?<!\d)\d{12}(?!\d)")


def form_of(fault: PlatformFault) -> FaultForm:
    """How `fault` looks from outside."""
    return next(FORMS[ancestor] for ancestor in type(fault).__mro__ if ancestor in FORMS)


def error_object(fault: PlatformFault, trace_id: str) -> dict[str, Any]:
    """OpenAI's error object, with our trace id in it as `x-trace-id` shows it: what stands under `error`.

    `trace_id` is 32 hex digits. The message may hold what the backend said: for the client alone.
    """
    form = form_of(fault)
    if not form.tells_message:
        return _object(_UNEXPECTED, form.type, None, _INTERNAL_CODE, trace_id)
    message, param, code = str(fault), None, fault.code
    if isinstance(fault, ClientFault):
        param, code = fault.param, fault.specific_code
    elif isinstance(fault, BackendFault) and form.tells_detail and fault.detail:
        message = f"{message}: {_ACCOUNT_NUMBER.sub('************', fault.detail[:MAX_DETAIL_CHARS])}"
    return _object(message, form.type, param, code, trace_id)


def error_response(fault: PlatformFault, trace_id: str) -> ErrorResponse:
    """The response that tells a client of `fault`."""
    headers = []
    if isinstance(fault, TenantOverloaded | GatewayOverloaded):
        headers.append((b"retry-after", str(fault.retry_after_s).encode()))
    return form_of(fault).status, headers, orjson.dumps({"error": error_object(fault, trace_id)})


def _object(message: str, kind: str, param: str | None, code: str, trace_id: str) -> dict[str, Any]:
    return {"message": message, "type": kind, "param": param, "code": code, "trace_id": ids.as_uuid(trace_id)}
