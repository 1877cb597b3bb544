"""Body of POST /v1/chat/completions to `ChatRequest`. Pure.

`openai_chat_schema` says what each field may hold; here are the rules that span fields, the translation,
and the wording of faults. A fault names the path of the field in OpenAI's manner
(`messages[2].content[0].text`) and quotes no value of the body, nor does an exception that it was made
from hang on it: a parser's own errors quote what they read.

Of a key given twice the last one counts. What is checked is what is sent on, since no one parses the body
again.
"""

import re
from collections.abc import Sequence
from typing import Any, Final, Literal, assert_never

import msgspec
import orjson

from gateway.chat import (
    ChatRequest,
    EvaluationHints,
    JsonSchema,
    Message,
    NamedTool,
    Part,
    ResponseFormat,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from gateway.surfaces import openai_chat_schema as wire
from gateway.surfaces.inline_images import image_of_data_url
from llmplatform.errors import ClientFault, MalformedRequest, UnsupportedParameter

MAX_CONTEXT_CHARS: Final = 200_000
"""Of all contexts of `x_evaluation` together."""

_DECODER: Final = msgspec.json.Decoder(wire.ChatCompletionRequest)
_NO_PARAMETERS: Final = {"type": "object", "properties": {}}


def decode_chat_request(body: bytes) -> ChatRequest:
    """What the client asks for.

    Raises MalformedRequest, or UnsupportedParameter for a well-formed wish that no backend of ours honours;
    `param` is the path of the first field at fault.
    """
    try:
        given = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        fault: ClientFault = _fault_of(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError):
        fault = MalformedRequest("The body is not valid JSON in UTF-8.", code="invalid_json")
    except RecursionError:
        fault = MalformedRequest("The body is nested too deeply.", code="invalid_json")
    else:
        return _translated(given)
    raise fault  # outside of the handlers: neither cause nor context may carry the parser's words


def _translated(given: wire.ChatCompletionRequest) -> ChatRequest:
    _refuse_unhonoured(given)
    options = given.stream_options
    if options is not None and not given.stream:
        raise _malformed("stream_options", "is only allowed when 'stream' is true")
    if given.top_logprobs is not None and not given.logprobs:
        raise _malformed("top_logprobs", "is only allowed when 'logprobs' is true")
    tools = _tools(given.tools) if given.tools else ()
    return ChatRequest(
        model=given.model,
        messages=_messages(given.messages),
        stream=given.stream is True,
        include_usage=options is not None and options.include_usage is True,
        max_tokens=_max_tokens(given),
        temperature=given.temperature,
        top_p=given.top_p,
        stop=(given.stop,) if isinstance(given.stop, str) else tuple(given.stop or ()),
        seed=given.seed,
        frequency_penalty=given.frequency_penalty,
        presence_penalty=given.presence_penalty,
        tools=tools,
        tool_choice=_tool_choice(given.tool_choice, tools),
        parallel_tool_calls=given.parallel_tool_calls,
        response_format=_response_format(given.response_format),
        reasoning_effort=given.reasoning_effort,
        logprobs=given.logprobs is True,
        top_logprobs=given.top_logprobs,
        logit_bias=given.logit_bias,
        metadata=given.metadata or {},
        evaluation=_evaluation(given.x_evaluation),
    )


# -- rules that span fields -------------------------------------------------------------------------------


def _refuse_unhonoured(given: wire.ChatCompletionRequest) -> None:
    for name, defaults in wire.ONLY_DEFAULT.items():
        value = getattr(given, name)
        # The types are compared too: in Python, true is 1.
        if value is not None and not any(type(value) is type(ok) and value == ok for ok in defaults):
            only = " or ".join((*(orjson.dumps(ok).decode() for ok in defaults), "null"))
            raise _unsupported(name, f"only {only} is supported")


def _max_tokens(given: wire.ChatCompletionRequest) -> int | None:
    older, newer = given.max_tokens, given.max_completion_tokens
    if older is not None and newer is not None and older != newer:
        raise _malformed(
            "max_tokens", "differs from 'max_completion_tokens', its newer name; send one of them"
        )
    return older if newer is None else newer


def _evaluation(given: wire.Evaluation | None) -> EvaluationHints | None:
    if given is None:
        return None
    contexts = tuple(given.contexts or ())
    if sum(map(len, contexts)) > MAX_CONTEXT_CHARS:
        raise _malformed("x_evaluation.contexts", f"holds over {MAX_CONTEXT_CHARS} characters in all")
    return EvaluationHints(given.reference, contexts, given.skip)


def _tools(given: Sequence[wire.FunctionTool]) -> tuple[Tool, ...]:
    names: set[str] = set()
    for index, tool in enumerate(given):
        if tool.function.name in names:
            raise _malformed(f"tools[{index}].function.name", "repeats the name of another tool")
        names.add(tool.function.name)
    parameters = [tool.function.parameters for tool in given]
    if not _can_be_written(*parameters):
        index = next(index for index, one in enumerate(parameters) if not _can_be_written(one))
        raise _not_writable(f"tools[{index}].function.parameters")
    return tuple(
        Tool(
            tool.function.name,
            tool.function.description,
            _NO_PARAMETERS if tool.function.parameters is None else tool.function.parameters,
            tool.function.strict,
        )
        for tool in given
    )


def _tool_choice(
    given: Literal["none", "auto", "required"] | wire.ChosenTool | None, tools: Sequence[Tool]
) -> ToolChoice | None:
    match given:
        case None | "auto" | "none":
            return given
        case "required":
            if not tools:
                raise _malformed("tool_choice", "demands a tool call and there are no 'tools'")
            return "required"
        case wire.ChosenTool(function=chosen):
            if all(tool.name != chosen.name for tool in tools):
                raise _malformed("tool_choice.function.name", "is not the name of one of the 'tools'")
            return NamedTool(chosen.name)
        case _:
            assert_never(given)


def _response_format(
    given: wire.PlainText | wire.AnyJsonObject | wire.JsonOfSchema | None,
) -> ResponseFormat | None:
    match given:
        case None | wire.PlainText():
            return None
        case wire.AnyJsonObject():
            return "json_object"
        case wire.JsonOfSchema(json_schema=named):
            if not _can_be_written(named.schema):
                raise _not_writable("response_format.json_schema.schema")
            return JsonSchema(named.name, named.schema, named.description, named.strict)
        case _:
            assert_never(given)


_MAX_DEPTH: Final = 128
"""Of tool schemas and arguments. orjson writes 254 levels, and dialects put a few around these."""


def _can_be_written(*values: Any) -> bool:
    """Whether JSON values of the client's survive being written again.

    msgspec reads integers of any size and deep nesting, which orjson, like many a server, will not write.
    """
    nested: Sequence[Any] = values
    for _ in range(253 - _MAX_DEPTH):
        nested = (nested,)
    try:
        orjson.dumps(nested)
    except orjson.JSONEncodeError:
        return False
    return True


def _not_writable(param: str) -> MalformedRequest:
    return _malformed(param, f"is nested over {_MAX_DEPTH} levels or holds an integer of over 64 bits")


# -- messages ---------------------------------------------------------------------------------------------


def _messages(given: Sequence[wire.AnyMessage]) -> tuple[Message, ...]:
    if sum(len(m.content) for m in given if isinstance(m.content, list)) > wire.MAX_PARTS_IN_ALL:
        raise _malformed("messages", f"may have at most {wire.MAX_PARTS_IN_ALL} content parts in all")
    called: set[str] = set()
    messages = []
    for index, message in enumerate(given):
        match message:
            case wire.UserMessage():
                translated = Message("user", _parts(message, index), name=message.name)
            case wire.AssistantMessage():
                translated = _assistant_message(message, index)
                for call in translated.tool_calls:
                    called.add(call.id)
            case wire.ToolMessage():
                if message.tool_call_id not in called:
                    raise _malformed(
                        f"messages[{index}].tool_call_id",
                        "answers no tool call of an earlier assistant message",
                    )
                parts = _parts(message, index)
                translated = Message("tool", parts, tool_call_id=message.tool_call_id, name=message.name)
            case wire.SystemMessage() | wire.DeveloperMessage():
                translated = Message("system", _parts(message, index), name=message.name)
            case _:
                assert_never(message)
        messages.append(translated)
    return tuple(messages)


def _assistant_message(message: wire.AssistantMessage, index: int) -> Message:
    parts = _parts(message, index) if message.content else ()
    if message.refusal:
        parts = (*parts, TextPart(message.refusal))
    if message.tool_calls:
        calls = tuple(
            [
                ToolCall(call.id, call.function.name, _arguments(call.function.arguments, index, number))
                for number, call in enumerate(message.tool_calls)
            ]
        )
        return Message("assistant", parts, calls, name=message.name)
    if not parts and message.content is None:
        raise _malformed(f"messages[{index}].content", "is needed in a message without 'tool_calls'")
    return Message("assistant", parts or (TextPart(""),), name=message.name)


def _arguments(text: str, index: int, number: int) -> str:
    """The arguments of an earlier call, which backends want as a JSON object; a model may write none."""
    if not text.strip():
        return "{}"
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    # Counting first spares the ordinary call the second look: without 128 brackets nothing is that deep.
    shallow = text.count("{") + text.count("[") <= _MAX_DEPTH
    if not isinstance(value, dict) or not (shallow or _can_be_written(value)):
        path = f"messages[{index}].tool_calls[{number}].function.arguments"
        raise _malformed(path, "is not the text of a JSON object")
    return text


def _parts(message: wire.AnyMessage, index: int) -> tuple[Part, ...]:
    content = message.content
    mark = message.cache_control
    if isinstance(content, str):
        return (TextPart(content, None if mark is None else mark.ttl),)
    if not content:
        raise _malformed(f"messages[{index}].content", "is an empty array")
    parts = [_part(part, f"messages[{index}].content[{number}]") for number, part in enumerate(content)]
    if mark is not None:
        last = parts[-1]
        if not isinstance(last, TextPart):
            raise _malformed(f"messages[{index}].cache_control", "needs a message that ends in text")
        parts[-1] = TextPart(last.text, mark.ttl)
    return tuple(parts)


def _part(part: wire.Text | wire.Refusal | wire.Image | wire.InputAudio | wire.File, path: str) -> Part:
    match part:
        case wire.Text():
            return TextPart(part.text, None if part.cache_control is None else part.cache_control.ttl)
        case wire.Refusal():
            return TextPart(part.refusal)
        case wire.Image():
            if part.image_url.detail not in (None, "auto"):
                raise _unsupported(f"{path}.image_url.detail", "only 'auto' is supported")
            return image_of_data_url(part.image_url.url, f"{path}.image_url.url")
        case wire.InputAudio():
            raise _unsupported(f"{path}.type", "audio input is not supported")
        case wire.File():
            raise _unsupported(f"{path}.type", "file input is not supported")
        case _:
            assert_never(part)


# -- wording ----------------------------------------------------------------------------------------------

_TYPES: Final = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "object": "an object",
    "array": "an array",
    "null": "null",
}
_PLACE: Final = re.compile(r" - at (`key` in )?`\$\.?([^`]*)`$")
_FIELD: Final = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)
_SHOWABLE_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_INDEX: Final = re.compile(r"\[\d+\]")
_QUOTED: Final = re.compile(r"`([^`]*)`")
_CHOICES: Final = {
    "messages[].role": "one of system, developer, user, assistant, tool",
    "messages[].content[].type": "a type of content that this role may send (text; a user also image_url)",
    "messages[].tool_calls[].type": "function",
    "tools[].type": "function",
    "tool_choice": "one of none, auto, required, or an object that names a function",
    "tool_choice.type": "function",
    "response_format.type": "one of text, json_object, json_schema",
    "reasoning_effort": "one of none, minimal, low, medium, high, xhigh, max",
}
"""What to say in place of msgspec's words about a wrong choice, which quote it."""


def _fault_of(complaint: str) -> MalformedRequest:
    """The fault for a complaint of msgspec's, such as "Expected `str`, got `int` - at `$.messages[0].name`".

    Only the kinds of complaint that quote nothing but types and bounds of ours are put into words; the
    name of an unknown field is shown if it looks like one.
    """
    at = _PLACE.search(complaint)
    place = "" if at is None else at[2].removesuffix("[...]")
    words = complaint if at is None else complaint[: at.start()]
    if (field := _FIELD.fullmatch(words)) is not None:
        kind, name = field.groups()
        known = kind.startswith("missing") or _SHOWABLE_NAME.fullmatch(name) is not None
        param = f"{place}.{name}".removeprefix(".") if known else place
        if kind.startswith("missing"):
            return _malformed(param, "is missing", code="missing_required_parameter")
        text = "is not a field that is known here" if known else "has a field that is not known here"
        return _malformed(param, text, code="unknown_parameter")
    choices = _CHOICES.get(_INDEX.sub("[]", place))
    if choices is not None:
        return _malformed(place, f"must be {choices}")
    if words.startswith("Expected "):
        subject = "must be" if at is None or not at[1] else "has a key that must be"
        return _malformed(place, f"{subject} {_expectation(words)}")
    return _malformed(place, "has a value that is not allowed here")


def _expectation(words: str) -> str:
    """What msgspec expected, without what it got: "`int` >= 1" is "an integer >= 1"."""
    expected = words.removeprefix("Expected ").partition(", got ")[0]
    return _QUOTED.sub(_plainly, expected)


def _plainly(quoted: re.Match[str]) -> str:
    return " or ".join(_TYPES.get(one.strip(), one) for one in quoted[1].split("|"))


def _malformed(param: str, text: str, *, code: str | None = None) -> MalformedRequest:
    subject = f"'{param}'" if param else "the body"
    return MalformedRequest(f"Invalid request: {subject} {text}.", param=param or None, code=code)


def _unsupported(param: str, text: str) -> UnsupportedParameter:
    return UnsupportedParameter(f"Unsupported value: '{param}': {text}.", param=param)
