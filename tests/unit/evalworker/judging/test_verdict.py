"""What counts as a verdict, and that nothing else ever does."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalworker.judging.verdict import MAX_REASON_CHARS, Declined, NoVerdict, Reply, Verdict, read_reply
from llmplatform.evaluations import JUDGE_DIMENSIONS
from llmplatform.usage import NO_USAGE, TokenUsage

TOOL = "record_scores"
GOOD: dict[str, Any] = {name: {"reason": "Because.", "score": 4} for name in JUDGE_DIMENSIONS}


def called(given: Any, **fields: Any) -> dict[str, Any]:
    """A reply with one call of the tool."""
    use = {"toolUseId": "t1", "name": TOOL, "input": given}
    return reply([{"toolUse": use}], **fields)


def reply(content: Any, **fields: Any) -> dict[str, Any]:
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "tool_use",
        "usage": {"inputTokens": 10, "outputTokens": 5},
        **fields,
    }


def said(body: Any) -> Verdict | NoVerdict | Declined:
    return read_reply(json.dumps(body).encode(), TOOL).said


def with_score(score: Any) -> dict[str, Any]:
    return called({**GOOD, "coherence": {"reason": "Because.", "score": score}})


def test_a_call_of_the_tool_with_all_dimensions_is_a_verdict() -> None:
    found = read_reply(json.dumps(called(GOOD)).encode(), TOOL)
    assert isinstance(found.said, Verdict)
    assert found.said.scores == dict.fromkeys(JUDGE_DIMENSIONS, 4)
    assert found.said.reasons == dict.fromkeys(JUDGE_DIMENSIONS, "Because.")
    assert found.usage == TokenUsage(input_tokens=10, output_tokens=5)


@pytest.mark.parametrize("score", [1, 5, 4.0])
def test_an_integer_from_1_to_5_is_a_score_however_it_is_written(score: float) -> None:
    found = said(with_score(score))
    assert isinstance(found, Verdict)
    assert found.scores["coherence"] == score
    assert type(found.scores["coherence"]) is int


@pytest.mark.parametrize(
    ("score", "kind"),
    [
        (None, "score_missing"),
        ("4", "score_not_integer"),
        (True, "score_not_integer"),
        (4.5, "score_not_integer"),
        ([4], "score_not_integer"),
        ({"value": 4}, "score_not_integer"),
        (0, "score_out_of_range"),
        (6, "score_out_of_range"),
        (-3, "score_out_of_range"),
        (10**30, "score_out_of_range"),
        (1e30, "score_out_of_range"),
    ],
)
def test_anything_else_is_no_score(score: Any, kind: str) -> None:
    assert said(with_score(score)) == NoVerdict(kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_finite_number_is_no_score(number: str) -> None:
    body = json.dumps(with_score(77)).replace("77", number).encode()
    assert isinstance(read_reply(body, TOOL).said, NoVerdict)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (called({name: GOOD[name] for name in JUDGE_DIMENSIONS[1:]}), "dimension_missing"),
        (called({**GOOD, "relevance": 4}), "dimension_missing"),
        (called({**GOOD, "relevance": {"score": 4}}), "reason_missing"),
        (called({**GOOD, "relevance": {"score": 4, "reason": " "}}), "reason_missing"),
        (called({**GOOD, "relevance": {"score": 4, "reason": 7}}), "reason_missing"),
        (called(json.dumps(GOOD)), "not_converse"),
        (reply([{"text": "relevance: 5, coherence: 5, all is 5/5"}]), "no_tool_call"),
        (reply([]), "no_tool_call"),
        (reply([{"toolUse": {"name": TOOL, "input": GOOD}}] * 2), "several_tool_calls"),
        (reply([{"toolUse": {"name": "other", "input": GOOD}}]), "other_tool"),
        (reply([{"toolUse": None}]), "not_converse"),
        (called(GOOD, stopReason="max_tokens"), "cut_short"),
        (reply("five"), "not_converse"),
        ({"scores": GOOD}, "not_converse"),
        ([GOOD], "not_converse"),
    ],
)
def test_a_reply_of_another_form_is_counted_by_its_kind(body: Any, kind: str) -> None:
    assert said(body) == NoVerdict(kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"null", b"[" * 100_000])
def test_bytes_that_are_no_reply_are_no_verdict(body: bytes) -> None:
    assert read_reply(body, TOOL) == Reply(NoVerdict("not_converse"), NO_USAGE)


@pytest.mark.parametrize(
    ("stop_reason", "kind"),
    [
        ("content_filtered", "content_filtered"),
        ("guardrail_intervened", "guardrail"),
        ("refusal", "refusal"),
        ("model_context_window_exceeded", "too_long"),
    ],
)
def test_a_stop_that_will_not_change_is_told_apart_and_its_tokens_count(stop_reason: str, kind: str) -> None:
    body = json.dumps(reply([{"text": "I cannot."}], stopReason=stop_reason)).encode()
    found = read_reply(body, TOOL)
    assert found.said == Declined(kind)  # type: ignore[arg-type]
    assert found.usage.input_tokens == 10


def test_harmless_additions_are_let_pass() -> None:
    extra = {**GOOD, "overall": {"score": 9}, "relevance": {**GOOD["relevance"], "confidence": 0.3}}
    use = {"toolUse": {"name": TOOL, "input": extra}}
    thinking = {"reasoningContent": {"reasoningText": {"text": "score 1"}}}
    found = said(reply([thinking, {"text": "I would say 1."}, use]))
    assert isinstance(found, Verdict)
    assert set(found.scores) == set(JUDGE_DIMENSIONS)
    assert set(found.scores.values()) == {4}


def test_a_long_reason_is_cut_and_no_reason_is_in_the_repr() -> None:
    found = said(called({**GOOD, "relevance": {"score": 4, "reason": "zebra " * 1_000}}))
    assert isinstance(found, Verdict)
    assert len(found.reasons["relevance"]) == MAX_REASON_CHARS
    assert "zebra" not in repr(found)


@pytest.mark.parametrize(
    "usage", [None, [], {"inputTokens": "10"}, {"inputTokens": -1}, {"inputTokens": True}]
)
def test_usage_that_makes_no_sense_is_unknown(usage: Any) -> None:
    assert read_reply(json.dumps(called(GOOD, usage=usage)).encode(), TOOL).usage == NO_USAGE


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*JUDGE_DIMENSIONS, "score", "reason", "x"]), inner, max_size=5)
    ),
    max_leaves=12,
)


def holds_only_sound_scores(found: Verdict | NoVerdict | Declined) -> bool:
    return not isinstance(found, Verdict) or (
        set(found.scores) == set(JUDGE_DIMENSIONS)
        and all(type(score) is int and 1 <= score <= 5 for score in found.scores.values())
        and not any(math.isnan(score) for score in found.scores.values())
        and all(found.reasons.values())
    )


@given(json_values)
def test_no_input_of_the_tool_makes_an_unsound_score(given_input: Any) -> None:
    assert holds_only_sound_scores(said(called(given_input)))


@given(st.fixed_dictionaries(dict.fromkeys(JUDGE_DIMENSIONS, json_values)))
def test_no_value_of_a_dimension_makes_an_unsound_score(given_input: dict[str, Any]) -> None:
    assert holds_only_sound_scores(said(called(given_input)))


@given(st.binary(max_size=300))
def test_no_bytes_make_a_verdict(body: bytes) -> None:
    assert not isinstance(read_reply(body, TOOL).said, Verdict)


@given(st.data())
def test_a_reply_cut_or_with_a_flipped_byte_is_sound_or_no_verdict(data: st.DataObject) -> None:
    body = bytearray(json.dumps(called(GOOD)).encode())
    at = data.draw(st.integers(0, len(body) - 1))
    assert not isinstance(read_reply(bytes(body[:at]), TOOL).said, Verdict)
    body[at] ^= data.draw(st.integers(1, 255))
    assert holds_only_sound_scores(read_reply(bytes(body), TOOL).said)
