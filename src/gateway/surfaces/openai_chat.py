"""OpenAI Chat Completions as a surface: the decoder and the two encoders under one name."""

from typing import Final

from gateway.chat import ChatRequest
from gateway.surfaces.openai_chat_request import decode_chat_request
from gateway.surfaces.openai_chat_response import PING, ChatCompletionReply, ChatCompletionStream
from gateway.surfaces.surface import ReplyHeading


class OpenAiChatSurface:
    """POST /v1/chat/completions."""

    name: str = "chat_completions"
    ping: bytes = PING

    def decode(self, body: bytes) -> ChatRequest:
        """The request that `body` spells. Raises MalformedRequest or UnsupportedParameter."""
        return decode_chat_request(body)

    def stream(self, heading: ReplyHeading) -> ChatCompletionStream:
        """An encoder for a streamed reply."""
        return ChatCompletionStream(heading)

    def reply(self, heading: ReplyHeading) -> ChatCompletionReply:
        """An encoder for a reply in one piece."""
        return ChatCompletionReply(heading)


OPENAI_CHAT: Final = OpenAiChatSurface()
