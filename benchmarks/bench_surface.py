"""What the OpenAI Chat Completions surface costs: decoding bodies, encoding stream chunks and replies.

    python benchmarks/bench_surface.py

Prints the fastest of several rounds in CPU microseconds, one line per piece of work.
"""

import time
from collections.abc import Callable

import orjson

from gateway.chat import Finished, FinishReason, TextDelta, ToolCallDelta
from gateway.surfaces.openai_chat import OPENAI_CHAT
from gateway.surfaces.surface import ReplyHeading
from llmplatform.usage import TokenUsage, UsageSource

ROUNDS = 15
HEADING = ReplyHeading("chatcmpl-0198c0de-0000-7000-8000-000000000000", 1_760_000_000, "smollm2-135m")
USAGE = TokenUsage(1_000, 200, 0, 0)


def bodies() -> dict[str, bytes]:
    """A short chat, one of 16 kB over 20 turns, and an agent's: 12 tools, 20 calls, 16 kB."""
    turn = "the quick brown fox jumps over the lazy dog, and says: “well”.\n" * 12
    chat = [{"role": ("user", "assistant")[n % 2], "content": turn} for n in range(20)]
    schema = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(6)}}
    tools = [
        {
            "type": "function",
            "function": {"name": f"tool_{n}", "description": turn[:200], "parameters": schema},
        }
        for n in range(12)
    ]
    called: list[object] = [{"role": "user", "content": "go"}]
    for n in range(20):
        function = {"name": "tool_1", "arguments": '{"p1": "a file name", "p2": "a pattern"}'}
        call = {"id": f"call_{n}", "type": "function", "function": function}
        called.append({"role": "assistant", "content": None, "tool_calls": [call]})
        called.append({"role": "tool", "tool_call_id": f"call_{n}", "content": turn[:350]})
    stream = {"model": "smollm2-135m", "stream": True, "stream_options": {"include_usage": True}}
    return {
        "short chat": orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "Hello!"}]}),
        "16 kB chat, 20 turns": orjson.dumps({**stream, "messages": chat, "temperature": 0.2}),
        "16 kB agent, 12 tools, 20 calls": orjson.dumps({**stream, "messages": called, "tools": tools}),
    }


def cpu_us(work: Callable[[], object], repeats: int) -> float:
    """CPU microseconds of one call: the fastest round."""
    best = float("inf")
    for _ in range(ROUNDS):
        start_ns = time.process_time_ns()
        for _ in range(repeats):
            work()
        best = min(best, time.process_time_ns() - start_ns)
    return best / repeats / 1_000


def main() -> None:
    """Measure and print."""
    for name, body in bodies().items():
        us = cpu_us(lambda body=body: OPENAI_CHAT.decode(body), 500)  # type: ignore[misc]
        print(f"decode {name} ({len(body) / 1_000:.1f} kB): {us:.1f} us")
    text, call = [TextDelta(" token")], [ToolCallDelta(0, '{"a"')]
    burst = [TextDelta(f" token{n}") for n in range(16)]
    stream = OPENAI_CHAT.stream(HEADING)
    print(f"encode one text event: {cpu_us(lambda: stream.encode(text), 20_000):.2f} us")
    print(f"encode 16 text events at once, each: {cpu_us(lambda: stream.encode(burst), 2_000) / 16:.2f} us")
    print(f"encode one tool-call event: {cpu_us(lambda: stream.encode(call), 20_000):.2f} us")

    def reply() -> bytes:
        whole = OPENAI_CHAT.reply(HEADING)
        whole.add(burst)
        whole.add([Finished(FinishReason.STOP, "end_turn")])
        return whole.body(USAGE, UsageSource.REPORTED)

    print(f"collect and encode a whole reply of 16 events: {cpu_us(reply, 2_000):.1f} us")


if __name__ == "__main__":
    main()
