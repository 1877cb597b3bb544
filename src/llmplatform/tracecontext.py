"""Which trace a request belongs to, decided from its headers.

A trace id is 32 lower-case hex digits everywhere inside; `ids.as_uuid` and `ids.as_xray` write its other
two forms. A client's sampled flag and its `X-Amzn-Trace-Id` are not trusted and not read (architecture.md).
"""

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from llmplatform import ids

TraceOrigin = Literal["traceparent", "x-trace-id", "minted"]

# W3C Trace Context, level 2: version ff is invalid, later versions may carry more fields after a dash.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_ZERO_TRACE = "0" * 32
_ZERO_SPAN = "0" * 16


@dataclass(frozen=True, slots=True)
class TraceContext:
    """One request's place in a trace."""

    trace_id: str
    """32 hex digits; the OpenTelemetry trace id."""
    span_id: str
    """16 hex digits; the gateway's own span for this request."""
    parent_span_id: str | None
    """The caller's span, when it sent a valid `traceparent`."""
    origin: TraceOrigin


def attempt_span_id(request_id: str, number: int) -> str:
    """The span id of a request's attempt, counted from 0: 16 hex digits.

    A hash, so that what a backend was told is its parent and the span made at the end have the same id.
    """
    return blake2b(f"{request_id}/{number}".encode(), digest_size=8).hexdigest()


def adopt_trace(traceparent: str | None, x_trace_id: str | None, random: bytes) -> TraceContext:
    """The trace that the headers name, else a new one from 24 random bytes.

    `traceparent` wins over `x-trace-id`. A header that does not parse counts as absent: a bad trace header
    must never fail an inference.
    """
    span_id = random[16:24].hex()
    if span_id == _ZERO_SPAN:
        span_id = "1".rjust(16, "0")
    if traceparent is not None:
        match = _TRACEPARENT.fullmatch(traceparent.strip())
        if (
            match
            and match[2] != _ZERO_TRACE
            and match[3] != _ZERO_SPAN
            and (match[1] != "00" or not match[4])
        ):
            return TraceContext(match[2], span_id, match[3], "traceparent")
    if x_trace_id is not None:
        trace_id = ids.parse_uuid(x_trace_id)
        if trace_id is not None and trace_id != _ZERO_TRACE:
            return TraceContext(trace_id, span_id, None, "x-trace-id")
    return TraceContext(ids.uuid4_hex(random[:16]), span_id, None, "minted")
