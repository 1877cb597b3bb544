"""The seam between the request path and a model's side: one method to open a call, one to read it."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from gateway.chat import ChatEvent, ChatRequest
from gateway.dialects.dialect import CallIdentity
from llmplatform.catalogue import ModelEntry


@dataclass(frozen=True, slots=True)
class BackendCall:
    """One attempt at one model."""

    request: ChatRequest
    model: ModelEntry
    identity: CallIdentity


class BackendReply(Protocol):
    """An open reply. Valid inside the `async with` that gave it."""

    upstream_request_id: str | None
    """The backend's id of the call, for its support and its logs."""
    status: int
    """HTTP status of the reply's head."""

    async def read(self) -> Sequence[ChatEvent]:
        """The events of what has arrived, waiting for at least one; empty at the end of the reply.

        Never waits for a second event once it has one, and returns all that one read completed. A reply
        that breaks ends with `StreamFailed`. Raises BackendTimedOut when the idle or total timeout passes.
        """
        ...


class Backend(Protocol):
    """A place that models answer from."""

    name: str
    """`bedrock` or `sagemaker`."""
    sends_trace: bool
    """Whether its calls carry the trace id in a place that reaches the model's side."""

    def open(self, call: BackendCall) -> AbstractAsyncContextManager[BackendReply]:
        """Send the call and wait for the reply's head, within the model's connect and first-token timeouts.

        Raises a BackendFault for anything but a good head. Leaving the context before the end of the
        reply aborts the call and closes its connection; leaving it at the end gives the connection back.
        """
        ...
