"""How many calls of AWS a page view makes: what is counted is bounded, and what is bounded stays fast.

Counted where each attempt goes out, whichever client and room it comes from: none needs to remember to.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from llmplatform.aws.signed_http import Answer, SignedHttp

if TYPE_CHECKING:
    import aioboto3


class AwsCalls:
    """A counter of one page view; its tasks share it."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


_current: Final[ContextVar[AwsCalls | None]] = ContextVar("aws_calls", default=None)


@contextmanager
def counted(calls: AwsCalls) -> Iterator[AwsCalls]:
    """Count the calls that begin in this block, those of tasks that are started in it included."""
    token = _current.set(calls)
    try:
        yield calls
    finally:
        _current.reset(token)


def count_call(*_: Any, **__: Any) -> None:
    """Take note of a call that goes out now. Takes and returns what a handler of botocore's events does."""
    calls = _current.get()
    if calls is not None:
        calls.count += 1


def count_calls_of(session: "aioboto3.Session") -> None:
    """Count every attempt of every client that this session will open."""
    session.events.register("before-send", count_call)


class CountedHttp(SignedHttp):
    """A client without an SDK whose calls count too."""

    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """As SignedHttp does."""
        count_call()
        return await super().post(path, headers, body)
