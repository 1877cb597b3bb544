"""The seam between counting and vocabularies: a request becomes pieces that can be counted apart.

Pieces are what makes a cache per message possible: a conversation repeats its earlier turns, and a piece
that was counted once is not counted again. What a message is made of is here too; how it is framed for a
model is the tokenizer's business.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from gateway.chat import ChatRequest, ImagePart, JsonSchema, Message, TextPart, Tool

IMAGE_TOKENS = 1_600
"""What an image is taken for. Claude scales to 1,568 pixels at most, about 1,600 tokens; OpenAI's largest
high-detail image is 1,105. No tokenizer here sees pixels, so a request with an image is never exact."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """A request cut so that the counts of its pieces, plus `extra`, are the count of the whole."""

    texts: Sequence[str] = field(repr=False)
    extra: int = 0
    """Tokens that are no text: a message's framing, images."""
    exact: bool = True


class ModelTokenizer(Protocol):
    """One vocabulary and one way to write a conversation in it. Safe to use from several threads."""

    name: str
    """`tiktoken:o200k_base`, `huggingface:smollm2`: the label of its counts."""
    inline_bytes: int
    """Up to this size a request is counted in under half a millisecond, so a thread is not worth its hop."""

    def pieces(self, request: ChatRequest) -> Pieces:
        """The request as the model will read it, in pieces."""
        ...

    def count_text(self, text: str) -> int:
        """Tokens of one piece. Lets other threads run while it works."""
        ...


def message_text(message: Message) -> str:
    """The message's text; several parts are joined by a line end, as vLLM and llama.cpp do."""
    if len(message.parts) == 1 and isinstance(message.parts[0], TextPart):
        return message.parts[0].text
    return "\n".join(part.text for part in message.parts if isinstance(part, TextPart))


def image_count(request: ChatRequest) -> int:
    """How many images the request carries."""
    return sum(isinstance(part, ImagePart) for message in request.messages for part in message.parts)


def tool_schema(tool: Tool) -> dict[str, object]:
    """The tool in OpenAI's form, which is what chat templates expect."""
    function: dict[str, object] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    return {"type": "function", "function": function | {"parameters": tool.parameters}}


def texts_of(request: ChatRequest) -> Iterator[str]:
    """Every text of the request without any framing: messages, tool calls, and tools as JSON."""
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, TextPart):
                yield part.text
        for call in message.tool_calls:
            yield call.name
            yield call.arguments
    for tool in request.tools:
        yield msgspec.json.encode(tool_schema(tool)).decode()
    if isinstance(request.response_format, JsonSchema):
        yield msgspec.json.encode(request.response_format.schema).decode()
