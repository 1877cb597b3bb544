"""The wire shape of POST /v1/chat/completions, as msgspec structs: what is accepted and what is answered.

The same structs decode bodies, encode replies and make the JSON Schemas of the OpenAPI document, so the
document cannot drift from the code. Rules that span fields are in `openai_chat_request`, as is the wording
of faults. Field names are OpenAI's; `x_evaluation`, `cache_control` and `x_usage_source` are ours or the
field's custom.

Unknown fields are refused at every level, never ignored. Three kinds of field are taken without effect:
what a reply of ours or of OpenAI holds and clients send back with the history (`reasoning_content`,
`annotations`), a caller's labels that change no answer (`user`, `safety_identifier`, `prompt_cache_key`),
and the default value of each parameter in `ONLY_DEFAULT`.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.chat import CacheTtl, FinishReason

# A body of millions of tiny messages would hold the event loop, and everybody's tokens, for seconds.
MAX_MESSAGES: Final = 4_096
MAX_PARTS: Final = 1_024
"""Of one message."""
MAX_PARTS_IN_ALL: Final = 16_384
MAX_STOP_SEQUENCES: Final = 4
MAX_METADATA_PAIRS: Final = 16
MAX_REFERENCE_CHARS: Final = 32_000
MAX_CONTEXTS: Final = 64

ONLY_DEFAULT: Final[dict[str, tuple[Any, ...]]] = {
    "n": (1,),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "modalities": (["text"],),
    "verbosity": ("medium",),
    "functions": ([],),
    "function_call": ("auto", "none"),
    "prompt_cache_retention": ("in_memory",),
    "audio": (),
    "moderation": (),
    "prediction": (),
    "prompt_cache_options": (),
    "web_search_options": (),
}
"""Parameters of OpenAI's that no backend of ours honours, each with the values that ask for nothing (and
null, which every one of them takes)."""

FunctionName = Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
ShortText = Annotated[str, Meta(min_length=1, max_length=256)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
TokenCount = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Unhonoured = Annotated[Any, Meta(description="Only the default value, or null.")]


# -- the request ------------------------------------------------------------------------------------------


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """An object in which a field that we do not know is an error."""


class CacheControl(Strict, frozen=True):
    """A prompt-cache mark, in Anthropic's form, which OpenAI clients commonly send too."""

    type: Literal["ephemeral"]
    ttl: CacheTtl = "5m"


class Text(Strict, frozen=True, tag_field="type", tag="text"):
    """A piece of text."""

    text: str
    cache_control: CacheControl | None = None


class Refusal(Strict, frozen=True, tag_field="type", tag="refusal"):
    """The refusal that an assistant gave in an earlier turn."""

    refusal: str


class ImageUrl(Strict, frozen=True):
    """An image inside the request."""

    url: Annotated[str, Meta(description="data:image/png|jpeg|gif|webp;base64,...")]
    detail: Literal["auto", "low", "high", "original"] | None = None


class Image(Strict, frozen=True, tag_field="type", tag="image_url"):
    """An image."""

    image_url: ImageUrl


class InputAudio(Struct, frozen=True, tag_field="type", tag="input_audio"):
    """Sound: recognised so that it can be refused by name."""


class File(Struct, frozen=True, tag_field="type", tag="file"):
    """A file: recognised so that it can be refused by name."""


class Turn(Strict, frozen=True):
    """What every message may carry."""

    name: ShortText | None = None
    cache_control: CacheControl | None = None


TextContent = str | Annotated[list[Text], Meta(max_length=MAX_PARTS)]


class SystemMessage(Turn, frozen=True, kw_only=True, tag_field="role", tag="system"):
    """Instructions."""

    content: TextContent


class DeveloperMessage(Turn, frozen=True, kw_only=True, tag_field="role", tag="developer"):
    """Instructions, by their newer name."""

    content: TextContent


class UserMessage(Turn, frozen=True, kw_only=True, tag_field="role", tag="user"):
    """What the user says and shows."""

    content: str | Annotated[list[Text | Image | InputAudio | File], Meta(max_length=MAX_PARTS)]


class CalledFunction(Strict, frozen=True):
    """A function and the arguments that the model wrote for it."""

    name: ShortText
    arguments: str


class AssistantToolCall(Strict, frozen=True, tag_field="type", tag="function"):
    """A call that the assistant made."""

    id: ShortText
    function: CalledFunction
    index: int | None = None
    """Left in by clients that collect stream deltas."""


class AssistantMessage(Turn, frozen=True, kw_only=True, tag_field="role", tag="assistant"):
    """What the model said earlier, as a reply held it."""

    content: str | Annotated[list[Text | Refusal], Meta(max_length=MAX_PARTS)] | None = None
    refusal: str | None = None
    tool_calls: list[AssistantToolCall] | None = None
    audio: None = None
    function_call: None = None
    annotations: list[Any] | None = None
    reasoning_content: str | None = None


class ToolMessage(Turn, frozen=True, kw_only=True, tag_field="role", tag="tool"):
    """What a tool answered."""

    content: TextContent
    tool_call_id: ShortText


AnyMessage = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage


class Function(Strict, frozen=True):
    """A function that the model may call."""

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(Strict, frozen=True, tag_field="type", tag="function"):
    """A tool."""

    function: Function


class ChosenFunction(Strict, frozen=True):
    """The name of the function to call."""

    name: FunctionName


class ChosenTool(Strict, frozen=True, tag_field="type", tag="function"):
    """The tool that must be called."""

    function: ChosenFunction


class PlainText(Strict, frozen=True, tag_field="type", tag="text"):
    """Free text: the default."""


class AnyJsonObject(Strict, frozen=True, tag_field="type", tag="json_object"):
    """Some JSON object."""


class NamedSchema(Strict, frozen=True):
    """A JSON Schema under a name."""

    name: FunctionName
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class JsonOfSchema(Strict, frozen=True, tag_field="type", tag="json_schema"):
    """JSON of a given schema."""

    json_schema: NamedSchema


class StreamOptions(Strict, frozen=True):
    """What a stream holds besides the answer."""

    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


class Evaluation(Strict, frozen=True):
    """Ground truth and retrieved text for the evaluation of this answer; never sent to a backend."""

    reference: Annotated[str, Meta(max_length=MAX_REFERENCE_CHARS)] | None = None
    contexts: Annotated[list[str], Meta(max_length=MAX_CONTEXTS)] | None = None
    skip: bool = False


class ChatCompletionRequest(Strict, frozen=True, kw_only=True):
    """The body of POST /v1/chat/completions."""

    model: ShortText
    messages: Annotated[list[AnyMessage], Meta(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: TokenCount | None = None
    max_completion_tokens: TokenCount | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stop: (
        Annotated[str, Meta(min_length=1)]
        | Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=MAX_STOP_SEQUENCES)]
        | None
    ) = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: PlainText | AnyJsonObject | JsonOfSchema | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    logit_bias: (
        dict[Annotated[str, Meta(pattern="^[0-9]{1,9}$")], Annotated[float, Meta(ge=-100, le=100)]] | None
    ) = None
    metadata: (
        Annotated[
            dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
            Meta(max_length=MAX_METADATA_PAIRS),
        ]
        | None
    ) = None
    x_evaluation: Evaluation | None = None

    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    n: Unhonoured = None
    store: Unhonoured = None
    service_tier: Unhonoured = None
    modalities: Unhonoured = None
    verbosity: Unhonoured = None
    functions: Unhonoured = None
    function_call: Unhonoured = None
    prompt_cache_retention: Unhonoured = None
    audio: Unhonoured = None
    moderation: Unhonoured = None
    prediction: Unhonoured = None
    prompt_cache_options: Unhonoured = None
    web_search_options: Unhonoured = None


# -- the reply --------------------------------------------------------------------------------------------


class PromptTokensDetails(Struct, frozen=True):
    """What the prompt's tokens were; null is unknown."""

    cached_tokens: int | None
    cache_write_tokens: int | None


class CompletionTokensDetails(Struct, frozen=True):
    """What the generated tokens were; null is unknown."""

    reasoning_tokens: int | None


class Usage(Struct, frozen=True):
    """Token usage. A figure that nobody knows is null, never 0."""

    prompt_tokens: Annotated[int | None, Meta(description="Cached tokens included.")]
    completion_tokens: Annotated[int | None, Meta(description="Reasoning included.")]
    total_tokens: int | None
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails
    x_usage_source: Annotated[
        str, Meta(description="reported | drained | continuous | estimated: where the figures come from.")
    ]


class ReplyFunction(Struct, frozen=True):
    """A function and the arguments that the model wrote for it, as JSON text."""

    name: str
    arguments: str


class ReplyToolCall(Struct, frozen=True):
    """A call that the model wants made."""

    id: str
    function: ReplyFunction
    type: Literal["function"] = "function"


class ReplyMessage(Struct, frozen=True):
    """The answer."""

    content: str | None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ReplyToolCall] | UnsetType = UNSET
    role: Literal["assistant"] = "assistant"
    refusal: None = None


class Choice(Struct, frozen=True):
    """The one choice of a reply."""

    message: ReplyMessage
    finish_reason: FinishReason | None
    index: int = 0
    logprobs: None = None


class ChatCompletion(Struct, frozen=True):
    """The body of an unstreamed reply."""

    id: str
    created: Annotated[int, Meta(description="Unix time in seconds.")]
    model: Annotated[str, Meta(description="The public name of the model that answered.")]
    choices: list[Choice]
    usage: Usage | None
    service_tier: str | UnsetType = UNSET
    object: Literal["chat.completion"] = "chat.completion"
    system_fingerprint: None = None


# -- the OpenAPI document ---------------------------------------------------------------------------------

_QUESTION: Final = [
    {"role": "system", "content": "Answer in one sentence."},
    {"role": "user", "content": "Why is the sky blue?"},
]


def request_schema() -> dict[str, Any]:
    """The JSON Schema of a request body, whole: it holds no references, so it can stand anywhere."""
    examples: list[dict[str, Any]] = [
        {"model": "smollm2-135m", "messages": _QUESTION, "max_tokens": 64},
        {
            "model": "smollm2-135m",
            "messages": _QUESTION,
            "stream": True,
            "stream_options": {"include_usage": True},
            "x_evaluation": {"reference": "Air scatters short wavelengths more than long ones."},
        },
    ]
    return {**_inlined(ChatCompletionRequest), "examples": examples}


def response_schema() -> dict[str, Any]:
    """The JSON Schema of an unstreamed reply, whole: it holds no references."""
    example = ChatCompletion(
        id="chatcmpl-0198c0de-0000-7000-8000-000000000000",
        created=1_760_000_000,
        model="smollm2-135m",
        choices=[Choice(ReplyMessage("Air scatters blue light most."), FinishReason.STOP)],
        usage=Usage(24, 7, 31, PromptTokensDetails(0, 0), CompletionTokensDetails(None), "reported"),
    )
    return {**_inlined(ChatCompletion), "examples": [msgspec.to_builtins(example)]}


def _inlined(struct: type[Struct]) -> dict[str, Any]:
    (root,), components = msgspec.json.schema_components([struct])

    def inline(node: Any) -> Any:
        if isinstance(node, list):
            return [inline(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return inline(components[node["$ref"].rpartition("/")[2]])
        # A discriminator maps names to references; the tags in the alternatives say the same.
        return {key: inline(value) for key, value in node.items() if key != "discriminator"}

    schema: dict[str, Any] = inline(root)
    return schema
