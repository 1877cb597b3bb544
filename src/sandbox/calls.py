"""What was asked of the runtimes, and how each call ended: the record that tests read.

A call that the client leaves is still a call, and Bedrock still bills it: the record says so.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from sandbox.engines.engine import Usage

MAX_CALLS = 10_000
MAX_BODIES = 1_000

CallEnd = Literal["completed", "client_closed", "refused", "faulted"]


class Call(msgspec.Struct, kw_only=True):
    """One call. Times are monotonic seconds; ``ended`` is None while it runs.

    ``headers`` has what a platform keeps of the request's headers, names in lower case. ``billed``
    is what AWS would charge for tokens: None for SageMaker, which is paid by the hour. ``model_status`` is
    the status of a model's container where that was the error; ``asked_model_s`` is when a stream's
    generation began, ``first_sent_s`` when its first chunk was written.
    """

    request_id: str
    service: Literal["bedrock", "sagemaker"]
    operation: str
    model: str
    headers: dict[str, str]
    signed: bool
    body: Any
    started_s: float = msgspec.field(default_factory=time.monotonic)
    finished_s: float | None = None
    ended: CallEnd | None = None
    status: int = 200
    error_type: str | None = None
    model_status: int | None = None
    first_token_ms: int | None = None
    asked_model_s: float | None = None
    first_sent_s: float | None = None
    events_sent: int = 0
    bytes_sent: int = 0
    usage: Usage | None = None
    billed: Usage | None = None

    @property
    def request_metadata(self) -> dict[str, str]:
        """Bedrock's requestMetadata, empty where none was sent."""
        found = self.body.get("requestMetadata") if isinstance(self.body, dict) else None
        return dict(found) if isinstance(found, dict) else {}

    @property
    def first_output_s(self) -> float | None:
        """Seconds from arrival to a stream's first token, or to its first chunk if it broke off before.

        What dialects send ahead of the first token (a role, a start) does not count.
        """
        if self.first_sent_s is None:
            return None
        if self.first_token_ms is None or self.asked_model_s is None:
            return self.first_sent_s - self.started_s
        return self.asked_model_s - self.started_s + self.first_token_ms / 1000

    def streamed(self, byte_count: int) -> None:
        """Count bytes of a stream that were written."""
        if self.first_sent_s is None:
            self.first_sent_s = time.monotonic()
        self.bytes_sent += byte_count

    def finish(self, ended: CallEnd, *, status: int | None = None, error_type: str | None = None) -> None:
        """Close the record; the first ending stands."""
        if self.ended is not None:
            return
        self.ended = ended
        self.finished_s = time.monotonic()
        self.status = self.status if status is None else status
        self.error_type = error_type


class CallLog:
    """The latest calls, oldest first."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=MAX_CALLS)

    def __iter__(self) -> Iterator[Call]:
        """Go through the calls, oldest first."""
        return iter(self._calls)

    def __len__(self) -> int:
        """Count the calls."""
        return len(self._calls)

    def __getitem__(self, position: int) -> Call:
        """Return one call; -1 is the latest."""
        return self._calls[position]

    def add(self, call: Call) -> None:
        """Remember a call that has begun, and forget the body of an old one."""
        self._calls.append(call)
        if len(self._calls) > MAX_BODIES:
            self._calls[-MAX_BODIES - 1].body = None

    def clear(self) -> None:
        """Forget all of them; those that run go on unseen."""
        self._calls.clear()

    def of(self, model: str) -> list[Call]:
        """The calls of one model or endpoint."""
        return [call for call in self._calls if call.model == model]


_HOP_HEADERS = frozenset({"authorization", "host", "connection", "content-length", "accept-encoding"})


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The request's headers as a call remembers them: no credentials, nothing of the transport."""
    return {name.lower(): value for name, value in headers.items() if name.lower() not in _HOP_HEADERS}
