"""Everything that can be made to go wrong, as data: what a script lists, and JSON can set.

Each fault says where it strikes and, in ``times``, for how many calls: None is always, 1 is the
first call only, which is how a retry is tested. The carrying out is in ``delivery``.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """What all faults have: how many of a script's calls it strikes, counted from the first."""

    times: int | None = None


class Refuse(Fault, frozen=True, kw_only=True, tag="refuse"):
    """An error before the stream: the status and the type that ``x-amzn-errortype`` names.

    ``fields`` go into the body beside the message (``originalStatusCode``, ``LogStreamArn`` ...);
    ``headers`` onto the response (``Retry-After`` ...).
    """

    status: int
    error_type: str
    message: str = "scripted refusal"
    fields: dict[str, Any] = {}
    headers: dict[str, str] = {}


class StreamException(Fault, frozen=True, kw_only=True, tag="exception"):
    """A modelled exception frame after so many frames; ``fields`` go beside the message."""

    exception_type: str
    after_events: int = 0
    message: str = "scripted exception"
    fields: dict[str, Any] = {}


class StreamError(Fault, frozen=True, kw_only=True, tag="error"):
    """A frame with ``:message-type`` error after so many frames."""

    code: str = "InternalError"
    message: str = "scripted error"
    after_events: int = 0


class UnknownEvent(Fault, frozen=True, kw_only=True, tag="unknown_event"):
    """An event of a type that no client knows, slipped in after so many frames."""

    after_events: int = 0
    event_type: str = "somethingNew"


class Cut(Fault, frozen=True, kw_only=True, tag="cut"):
    """The connection goes away after so many frames or bytes of body; ``reset`` sends an RST."""

    after_events: int | None = None
    after_bytes: int | None = None
    reset: bool = False


class EndEarly(Fault, frozen=True, kw_only=True, tag="end_early"):
    """The body ends cleanly after so many frames, with nothing said."""

    after_events: int


class Omit(Fault, frozen=True, kw_only=True, tag="omit"):
    """Bedrock events of these types never leave (``messageStop``, ``metadata`` ...)."""

    event_types: tuple[str, ...]


class Stall(Fault, frozen=True, kw_only=True, tag="stall"):
    """Silence for so many seconds after so many frames; then the stream goes on."""

    after_events: int
    seconds: float


class CorruptChecksum(Fault, frozen=True, kw_only=True, tag="corrupt_checksum"):
    """A wrong CRC in the frame of this index, counted from 0."""

    frame: int
    prelude: bool = False


class ContainerError(Fault, frozen=True, kw_only=True, tag="container_error"):
    """The model container itself fails after so many of its chunks, in its own dialect.

    Before the first chunk of an unstreamed call it is a ModelError of this status.
    """

    after_events: int = 0
    message: str = "scripted container error"
    code: int = 424
    error_type: str = "generation"


AnyFault = (
    Refuse
    | StreamException
    | StreamError
    | UnknownEvent
    | Cut
    | EndEarly
    | Omit
    | Stall
    | CorruptChecksum
    | ContainerError
)
