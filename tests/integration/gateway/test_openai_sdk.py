"""OpenAI's own client against the running gateway: what its users do works, on every backend.

What the backend received is read from the sandbox's record of its calls.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from harness.gateway import GatewayUnderTest, running_gateway, small_catalogue
from llmplatform.invocation import Outcome
from sandbox.engines.scripted import Script, ScriptedToolCall, ScriptedUsage

HELLO: Any = [{"role": "user", "content": "hello"}]
BEDROCK, OPENAI, LMI, TGI = "scripted-bedrock", "scripted-openai", "scripted-lmi", "scripted-tgi"
BOTH = pytest.mark.parametrize("model", [BEDROCK, OPENAI])
EVERY = pytest.mark.parametrize("model", [BEDROCK, OPENAI, LMI, TGI])
EITHER_WAY = pytest.mark.parametrize("stream", [False, True])

# The smallest PNG: one transparent pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        # Its stream helper takes no other tools.
        "strict": True,
    },
}


async def complete(client: AsyncOpenAI, *, stream: bool, **options: Any) -> Any:
    """The completion, asked for in one piece or put together by the SDK from a stream."""
    options = {"messages": HELLO, **options}
    if not stream:
        return await client.chat.completions.create(**options)
    async with client.chat.completions.stream(**options) as events:
        async for _ in events:
            pass
        return await events.get_final_completion()


def asked(gateway: GatewayUnderTest) -> Any:
    """The body that the backend received last."""
    return gateway.runtime.calls[-1].body


# -- what is answered -------------------------------------------------------------------------------------


@EVERY
@EITHER_WAY
async def test_an_answer_arrives_whole(acme: GatewayUnderTest, model: str, stream: bool) -> None:  # noqa: FBT001
    acme.runtime.scripts[model] = Script(text="Grüße, 世界 and 👩‍👩‍👧 too", interval_ms=1)
    reply = await complete(acme.openai(), stream=stream, model=model)
    (choice,) = reply.choices
    assert choice.message.content == "Grüße, 世界 and 👩‍👩‍👧 too"
    assert choice.message.role == "assistant"
    assert choice.finish_reason == "stop"
    assert reply.model == model
    record = await acme.record()
    assert reply.id == f"chatcmpl-{record.request_id}"
    assert (record.outcome, record.stream, record.model_id) == (Outcome.COMPLETED, stream, model)


@EVERY
async def test_usage_comes_last_and_only_when_asked_for(acme: GatewayUnderTest, model: str) -> None:
    acme.runtime.scripts[model] = Script(text="one two three", usage=ScriptedUsage(input_tokens=11))
    client = acme.openai()
    asked_for: list[Any] = [
        chunk
        async for chunk in await client.chat.completions.create(
            model=model, messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    ]
    *before, last = asked_for
    assert last.choices == []
    assert all(chunk.usage is None and chunk.choices for chunk in before)
    assert last.usage.completion_tokens == 3
    if model in {BEDROCK, OPENAI}:
        assert last.usage.prompt_tokens == 11
        assert last.usage.total_tokens == 14
    unasked = [
        chunk
        async for chunk in await client.chat.completions.create(model=model, messages=HELLO, stream=True)
    ]
    assert all(chunk.usage is None and chunk.choices for chunk in unasked)


@BOTH
@EITHER_WAY
async def test_reasoning_is_told_apart_from_the_answer(
    acme: GatewayUnderTest,
    model: str,
    stream: bool,  # noqa: FBT001
) -> None:
    acme.runtime.scripts[model] = Script(reasoning=("let me ", "think"), text="done")
    client = acme.openai()
    if stream:
        pieces = [
            chunk.choices[0].delta
            async for chunk in await client.chat.completions.create(model=model, messages=HELLO, stream=True)
        ]
        reasoning = "".join(getattr(delta, "reasoning_content", None) or "" for delta in pieces)
        content = "".join(delta.content or "" for delta in pieces)
    else:
        reply = await client.chat.completions.create(model=model, messages=HELLO)
        message: Any = reply.choices[0].message
        reasoning, content = message.reasoning_content, message.content
    assert (reasoning, content) == ("let me think", "done")
    record = await acme.record()
    assert record.usage.output_tokens == 3


@BOTH
async def test_a_limit_ends_the_answer_and_says_so(acme: GatewayUnderTest, model: str) -> None:
    acme.runtime.scripts[model] = Script(token_count=50)
    for limit in ({"max_tokens": 5}, {"max_completion_tokens": 5}):
        reply = await acme.openai().chat.completions.create(model=model, messages=HELLO, **limit)  # type: ignore[call-overload]
        assert reply.choices[0].finish_reason == "length"
        assert len(reply.choices[0].message.content.split()) == 5


# -- what is sent to the backend --------------------------------------------------------------------------


@BOTH
async def test_sampling_parameters_and_stop_reach_the_backend(acme: GatewayUnderTest, model: str) -> None:
    acme.runtime.scripts[model] = Script(text="one two STOP three")
    reply = await acme.openai().chat.completions.create(
        model=model, messages=HELLO, temperature=0.3, top_p=0.8, max_completion_tokens=77, stop=["STOP"]
    )
    assert reply.choices[0].message.content == "one two "
    assert reply.choices[0].finish_reason == "stop"
    body = asked(acme)
    if model == BEDROCK:
        assert body["inferenceConfig"] == {
            "maxTokens": 77,
            "temperature": 0.3,
            "topP": 0.8,
            "stopSequences": ["STOP"],
        }
    else:
        assert (body["temperature"], body["top_p"], body["stop"]) == (0.3, 0.8, ["STOP"])
        assert 77 in {body.get("max_tokens"), body.get("max_completion_tokens")}


@BOTH
async def test_an_image_reaches_the_backend_as_it_was(acme: GatewayUnderTest, model: str) -> None:
    content: Any = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    ]
    await acme.openai().chat.completions.create(model=model, messages=[{"role": "user", "content": content}])
    (turn,) = asked(acme)["messages"]
    if model == BEDROCK:
        image = turn["content"][1]["image"]
        assert image["format"] == "png"
        assert base64.b64decode(image["source"]["bytes"]) == base64.b64decode(PIXEL)
    else:
        assert turn["content"][1]["image_url"]["url"] == f"data:image/png;base64,{PIXEL}"


@pytest.mark.parametrize("model", [LMI, TGI])
async def test_an_image_for_a_text_endpoint_is_refused_by_name(acme: GatewayUnderTest, model: str) -> None:
    content: Any = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}]
    with pytest.raises(openai.BadRequestError) as refused:
        await acme.openai().chat.completions.create(
            model=model, messages=[{"role": "user", "content": content}]
        )
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "messages[0].content")
    assert len(acme.runtime.calls) == 0


class City(BaseModel):
    """What the model is to answer with."""

    name: str
    inhabitants: int


@BOTH
@EITHER_WAY
async def test_a_json_schema_is_asked_of_the_model_and_parsed(
    acme: GatewayUnderTest,
    model: str,
    stream: bool,  # noqa: FBT001
) -> None:
    acme.runtime.scripts[model] = Script(text='{"name": "Bern", "inhabitants": 134000}')
    completions = acme.openai().chat.completions
    if stream:
        async with completions.stream(model=model, messages=HELLO, response_format=City) as events:
            reply = await events.get_final_completion()
    else:
        reply = await completions.parse(model=model, messages=HELLO, response_format=City)
    assert reply.choices[0].message.parsed == City(name="Bern", inhabitants=134_000)
    body = asked(acme)
    if model == BEDROCK:
        told = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
        schema = json.loads(told["schema"])
    else:
        told = body["response_format"]["json_schema"]
        schema = told["schema"]
    assert told["name"] == "City"
    assert set(schema["properties"]) == {"name", "inhabitants"}


@EVERY
async def test_what_is_for_us_alone_reaches_no_backend(acme: GatewayUnderTest, model: str) -> None:
    await acme.openai().chat.completions.create(
        model=model,
        messages=HELLO,
        metadata={"ticket": "for-us-alone"},
        extra_body={"x_evaluation": {"reference": "for-us-alone", "contexts": ["for-us-alone"]}},
    )
    assert "for-us-alone" not in json.dumps(asked(acme))
    record = await acme.record()
    assert record.client_metadata == {"ticket": "for-us-alone"}
    (sample,) = acme.samples.items
    assert json.loads(sample.data)["reference"] == "for-us-alone"


# -- tools ------------------------------------------------------------------------------------------------


@BOTH
@EITHER_WAY
async def test_a_tool_call_goes_out_and_its_result_comes_back(
    acme: GatewayUnderTest,
    model: str,
    stream: bool,  # noqa: FBT001
) -> None:
    arguments = json.dumps({"city": "Bern, the one on the Aare"})
    acme.runtime.scripts[model] = Script(
        tool_calls=(ScriptedToolCall(name="get_weather", arguments=arguments),), interval_ms=1
    )
    client = acme.openai()
    question: Any = {"role": "user", "content": "weather in Bern?"}
    first = await complete(
        client, stream=stream, model=model, messages=[question], tools=[WEATHER], tool_choice="required"
    )
    (choice,) = first.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", json.loads(arguments))
    _check_tools(model, asked(acme))

    acme.runtime.scripts[model] = Script(text="rain")
    history: Any = [
        question,
        choice.message.model_dump(exclude_none=True, exclude={"parsed": True}),
        {"role": "tool", "tool_call_id": call.id, "content": "12 degrees, rain"},
    ]
    for turn in history[1].get("tool_calls", ()):
        turn["function"].pop("parsed_arguments", None)
    second = await complete(client, stream=stream, model=model, messages=history, tools=[WEATHER])
    assert second.choices[0].message.content == "rain"
    _check_tool_result(model, asked(acme), call.id, json.loads(arguments))


def _check_tools(model: str, body: Any) -> None:
    if model == BEDROCK:
        (tool,) = body["toolConfig"]["tools"]
        assert tool["toolSpec"]["name"] == "get_weather"
        assert tool["toolSpec"]["inputSchema"]["json"] == WEATHER["function"]["parameters"]
        assert body["toolConfig"]["toolChoice"] == {"any": {}}
    else:
        (tool,) = body["tools"]
        assert tool["function"]["parameters"] == WEATHER["function"]["parameters"]
        assert body["tool_choice"] == "required"


def _check_tool_result(model: str, body: Any, call_id: str, arguments: Mapping[str, str]) -> None:
    user, assistant, result = body["messages"]
    if model == BEDROCK:
        (used,) = [block["toolUse"] for block in assistant["content"] if "toolUse" in block]
        assert used == {"toolUseId": call_id, "name": "get_weather", "input": arguments}
        assert (user["role"], assistant["role"], result["role"]) == ("user", "assistant", "user")
        (told,) = [block["toolResult"] for block in result["content"]]
        assert told["toolUseId"] == call_id
        assert told["content"] == [{"text": "12 degrees, rain"}]
    else:
        (used,) = assistant["tool_calls"]
        assert (used["id"], json.loads(used["function"]["arguments"])) == (call_id, arguments)
        assert (result["role"], result["tool_call_id"]) == ("tool", call_id)
        assert result["content"] == "12 degrees, rain"


@BOTH
@EITHER_WAY
async def test_parallel_tool_calls_stay_apart(acme: GatewayUnderTest, model: str, stream: bool) -> None:  # noqa: FBT001
    cities = ["Bern", "Thun"]
    acme.runtime.scripts[model] = Script(
        tool_calls=tuple(
            ScriptedToolCall(name="get_weather", arguments=json.dumps({"city": city})) for city in cities
        )
    )
    reply = await complete(acme.openai(), stream=stream, model=model, tools=[WEATHER])
    calls: Any = reply.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in calls] == cities
    assert len({call.id for call in calls}) == 2


@pytest.mark.parametrize("model", [LMI, TGI])
async def test_tools_for_a_text_endpoint_are_refused_by_name(acme: GatewayUnderTest, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await acme.openai().chat.completions.create(model=model, messages=HELLO, tools=[WEATHER])
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "tools")


# -- errors -----------------------------------------------------------------------------------------------


REFUSED: list[Any] = [
    ({"model": OPENAI, "extra_body": {"no_such_field": 1}}, "unknown_parameter", "no_such_field"),
    ({"n": 2}, "unsupported_parameter", "n"),
    ({"logprobs": True}, "unsupported_parameter", "logprobs"),
    ({"temperature": 7}, "invalid_request", "temperature"),
    ({"temperature": 1.5}, "unsupported_parameter", "temperature"),
    ({"messages": [{"role": "user"}]}, "missing_required_parameter", "messages[0].content"),
    ({"messages": []}, "invalid_request", "messages"),
    ({"max_tokens": 0}, "invalid_request", "max_tokens"),
    ({"response_format": {"type": "json_object"}}, "unsupported_parameter", "response_format"),
    ({"stream_options": {"include_usage": True}}, "invalid_request", "stream_options"),
    ({"extra_body": {"x_evaluation": {"contexts": "text"}}}, "invalid_request", "x_evaluation.contexts"),
]


@pytest.mark.parametrize(("options", "code", "param"), REFUSED)
async def test_a_wish_that_cannot_be_honoured_is_named(
    acme: GatewayUnderTest, options: Any, code: str, param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await acme.openai().chat.completions.create(**{"model": BEDROCK, "messages": HELLO, **options})
    assert (refused.value.code, refused.value.param) == (code, param)
    assert param in refused.value.message
    _check_error(refused.value)
    assert len(acme.runtime.calls) == 0
    record = await acme.record()
    assert (record.outcome, record.http_status, record.error_code) == (Outcome.REFUSED, 400, code)


async def test_a_seed_that_the_model_cannot_honour_is_refused() -> None:
    catalogue = small_catalogue(**{BEDROCK: {"capabilities": ["tools"]}})
    async with running_gateway(catalogue=catalogue) as gateway:
        with pytest.raises(openai.BadRequestError) as refused:
            await gateway.openai().chat.completions.create(model=BEDROCK, messages=HELLO, seed=7)
        assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "seed")
        _check_error(refused.value)


@EITHER_WAY
async def test_who_may_not_is_told_so_in_each_way(stream: bool) -> None:  # noqa: FBT001
    async with running_gateway(allowed_models=frozenset({BEDROCK})) as gateway:
        good = gateway.openai()
        gateway.add_tenant("globex")
        forged = gateway.key[:-4] + ("aaaa" if gateway.key[-4:] != "aaaa" else "bbbb")
        cases: list[Any] = [
            (gateway.openai("nonsense"), {}, openai.AuthenticationError, 401, "invalid_api_key"),
            (gateway.openai(forged), {}, openai.AuthenticationError, 401, "invalid_api_key"),
            (good, {"model": OPENAI}, openai.NotFoundError, 404, "model_not_found"),
            (good, {"model": "no-such-model"}, openai.NotFoundError, 404, "model_not_found"),
            (
                good,
                {"extra_headers": {"x-tenant-id": "globex"}},
                openai.PermissionDeniedError,
                403,
                "tenant_mismatch",
            ),
        ]
        for number, (client, options, kind, status, code) in enumerate(cases, 1):
            with pytest.raises(kind) as refused:
                await client.chat.completions.create(
                    **{"model": BEDROCK, "messages": HELLO, "stream": stream, **options}
                )
            assert refused.value.status_code == status
            assert refused.value.code == code
            _check_error(refused.value)
            record = await gateway.record(number)
            assert (record.outcome, record.http_status) == (Outcome.REFUSED, status)
            assert record.tenant_id == ("_unknown" if status == 401 else "acme")
            assert record.requested_model_id in {None, BEDROCK, "_unknown"}
        assert len(gateway.runtime.calls) == 0
        named = await good.chat.completions.create(
            model=BEDROCK, messages=HELLO, extra_headers={"x-tenant-id": "acme"}
        )
        assert named.choices


def _check_error(error: openai.APIStatusError) -> None:
    """OpenAI's shape, a code, and one trace id in body and header."""
    body: Any = error.body
    assert set(body) == {"message", "type", "param", "code", "trace_id"}
    assert body["code"]
    assert body["trace_id"] == error.response.headers["x-trace-id"]
    assert error.response.headers["x-request-id"]
