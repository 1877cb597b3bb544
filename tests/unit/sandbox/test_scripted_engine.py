import time

import msgspec
import pytest

from sandbox.engines.engine import Finished, GenerationRequest, TextDelta, collect
from sandbox.engines.scripted import Script, ScriptedEngine, ScriptedToolCall, ScriptedUsage, Variant
from sandbox.faults import Cut, Refuse, StreamException

ASKED = GenerationRequest(model="m", messages=[{"role": "user", "content": "four by four!!!!"}])


def asked(**changes: object) -> GenerationRequest:
    return GenerationRequest(model=ASKED.model, messages=ASKED.messages, **changes)  # type: ignore[arg-type]


async def test_a_burst_is_one_batch() -> None:
    batches = [batch async for batch in ScriptedEngine(Script(token_count=5)).generate(ASKED).batches()]
    assert len(batches) == 1
    assert len(batches[0]) == 6


async def test_a_pace_is_kept_and_the_last_piece_closes() -> None:
    script = Script(token_count=4, ttft_ms=30, interval_ms=20)
    started = time.monotonic()
    batches = [batch async for batch in ScriptedEngine(script).generate(ASKED).batches()]
    assert time.monotonic() - started >= 0.09
    assert batches[0] == ()
    assert [len(batch) for batch in batches[1:]] == [1, 1, 1, 2]
    assert isinstance(batches[-1][-1], Finished)


async def test_an_empty_answer_still_finishes() -> None:
    answer = await collect(ScriptedEngine(Script(token_count=0, interval_ms=5)).generate(ASKED))
    assert answer.text == ""
    assert answer.done().usage.output_tokens == 0


async def test_text_comes_back_whole_however_it_is_spaced() -> None:
    text = " two  spaces and an end "
    answer = await collect(ScriptedEngine(Script(text=text)).generate(ASKED))
    assert answer.text == text


async def test_max_tokens_cuts_and_says_so() -> None:
    answer = await collect(ScriptedEngine(Script(token_count=9)).generate(asked(max_tokens=3)))
    assert len(answer.pieces) == 3
    assert answer.done().stop_reason == "max_tokens"
    assert answer.done().usage.output_tokens == 3


async def test_a_stop_sequence_ends_the_text_before_itself() -> None:
    script = Script(text="one two three four")
    answer = await collect(ScriptedEngine(script).generate(asked(stop=("four", "three"))))
    assert answer.text == "one two "
    assert (answer.done().stop_reason, answer.done().stop_sequence) == ("stop_sequence", "three")


async def test_usage_is_estimated_where_the_script_says_nothing() -> None:
    script = Script(token_count=2, usage=ScriptedUsage(output_tokens=70, cache_read_tokens=5))
    generation = ScriptedEngine(script).generate(ASKED)
    assert (generation.usage.input_tokens, generation.usage.output_tokens) == (4, 70)
    assert generation.usage.prompt_tokens == 9
    assert generation.usage.total_tokens == 79


async def test_tool_calls_are_streamed_in_pieces() -> None:
    call = ScriptedToolCall(name="weather", arguments='{"city": "Rome"}', piece_characters=5)
    answer = await collect(ScriptedEngine(Script(tool_calls=(call, call))).generate(ASKED))
    assert [made.json for made in answer.tool_calls] == ['{"city": "Rome"}'] * 2
    assert answer.tool_calls[0].call_id != answer.tool_calls[1].call_id
    assert answer.done().stop_reason == "tool_use"


def test_faults_strike_as_many_calls_as_they_say() -> None:
    refuse = Refuse(status=429, error_type="ThrottlingException", times=2)
    cut = Cut(after_events=1)
    script = Script(faults=(refuse, cut))
    assert script.in_force(2) == (refuse, cut)
    assert script.in_force(3) == (cut,)


def test_a_script_survives_json() -> None:
    exception = StreamException(exception_type="throttlingException", fields={"a": 1})
    script = Script(text="hi", faults=(exception, Cut(after_bytes=3)), write_sizes=(1, 2))
    assert msgspec.json.decode(msgspec.json.encode(script), type=Script) == script


def test_a_misspelt_script_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="token_cuont"):
        msgspec.json.decode(b'{"token_cuont": 3}', type=Script)


async def test_equal_requests_share_their_events() -> None:
    engine = ScriptedEngine(Script(token_count=3))
    first, second = [[b async for b in engine.generate(ASKED).batches()] for _ in range(2)]
    assert first[0] is second[0]
    assert isinstance(first[0][0], TextDelta)


async def test_the_first_variant_that_a_text_calls_for_is_said() -> None:
    script = Script(
        text="neither",
        variants=(Variant("by four", Script(text="first")), Variant("four", Script(text="second"))),
    )
    engine = ScriptedEngine(msgspec.json.decode(msgspec.json.encode(script), type=Script))

    async def said(question: str) -> str:
        request = GenerationRequest(model="m", messages=[{"role": "user", "content": question}])
        return (await collect(engine.generate(request))).text

    assert [await said(words) for words in ("four by four", "by two, four", "two")] == [
        "first",
        "second",
        "neither",
    ]
