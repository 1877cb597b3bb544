"""What we find out about a prompt beside the call: its token count and its hash.

Begun before the call is sent, so that a large prompt is counted in a thread meanwhile; finished after the
first bytes are on their way. Nothing here delays the first token.
"""

import asyncio
import logging

from gateway.chat import ChatRequest, ImagePart, Message, TextPart
from gateway.invocation import Invocation, RunningAttempt
from gateway.tokenizing import Count, TokenCounter
from llmplatform.catalogue import ModelEntry
from llmplatform.samples import prompt_sha256
from llmplatform.usage import UsageSource

logger = logging.getLogger(__name__)

_PATIENCE_S = 0.25
"""For a count that is still running when the reply is over; after it the estimate stands."""


def turns(request: ChatRequest) -> tuple[tuple[str, str], ...]:
    """(role, text) of each turn; tool calls are written out and images are named, not included."""
    return tuple((message.role, _text(message)) for message in request.messages)


def _text(message: Message) -> str:
    parts = message.parts
    if len(parts) == 1 and not message.tool_calls and isinstance(parts[0], TextPart):
        return parts[0].text
    pieces = [f"[{part.media_type}]" if isinstance(part, ImagePart) else part.text for part in parts]
    pieces += [f"{call.name}({call.arguments})" for call in message.tool_calls]
    return "\n".join(pieces)


class PromptStudy:
    """One prompt, being counted."""

    __slots__ = ("_count", "_counter", "_counting", "_invocation", "_model_id", "_request")

    def __init__(
        self, counter: TokenCounter, request: ChatRequest, model: ModelEntry, invocation: Invocation
    ) -> None:
        self._counter = counter
        self._request = request
        self._model_id = model.model_id
        self._invocation = invocation
        self._count: Count | None = None
        self._counting = counter.start(model.model_id, request)

    async def settle(self) -> None:
        """Put count and hash on the invocation. Does nothing the second time; never raises."""
        if self._count is not None:
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                self._count = await self._counting.result()
        except Exception as error:
            if not isinstance(error, TimeoutError):
                logger.warning("a prompt could not be counted", exc_info=error)
            estimate = self._counter.admission_estimate(self._request)
            self._count = Count(estimate, exact=False, method="estimate")
        self._invocation.counted_prompt_tokens = self._count.tokens
        self._invocation.counted_prompt_exact = self._count.exact
        self._invocation.prompt_sha256 = prompt_sha256(turns(self._request))

    def output_estimate(self, attempt: RunningAttempt) -> int:
        """Tokens generated so far, from their length."""
        size = attempt.meter.content_bytes
        return self._counter.output_tokens_estimate(size, attempt.route.model.model_id) if size else 0

    def learn(self) -> None:
        """Compare with what the backend reported, so that the next estimate is better."""
        invocation, count = self._invocation, self._count
        attempt = invocation.current
        if count is None or attempt is None or invocation.usage_source is not UsageSource.REPORTED:
            return
        usage, model_id = invocation.usage, attempt.route.model.model_id
        if usage.prompt_tokens is not None and model_id == self._model_id:
            self._counter.learn_prompt(model_id, count, usage.prompt_tokens)
        if usage.output_tokens is not None:
            self._counter.learn_output(model_id, attempt.meter.content_bytes, usage.output_tokens)
