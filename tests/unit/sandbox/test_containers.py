import json
from typing import Any

import pytest

from sandbox.containers import ContainerRefused, container_of
from sandbox.engines.engine import ContainerName, GenerationRequest, collect
from sandbox.engines.scripted import Script, ScriptedEngine, ScriptedToolCall, ScriptedUsage
from sandbox.faults import ContainerError

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
PROMPT: dict[str, Any] = {"inputs": "hi", "parameters": {"details": True}}


async def streamed(name: ContainerName, script: Script, body: dict[str, Any]) -> list[bytes]:
    container = container_of(name)
    generation = ScriptedEngine(script).generate(container.request("m", body, stream=True))
    writer = container.writer(body, lambda: generation.usage)
    chunks = writer.start()
    async for batch in generation.batches():
        chunks += writer.write(batch)
    return chunks


def events(chunks: list[bytes]) -> list[Any]:
    return [json.loads(chunk.removeprefix(b"data:")) for chunk in chunks if chunk != b"data: [DONE]\n\n"]


async def test_openai_opens_with_the_role_and_ends_with_usage_and_done() -> None:
    body = {**CHAT, "stream_options": {"include_usage": True}}
    usage = ScriptedUsage(input_tokens=7, cache_read_tokens=3)
    chunks = await streamed("openai", Script(token_count=2, reasoning_tokens=1, usage=usage), body)
    assert chunks[-1] == b"data: [DONE]\n\n"
    told = events(chunks)
    assert [told[i]["choices"][0]["delta"] for i in range(5)] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hmm "},
        {"content": "the "},
        {"content": "quick "},
        {},
    ]
    assert told[4]["choices"][0]["finish_reason"] == "stop"
    assert told[5]["choices"] == []
    assert told[5]["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 3,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }


async def test_openai_says_no_usage_unasked_and_all_of_it_when_asked_continuously() -> None:
    assert all(
        "usage" not in chunk for chunk in events(await streamed("openai", Script(token_count=2), CHAT))
    )
    body = {**CHAT, "stream_options": {"continuous_usage_stats": True}}
    told = events(await streamed("openai", Script(token_count=2), body))
    assert [chunk["usage"]["completion_tokens"] for chunk in told] == [0, 1, 2, 2]


async def test_openai_streams_tool_arguments() -> None:
    script = Script(tool_calls=(ScriptedToolCall(name="f", arguments='{"a":1}', piece_characters=4),))
    deltas = [chunk["choices"][0]["delta"] for chunk in events(await streamed("openai", script, CHAT))]
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert calls[0]["function"] == {"name": "f", "arguments": ""}
    assert "".join(call["function"]["arguments"] for call in calls) == '{"a":1}'


async def test_lmi_chat_is_the_same_as_lines_without_done() -> None:
    chunks = await streamed("lmi_chat", Script(token_count=2), CHAT)
    assert all(chunk.startswith(b"{") and chunk.endswith(b"}\n") for chunk in chunks)
    assert events(chunks)[-1]["choices"][0]["finish_reason"] == "stop"


async def test_lmi_puts_the_end_on_the_last_token() -> None:
    told = events(await streamed("lmi", Script(token_count=3), PROMPT))
    assert [set(line) for line in told] == [{"token"}, {"token"}, {"token", "generated_text", "details"}]
    assert told[-1]["generated_text"] == "the quick brown "
    assert told[-1]["details"]["generated_tokens"] == 3
    assert "details" not in events(await streamed("lmi", Script(), {"inputs": "hi"}))[-1]


async def test_tgi_always_has_details_and_never_done() -> None:
    chunks = await streamed(
        "tgi", Script(token_count=2), {"inputs": "hi", "parameters": {"max_new_tokens": 1}}
    )
    told = events(chunks)
    assert len(told) == 1
    assert told[0]["details"]["finish_reason"] == "length"
    assert b"DONE" not in b"".join(chunks)


async def test_whole_answers_have_each_containers_shape() -> None:
    async def whole(name: ContainerName, body: dict[str, Any]) -> Any:
        container = container_of(name)
        answer = await collect(
            ScriptedEngine(Script(text="a b")).generate(container.request("m", body, stream=False))
        )
        return json.loads(container.whole(body, answer))

    assert (await whole("openai", CHAT))["choices"][0]["message"]["content"] == "a b"
    assert (await whole("lmi", PROMPT))["details"]["generated_tokens"] == 2
    assert (await whole("tgi", PROMPT))[0]["generated_text"] == "a b"


def test_each_container_fails_in_its_own_way() -> None:
    fault = ContainerError(message="broken", code=500, error_type="generation")
    said = {name: container_of(name).failure(fault) for name in ("openai", "lmi", "lmi_chat", "tgi")}
    assert json.loads(said["openai"].split(b"\n")[0][6:])["error"]["message"] == "broken"
    assert said["openai"].endswith(b"data: [DONE]\n\n")
    assert json.loads(said["lmi"])["token"]["id"] == -1
    assert json.loads(said["lmi"])["details"]["finish_reason"] == "error"
    assert json.loads(said["lmi_chat"]) == {"error": "broken", "code": 500}
    assert json.loads(said["tgi"][5:]) == {"error": "broken", "error_type": "generation"}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("openai", {}), ("openai", {**CHAT, "max_tokens": 0}), ("lmi", CHAT), ("tgi", [1]), ("lmi", None)],
)
def test_a_container_refuses_what_it_cannot_read(name: ContainerName, wrong: Any) -> None:
    with pytest.raises(ContainerRefused):
        container_of(name).request("m", wrong, stream=False)


def test_a_templated_prompt_becomes_its_messages_again() -> None:
    prompt = (
        "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nhi\nyou<|im_end|>\n<|im_start|>assistant\n"
    )
    asked: GenerationRequest = container_of("tgi").request("m", {"inputs": prompt}, stream=True)
    assert asked.messages == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi\nyou"},
    ]
