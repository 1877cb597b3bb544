"""What an answer of Bedrock's that is no success means for the candidate: told by status and error name.

Both come from Bedrock's user guide, "Troubleshooting Amazon Bedrock API error codes". The message is read
only where one name stands for several causes: a ValidationException may be about the model id, about the
length of this one request, or about a field. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from evalworker.judging.judge import RefusedReason, UnavailableReason


@dataclass(frozen=True, slots=True)
class Failure:
    """A call without an answer."""

    reason: UnavailableReason
    retryable: bool
    """The same call may soon succeed."""
    ill: bool | None
    """Whether it speaks of the model's health; None when it says nothing about it, as a throttle does."""
    maybe_billed: bool = False


@dataclass(frozen=True, slots=True)
class Rejection:
    """Bedrock took offence at the request. Without a reason it may be this candidate or every one."""

    reason: RefusedReason | None


TIMED_OUT: Final = Failure("timeout", retryable=True, ill=True, maybe_billed=True)
NOT_CONNECTED: Final = Failure("unreachable", retryable=True, ill=True)
CONNECTION_LOST: Final = Failure("unreachable", retryable=True, ill=True, maybe_billed=True)

_THROTTLED: Final = Failure("throttled", retryable=True, ill=None)
_SERVER_ERROR: Final = Failure("server_error", retryable=True, ill=True)
_DENIED: Final = Failure("access_denied", retryable=False, ill=None)
_NO_MODEL: Final = Failure("model_not_found", retryable=False, ill=None)
_BY_STATUS: Final = {
    401: _DENIED,
    403: _DENIED,
    404: _NO_MODEL,
    408: Failure("model_timeout", retryable=True, ill=True, maybe_billed=True),
    424: Failure("model_error", retryable=True, ill=True, maybe_billed=True),
    429: _THROTTLED,
}
_BAD_REQUEST: Final = 400
_SERVER_ERRORS: Final = 500

# Names that come with status 400 and do not speak of the request.
_QUOTA: Final = frozenset({"ServiceQuotaExceededException", "ThrottlingException"})
_SIGNATURE: Final = frozenset(
    {
        "AccessDeniedException",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "RequestExpired",
        "UnrecognizedClientException",
    }
)
_OF_THE_MODEL_ID: Final = (
    "model identifier",
    "end of its life",
    "inference profile",
    "on-demand throughput",
    "model id",
)
_OF_THE_LENGTH: Final = (
    "too long",
    "too many input tokens",
    "input tokens exceeded",
    "context window",
    "context length",
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """What an answer that is no success says of itself."""

    error_type: str
    """`ThrottlingException`, without what may stand before a `#` or after a `:`."""
    message: str = field(repr=False)
    """Bedrock's words, which may quote the request: read here, told nobody."""
    retry_after_s: float
    """0 when it asks for nothing, or for a date."""


def complaint(headers: Mapping[str, str], body: bytes) -> Complaint:
    """Name and message of an error answer; empty where it has none."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decoded = None
    known = decoded if isinstance(decoded, dict) else {}
    named = headers.get("x-amzn-errortype") or _text(known, "__type", "code")
    asked = headers.get("Retry-After", "")
    retry_after_s = float(asked) if asked.isascii() and asked.isdigit() else 0.0
    error_type = named.partition(":")[0].rpartition("#")[2]
    return Complaint(error_type, _text(known, "message", "Message"), retry_after_s)


def meaning(status: int, told: Complaint) -> Failure | Rejection:
    """What an answer with this status means."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status == _BAD_REQUEST:
        return _bad_request(told.error_type, told.message.lower())
    return _SERVER_ERROR if status >= _SERVER_ERRORS else Failure("misconfigured", retryable=False, ill=None)


def _bad_request(error_type: str, message: str) -> Failure | Rejection:
    if error_type in _QUOTA:
        return _THROTTLED
    if error_type in _SIGNATURE:
        return _DENIED
    if any(words in message for words in _OF_THE_MODEL_ID):
        return _NO_MODEL
    return Rejection("too_long" if any(words in message for words in _OF_THE_LENGTH) else None)


def _text(fields: Mapping[str, Any], *names: str) -> str:
    return next((text for name in names if isinstance(text := fields.get(name), str)), "")
