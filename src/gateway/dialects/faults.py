"""Which fault a backend's error is: one table for AWS, whether the error came as a head or inside a stream.

Also here: the errors that a model's container writes into its own stream. Pure. What a fault then does
(retry, fallback, the client's status) is for routing and for the surface.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

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
)

# Keys are the services' names without case, namespace and the suffix "Exception": a head says
# `ThrottlingException`, the stream `throttlingException`. The status is what the name stands for where the
# stream has none of its own (botocore's models of bedrock-runtime and sagemaker-runtime).
_BY_TYPE: Final[Mapping[str, tuple[type[BackendFault], int]]] = {
    "throttling": (BackendThrottled, 429),
    "toomanyrequests": (BackendThrottled, 429),
    "servicequotaexceeded": (BackendThrottled, 400),
    "modelnotready": (BackendUnavailable, 429),
    "serviceunavailable": (BackendUnavailable, 503),
    "modelerror": (BackendModelFailed, 424),
    "modelstreamerror": (BackendModelFailed, 424),
    "modeltimeout": (BackendTimedOut, 408),
    "internalserver": (BackendInternal, 500),
    "internalfailure": (BackendInternal, 500),
    "internalstreamfailure": (BackendInternal, 500),
    "internaldependency": (BackendInternal, 530),
    "validation": (BackendRejected, 400),
    "validationerror": (BackendRejected, 400),
    "accessdenied": (BackendRejected, 403),
    "resourcenotfound": (BackendRejected, 404),
    "conflict": (BackendRejected, 400),
    "expiredtoken": (BackendRejected, 403),
    "unrecognizedclient": (BackendRejected, 403),
    "invalidsignature": (BackendRejected, 403),
}
_BY_STATUS: Final[Mapping[int, type[BackendFault]]] = {
    408: BackendTimedOut,
    424: BackendModelFailed,
    429: BackendThrottled,
    502: BackendUnavailable,
    503: BackendUnavailable,
    504: BackendUnavailable,
}
_MESSAGES: Final[Mapping[type[BackendFault], str]] = {
    BackendThrottled: "the backend asks for fewer requests",
    BackendUnavailable: "the backend is not available",
    BackendModelFailed: "the model failed",
    BackendTimedOut: "the backend gave up waiting for the model",
    BackendInternal: "the backend failed internally",
    BackendRejected: "the backend refused the request",
}
# What a container answers to a request that it will not serve however often it is repeated.
_REQUEST_AT_FAULT: Final = frozenset({400, 413, 422})
_CONTAINER_TYPES: Final[Mapping[str, type[BackendFault]]] = {
    "validation": BackendRejected,
    "badrequesterror": BackendRejected,
    "overloaded": BackendUnavailable,
}

_TYPE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}")
_MAX_DETAIL_LENGTH = 2_000
_SERVER_ERROR = 500


def aws_fault(
    error_type: str | None, *, status: int | None = None, detail: str | None = None
) -> BackendFault:
    """The fault that an AWS error name stands for, else the one that its HTTP status does.

    `detail` is the service's own wording and goes nowhere but to `BackendFault.detail`.
    """
    name = (error_type or "").rpartition("#")[2].partition(":")[0]
    known = _BY_TYPE.get(name.lower().removesuffix("exception"))
    kind, usual_status = known or (_kind_of_status(status), None)
    return _made(kind, name or None, usual_status if status is None else status, detail)


def head_fault(status: int, headers: Mapping[str, str], body: bytes) -> BackendFault:
    """The fault of a reply whose head is an error.

    A ModelError that passes on a container's refusal of the request is a BackendRejected: repeating it
    would not help, and one client's bad requests must not count against a model's health.
    """
    fields = _json_object(body)
    error_type = headers.get("x-amzn-errortype") or _text(fields, "__type", "code", "ErrorCode")
    detail = _text(fields, "message", "Message", "OriginalMessage", "originalMessage")
    original = fields.get("OriginalStatusCode") or fields.get("originalStatusCode")
    fault = aws_fault(error_type, status=status, detail=detail)
    if isinstance(fault, BackendModelFailed) and original in _REQUEST_AT_FAULT:
        original_detail = _text(fields, "OriginalMessage", "originalMessage")
        return _made(BackendRejected, fault.error_type, status, original_detail or detail)
    return fault


def stream_fault(exception_type: str | None, payload: bytes) -> BackendFault:
    """The fault of a modelled exception inside an AWS event stream."""
    fields = _json_object(payload)
    return aws_fault(exception_type, detail=_text(fields, "message", "Message", "originalMessage"))


def container_fault(
    *, error_type: object = None, status: object = None, detail: object = None
) -> BackendFault:
    """The fault of an error that a model's container wrote into its reply.

    The model failed, unless status or type say that the request is at fault or that it is overloaded.
    """
    code = status if isinstance(status, int) and not isinstance(status, bool) else None
    name = error_type if isinstance(error_type, str) else None
    kind: type[BackendFault] = BackendModelFailed
    if code in _REQUEST_AT_FAULT:
        kind = BackendRejected
    elif code is not None:
        kind = _BY_STATUS.get(code, kind)
    kind = _CONTAINER_TYPES.get((name or "").lower(), kind)
    return _made(kind, name, 424 if code is None else code, detail if isinstance(detail, str) else None)


def corrupt(message: str) -> BackendProtocolCorrupt:
    """The fault of a reply that makes no sense or ended early."""
    return BackendProtocolCorrupt(message)


def unreachable(error: BaseException) -> BackendUnreachable:
    """The fault of a connection that could not be made or broke before the reply began."""
    return BackendUnreachable("no connection to the backend", error_type=type(error).__name__)


def _kind_of_status(status: int | None) -> type[BackendFault]:
    if status is None:
        return BackendInternal
    if status >= _SERVER_ERROR:
        return _BY_STATUS.get(status, BackendInternal)
    return _BY_STATUS.get(status, BackendRejected)


def _made(
    kind: type[BackendFault], error_type: str | None, status: int | None, detail: str | None
) -> BackendFault:
    message = _MESSAGES[kind]
    fault = BackendTimedOut(message, phase="total") if kind is BackendTimedOut else kind(message)
    # A name becomes part of spans and rows: what does not look like one is text, and stays out of them.
    if error_type is not None:
        fault.error_type = error_type if _TYPE_NAME.fullmatch(error_type) else "unknown"
    fault.status = status
    fault.detail = detail[:_MAX_DETAIL_LENGTH] if detail else None
    return fault


def _json_object(body: bytes) -> Mapping[str, object]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(fields: Mapping[str, object], *names: str) -> str | None:
    return next((value for name in names if isinstance(value := fields.get(name), str) and value), None)
