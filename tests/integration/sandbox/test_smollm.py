"""The real model behind both runtimes: real tokens, exact counts, and no work for who has left."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from tokenizers import Tokenizer

from sandbox.engines.engine import EngineBusy, EngineRefused, GenerationRequest, collect
from sandbox.engines.smollm import SmolLM
from sandbox.engines.smollm_tokenizer import write_tokenizer
from sandbox.runtime import SandboxRuntime, serve_runtime

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "smollm2-135m-instruct"
JUDGE = "sandbox.smollm2-135m-judge-v1:0"
QUESTION = "What is the capital of France?"
MESSAGES = [{"role": "user", "content": [{"text": QUESTION}]}]
GREEDY = {"temperature": 0.0, "maxTokens": 12}
PROMPT = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="real")
async def serving() -> AsyncIterator[SandboxRuntime]:
    async with serve_runtime() as runtime:
        yield runtime


class Leaving(Event):
    """Holds the model at what it tells first until its reader has left; counts what it tells from then on."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = Event()
        self.told = 0
        self._asked = 0

    def is_set(self) -> bool:
        self._asked += 1
        if self._asked == 2:  # the model asks once before it begins, then with all that it tells
            self.begun.set()
            self.wait()
        self.told += super().is_set()
        return super().is_set()


@pytest.fixture
def model() -> Iterator[SmolLM]:
    model = SmolLM(max_waiting=0)
    yield model
    model.close()


def asked(**fields: Any) -> GenerationRequest:
    return GenerationRequest(model=MODEL, messages=[{"role": "user", "content": QUESTION}], **fields)


async def test_streamed_and_whole_say_the_same_and_count_the_same(
    real: SandboxRuntime, make_client: Any, tmp_path: Path
) -> None:
    bedrock = make_client("bedrock-runtime", real.url)

    def both() -> tuple[Any, list[Any], int]:
        whole = bedrock.converse(modelId=MODEL, messages=MESSAGES, inferenceConfig=GREEDY)
        stream = bedrock.converse_stream(modelId=MODEL, messages=MESSAGES, inferenceConfig=GREEDY)["stream"]
        counted = bedrock.count_tokens(modelId=MODEL, input={"converse": {"messages": MESSAGES}})
        return whole, list(stream), counted["inputTokens"]

    whole, events, counted = await asyncio.to_thread(both)
    deltas = [event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event]
    said = whole["output"]["message"]["content"][0]["text"]
    assert said
    assert "".join(deltas) == said
    assert whole["stopReason"] == "max_tokens"
    assert events[-1]["metadata"]["usage"] == whole["usage"]

    write_tokenizer(tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    prompt_tokens = len(tokenizer.encode(PROMPT).ids)
    assert whole["usage"] == {
        "inputTokens": prompt_tokens,
        "outputTokens": 12,
        "totalTokens": prompt_tokens + 12,
    }
    assert counted == prompt_tokens
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert (config["bos_token"], config["eos_token"]) == ("<|im_start|>", "<|im_end|>")
    assert "im_start" in config["chat_template"]


async def test_a_container_streams_it_and_a_templated_prompt_counts_the_same(
    real: SandboxRuntime, make_client: Any
) -> None:
    sagemaker = make_client("sagemaker-runtime", real.url)
    body = json.dumps({"inputs": PROMPT, "parameters": {"max_new_tokens": 5, "temperature": 0}})

    def read() -> bytes:
        response = sagemaker.invoke_endpoint_with_response_stream(EndpointName="smollm-tgi", Body=body)
        return b"".join(event["PayloadPart"]["Bytes"] for event in response["Body"])

    last = json.loads((await asyncio.to_thread(read)).strip().rpartition(b"data:")[2])
    assert last["details"]["generated_tokens"] == 5
    assert last["details"]["finish_reason"] == "length"
    assert real.calls[-1].usage is not None
    assert last["details"]["input_length"] == real.calls[-1].usage.input_tokens


async def test_a_json_schema_binds_the_answer(real: SandboxRuntime) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 10}, "age": {"type": "integer", "maximum": 9}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    response_format = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    answer = await collect(
        real.registry.smollm.generate(asked(max_tokens=60, temperature=0, response_format=response_format))
    )
    assert set(json.loads(answer.text)) == {"name", "age"}


async def test_a_forced_tool_is_called_with_what_its_schema_allows(
    real: SandboxRuntime, make_client: Any
) -> None:
    rating = {
        "type": "object",
        "properties": {
            "reason": {"type": "string"},
            "score": {"type": "integer", "enum": [1, 2, 3]},
            "steps": {"type": "integer", "minimum": 4, "maximum": 6},
            "word": {"type": "string", "maxLength": 5},
        },
        "required": ["reason", "score", "steps", "word"],
    }
    tools = {
        "tools": [{"toolSpec": {"name": "rate", "inputSchema": {"json": rating}}}],
        "toolChoice": {"tool": {"name": "rate"}},
    }
    bedrock = make_client("bedrock-runtime", real.url)
    asked = {"modelId": JUDGE, "messages": MESSAGES, "toolConfig": tools}

    def both() -> tuple[Any, list[Any], Any]:
        whole = bedrock.converse(**asked, inferenceConfig={"temperature": 0.0, "maxTokens": 200})
        stream = bedrock.converse_stream(**asked, inferenceConfig={"temperature": 0.0, "maxTokens": 200})
        cut = bedrock.converse(**asked, inferenceConfig={"temperature": 0.0, "maxTokens": 12})
        return whole, list(stream["stream"]), cut

    whole, events, cut = await asyncio.to_thread(both)
    (block,) = whole["output"]["message"]["content"]
    given = block["toolUse"]["input"]
    assert block["toolUse"]["name"] == "rate"
    assert set(given) == {"reason", "score", "steps", "word"}
    assert given["score"] in {1, 2, 3}
    assert given["steps"] in {4, 5, 6}
    assert len(given["word"]) <= 5
    assert 10 <= len(given["reason"]) <= 60
    assert whole["stopReason"] == "tool_use"
    assert events[1]["contentBlockStart"]["start"]["toolUse"]["name"] == "rate"
    pieces = [e["contentBlockDelta"]["delta"]["toolUse"]["input"] for e in events if "contentBlockDelta" in e]
    assert set(json.loads("".join(pieces))) == set(given)
    assert events[-2]["messageStop"]["stopReason"] == "tool_use"
    assert cut["stopReason"] == "max_tokens"
    assert cut["output"]["message"]["content"][0]["toolUse"]["input"] == {}


async def test_stop_words_end_the_answer(real: SandboxRuntime) -> None:
    smollm = real.registry.smollm
    free = await collect(smollm.generate(asked(max_tokens=12, temperature=0)))
    word = free.text.split()[2]
    stopped = await collect(smollm.generate(asked(max_tokens=12, temperature=0, stop=(word,))))
    assert free.text.startswith(stopped.text)
    assert word not in stopped.text


async def test_a_prompt_that_does_not_fit_is_refused_with_the_reason(real: SandboxRuntime) -> None:
    long = GenerationRequest(model=MODEL, messages=[{"role": "user", "content": "secret " * 5_000}])
    with pytest.raises(EngineRefused, match=r"exceed the model's context of 4,096 tokens") as refused:
        await collect(real.registry.smollm.generate(long))
    assert "secret" not in str(refused.value)


async def test_generation_stops_when_the_client_leaves(real: SandboxRuntime) -> None:
    route = "/endpoints/smollm/openai/v1/chat/completions"
    body = {"messages": [{"role": "user", "content": "Tell a very long story."}], "stream": True}
    async with aiohttp.ClientSession(real.url, headers={"Authorization": "Bearer token"}) as session:
        async with session.post(route, json=body) as response:
            await response.content.readuntil(b'"content":"')
            await response.content.readuntil(b"\n\n")
            await response.content.readuntil(b"\n\n")
            response.close()
        async with session.post(route, json={**body, "max_tokens": 2}) as after:  # only once it is free
            assert (await after.read()).endswith(b"data: [DONE]\n\n")
    left = real.calls[-2]
    assert left.ended == "client_closed"
    assert left.usage is not None
    assert 0 < left.usage.output_tokens < 500


async def test_a_long_prompt_is_left_with_its_reader(model: SmolLM) -> None:
    await model.load()
    long = GenerationRequest(model=MODEL, messages=[{"role": "user", "content": "another thing " * 1_500}])
    generation = model.generate(long)
    generation._left = left = Leaving()
    reading = asyncio.create_task(collect(generation))
    assert await asyncio.to_thread(left.begun.wait, 60)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert left.told <= 2  # the batch at hand: a prompt that is read to its end tells a dozen


async def test_a_prompt_longer_than_the_context_is_refused_before_the_stream(
    real: SandboxRuntime, make_client: Any
) -> None:
    bedrock = make_client("bedrock-runtime", real.url)
    endless = [{"role": "user", "content": [{"text": "word " * 5000}]}]
    for operation in (bedrock.converse, bedrock.converse_stream):
        with pytest.raises(bedrock.exceptions.ValidationException):
            await asyncio.to_thread(operation, modelId=MODEL, messages=endless)
    assert [call.ended for call in real.calls][-2:] == ["refused", "refused"]


async def test_a_full_line_turns_the_next_one_away(model: SmolLM) -> None:
    running = model.generate(asked(max_tokens=200)).batches()
    await anext(running)
    with pytest.raises(EngineBusy):
        await collect(model.generate(asked(max_tokens=1)))
    await running.aclose()
    assert (await collect(model.generate(asked(max_tokens=1)))).done().usage.output_tokens == 1
