"""Writes the replies of the dialects: `PYTHONPATH=tests python -m corpus.make_dialects`.

Each reply twice where the service has both ways: as its stream and, as `.json`, unstreamed.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpus.make_eventstream import event

HERE = Path(__file__).parent

Fields = dict[str, Any]

CACHED_USAGE: Fields = {
    "inputTokens": 7,
    "outputTokens": 21,
    "totalTokens": 1_128,
    "cacheReadInputTokens": 1_000,
    "cacheWriteInputTokens": 100,
    "cacheDetails": [{"inputTokens": 60, "ttl": "5m"}, {"inputTokens": 40, "ttl": "1h"}],
}


def delta(index: int, fields: Fields) -> bytes:
    return event("contentBlockDelta", {"contentBlockIndex": index, "delta": fields})


def converse_stream(blocks: Sequence[bytes], stop_reason: str, metadata: Fields) -> bytes:
    return b"".join(
        (
            event("messageStart", {"role": "assistant"}),
            *blocks,
            event("messageStop", {"stopReason": stop_reason}),
            event("metadata", metadata),
        )
    )


def converse_reply(content: Sequence[Fields], stop_reason: str, metadata: Fields) -> bytes:
    output = {"message": {"role": "assistant", "content": content}}
    return packed({"output": output, "stopReason": stop_reason, **metadata})


def packed(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def converse() -> dict[str, bytes]:
    """Reasoning, text and two tool calls, with cached tokens of both times to live; and plain text."""
    metadata = {
        "usage": CACHED_USAGE,
        "metrics": {"latencyMs": 740},
        "serviceTier": {"type": "default"},
        "trace": {"guardrail": {}},
    }
    first = {"toolUseId": "tooluse_1", "name": "look_up"}
    second = {"toolUseId": "tooluse_2", "name": "now"}
    blocks = [
        delta(0, {"reasoningContent": {"text": "Zuerst "}}),
        delta(0, {"reasoningContent": {"text": "prüfen."}}),
        delta(0, {"reasoningContent": {"signature": "c2ln"}}),
        event("contentBlockStop", {"contentBlockIndex": 0}),
        delta(1, {"text": "Einen Moment 🙂"}),
        event("contentBlockStop", {"contentBlockIndex": 1}),
        event("contentBlockStart", {"contentBlockIndex": 2, "start": {"toolUse": first}}),
        delta(2, {"toolUse": {"input": '{"city":"Mün'}}),
        delta(2, {"toolUse": {"input": 'chen"}'}}),
        event("contentBlockStop", {"contentBlockIndex": 2}),
        event("contentBlockStart", {"contentBlockIndex": 3, "start": {"toolUse": second}}),
        delta(3, {"toolUse": {"input": "{}"}}),
        event("contentBlockStop", {"contentBlockIndex": 3}),
    ]
    content: list[Fields] = [
        {"reasoningContent": {"reasoningText": {"text": "Zuerst prüfen.", "signature": "c2ln"}}},
        {"text": "Einen Moment 🙂"},
        {"toolUse": {**first, "input": {"city": "München"}}},
        {"toolUse": {**second, "input": {}}},
    ]
    plain = {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "metrics": {"latencyMs": 80}}
    words = [delta(0, {"text": "日本"}), delta(0, {"text": " ok"})]
    return {
        "converse/tools_cached.bin": converse_stream(blocks, "tool_use", metadata),
        "converse/tools_cached.json": converse_reply(content, "tool_use", metadata),
        "converse/text.bin": converse_stream(words, "end_turn", plain),
        "converse/text.json": converse_reply([{"text": "日本 ok"}], "end_turn", plain),
    }


def openai_chat() -> dict[str, bytes]:
    """The same kind of answer from vLLM; as events, as LMI's lines, and whole."""
    usage = {
        "prompt_tokens": 50,
        "completion_tokens": 9,
        "total_tokens": 59,
        "prompt_tokens_details": {"cached_tokens": 32},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    call = {"id": "call_1", "type": "function"}
    deltas: list[tuple[Fields, str | None]] = [
        ({"role": "assistant", "content": ""}, None),
        ({"reasoning_content": "Hm, "}, None),
        ({"reasoning_content": "später."}, None),
        ({"content": "Grüß "}, None),
        ({"content": "dich 🙂"}, None),
        ({"tool_calls": [{"index": 0, **call, "function": {"name": "look_up", "arguments": ""}}]}, None),
        ({"tool_calls": [{"index": 0, "function": {"arguments": '{"q":"é'}}]}, None),
        ({"tool_calls": [{"index": 0, "function": {"arguments": '"}'}}]}, None),
        ({}, "tool_calls"),
    ]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_767_225_600, "model": "m"}
    chunks: list[Fields] = []
    for count, (fields, reason) in enumerate(deltas):
        choice = {"index": 0, "delta": fields, "logprobs": None, "finish_reason": reason}
        running = {"prompt_tokens": 50, "completion_tokens": count, "total_tokens": 50 + count}
        chunks.append({**head, "choices": [choice], "usage": running})
    chunks.append({**head, "choices": [], "usage": usage})
    message = {
        "role": "assistant",
        "content": "Grüß dich 🙂",
        "reasoning_content": "Hm, später.",
        "tool_calls": [{**call, "function": {"name": "look_up", "arguments": '{"q":"é"}'}}],
    }
    whole = {
        **head,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}],
        "usage": usage,
    }
    events = b"".join(b"data: " + packed(chunk) + b"\n\n" for chunk in chunks)
    return {
        "openai_chat/tools.sse": events + b"data: [DONE]\n\n",
        "openai_chat/tools.jsonl": b"".join(packed(chunk) + b"\n" for chunk in chunks),
        "openai_chat/tools.json": packed(whole),
    }


def token_objects() -> dict[str, bytes]:
    """Four tokens and the end, by LMI's rolling batch, by its vLLM converter (count one too high), by TGI."""
    texts = ["Grüß", " dich", " 🙂", "!"]
    text = "".join(texts)
    tokens = [{"id": 300 + at, "text": piece, "log_prob": -0.25} for at, piece in enumerate(texts)]
    rolling = {"finish_reason": "eos_token", "generated_tokens": 4}
    vllm = {"finish_reason": "stop", "seed": None, "generated_tokens": 5, "input_length": 11}
    tgi = {"finish_reason": "eos_token", "generated_tokens": 4, "seed": None, "input_length": 11}
    return {
        "lmi/rolling_batch.jsonl": lines(tokens, text, {**rolling, "inputs": None}),
        "lmi/rolling_batch.json": packed({"generated_text": text, "details": {**rolling, "tokens": tokens}}),
        "lmi/vllm.jsonl": lines(tokens, text, vllm),
        "lmi/vllm.json": packed(
            {"generated_text": text, "details": {**vllm, "generated_tokens": 4, "tokens": tokens}}
        ),
        "tgi/text.sse": b"".join(
            b"data:" + line + b"\n\n" for line in lines(tokens, text, tgi).splitlines() if line
        ),
        "tgi/text.json": packed([{"generated_text": text, "details": {**tgi, "tokens": tokens}}]),
    }


def lines(tokens: Sequence[Fields], text: str, details: Fields) -> bytes:
    written = [packed({"token": token}) for token in tokens[:-1]]
    written.append(packed({"token": tokens[-1], "generated_text": text, "details": details}))
    return b"".join(line + b"\n" for line in written)


def replies() -> dict[str, bytes]:
    """Every reply by its path under `tests/corpus`."""
    return {**converse(), **openai_chat(), **token_objects()}


if __name__ == "__main__":
    for path, content in replies().items():
        (HERE / path).write_bytes(content)
