import json
from typing import Any

from botocore.eventstream import EventStreamBuffer

from sandbox.converse_response import ConverseStreamEncoder, converse_response
from sandbox.engines.engine import CacheDetail, GenerationRequest, collect
from sandbox.engines.scripted import Script, ScriptedEngine, ScriptedGeneration, ScriptedUsage

PATHS = ("/usage/output_tokens_details", "/stop_sequence")
SCRIPT = Script(
    text="one two",
    reasoning_tokens=2,
    service_tier="priority",
    usage=ScriptedUsage(
        cache_write_tokens=7,
        cache_details=(CacheDetail(ttl="5m", tokens=3), CacheDetail(ttl="1h", tokens=4)),
    ),
)


def generation() -> ScriptedGeneration:
    asked = GenerationRequest(model="m", messages=[{"role": "user", "content": "hi"}], stop=("two",))
    return ScriptedEngine(SCRIPT).generate(asked)


async def streamed(encoder: ConverseStreamEncoder) -> list[tuple[str, dict[str, Any]]]:
    buffer = EventStreamBuffer()
    buffer.add_data(b"".join(encoder.start()))
    async for batch in generation().batches():
        buffer.add_data(b"".join(encoder.encode(batch)))
    messages: list[Any] = list(buffer)
    return [(message.headers[":event-type"], json.loads(message.payload)) for message in messages]


async def test_what_newer_sdks_read_is_on_the_wire() -> None:
    events = dict(await streamed(ConverseStreamEncoder(paths=PATHS)))
    assert events["metadata"]["serviceTier"] == {"type": "priority"}
    assert events["metadata"]["usage"]["cacheDetails"] == [
        {"ttl": "1h", "inputTokens": 4},
        {"ttl": "5m", "inputTokens": 3},
    ]
    assert events["messageStop"]["stopReason"] == "stop_sequence"
    assert events["messageStop"]["additionalModelResponseFields"] == {
        "usage": {"output_tokens_details": {"reasoning_tokens": 2}},
        "stop_sequence": "two",
    }


async def test_every_event_is_padded_and_blocks_count_up() -> None:
    events = await streamed(ConverseStreamEncoder())
    assert all(payload["p"] for _, payload in events)
    stops = [payload["contentBlockIndex"] for kind, payload in events if kind == "contentBlockStop"]
    assert stops == [0, 1]
    deltas = [payload["delta"] for kind, payload in events if kind == "contentBlockDelta"]
    assert "signature" in deltas[2]["reasoningContent"]


async def test_the_whole_answer_tells_the_same() -> None:
    body = json.loads(converse_response(await collect(generation()), PATHS))
    events = dict(await streamed(ConverseStreamEncoder(paths=PATHS)))
    assert body["usage"] == events["metadata"]["usage"]
    assert body["serviceTier"] == events["metadata"]["serviceTier"]
    fields = events["messageStop"]["additionalModelResponseFields"]
    assert body["additionalModelResponseFields"] == fields


async def test_omitted_events_never_leave() -> None:
    kinds = [kind for kind, _ in await streamed(ConverseStreamEncoder(omitted=("messageStop", "metadata")))]
    assert kinds[-1] == "contentBlockStop"
