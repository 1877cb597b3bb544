"""Identifiers: what they look like, how they are made from given time and randomness, how they are checked.

A client's words never become a key or a dimension: what fails its check here is `UNKNOWN`. What people paste
to find a request is read here too, in whichever form they have it.
"""

import re
from datetime import UTC, datetime
from typing import Final, NewType

TenantId = NewType("TenantId", str)
RequestId = NewType("RequestId", str)

UNKNOWN: Final = "_unknown"

_TENANT_ID = re.compile(r"[a-z0-9-]{1,48}")
_HEX = "[0-9a-f]"
_UUID = re.compile(rf"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}")
_DIGITS = re.compile(rf"{_HEX}{{32}}")
_XRAY = re.compile(rf"1-({_HEX}{{8}})-({_HEX}{{24}})")
_ANSWER: Final = "chatcmpl-"  # before the request id, in an answer's `id`
_UUID_VERSION: Final = 14  # index of the version in a dashed UUID


def tenant_id(text: str) -> TenantId | None:
    """The tenant id that `text` spells, or None when it is not one (`[a-z0-9-]{1,48}`)."""
    return TenantId(text) if _TENANT_ID.fullmatch(text) else None


def request_id(unix_ms: int, random: bytes) -> RequestId:
    """A UUIDv7 (RFC 9562, 5.7) of the given time and 10 random bytes: sorts by time, unique by randomness."""
    bits = int.from_bytes(random[:10], "big")
    rand_a, rand_b = bits >> 68, bits & ((1 << 62) - 1)
    value = (unix_ms & ((1 << 48) - 1)) << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b
    return RequestId(_dashed(f"{value:032x}"))


def uuid4_hex(random: bytes) -> str:
    """A UUID version 4 of 16 random bytes, as 32 hex digits: the form in which a trace id is held."""
    bits = int.from_bytes(random[:16], "big")
    value = bits & ~(0xF << 76) & ~(0b11 << 62) | 0x4 << 76 | 0b10 << 62
    return f"{value:032x}"


def parse_uuid(text: str) -> str | None:
    """The 32 hex digits of a dashed UUID in any case, or None."""
    lowered = text.strip().lower()
    return lowered.replace("-", "") if _UUID.fullmatch(lowered) else None


def as_uuid(trace_id: str) -> str:
    """A 32-digit trace id in UUID form, as `x-trace-id` shows it."""
    return _dashed(trace_id)


def as_xray(trace_id: str) -> str:
    """A 32-digit trace id in X-Ray form, `1-8hex-24hex`."""
    return f"1-{trace_id[:8]}-{trace_id[8:]}"


def bare(any_id: str) -> str:
    """The id without what an answer's own id puts before it, in lower case."""
    return any_id.strip().lower().removeprefix(_ANSWER)


def trace_id_of(text: str) -> str | None:
    """The 32 hex digits of a trace id in any of its three forms, or None."""
    lowered = text.strip().lower()
    xray = _XRAY.fullmatch(lowered)
    if xray:
        return xray[1] + xray[2]
    return lowered if _DIGITS.fullmatch(lowered) else parse_uuid(lowered)


def arrival_of(request_id: str) -> datetime | None:
    """When a request id was made, which it says itself (UUIDv7); None for any other UUID."""
    digits = parse_uuid(request_id)
    if digits is None or request_id.strip()[_UUID_VERSION] != "7":
        return None
    try:
        return datetime.fromtimestamp(int(digits[:12], 16) / 1_000, UTC)
    except (ValueError, OverflowError):  # later than any calendar goes
        return None


def _dashed(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
