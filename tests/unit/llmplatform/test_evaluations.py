"""Results as rows: there and back, their keys, and content that fits."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.eval_results import CANARY, EVENT_AT, JUDGE, make_event, make_result, make_sealed_row
from llmplatform.errors import TelemetryFault
from llmplatform.evaluations import (
    BERTSCORE,
    JUDGE_DIMENSIONS,
    MAX_STORED_CONTENT_BYTES,
    EvalContent,
    EvalResult,
    ResultKey,
    decode_content,
    decode_result,
    encode_content,
    encode_result,
    epoch_of,
    moment_text,
    result_key,
)
from llmplatform.usage import TokenUsage

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
contents = st.builds(
    EvalContent,
    prompt=texts,
    prompt_truncated=st.booleans(),
    completion=texts,
    completion_truncated=st.booleans(),
    reference=st.none() | texts,
    reference_truncated=st.booleans(),
    contexts=st.lists(texts, max_size=3).map(tuple),
    contexts_truncated=st.booleans(),
    reasons=st.dictionaries(st.sampled_from(JUDGE_DIMENSIONS), texts),
)
counts = st.none() | st.integers(0, 10**9)
results = st.builds(
    make_result,
    event_at=moments,
    judged_at=moments,
    sample_rate=st.floats(1e-9, 1.0),
    scores=st.dictionaries(st.sampled_from(JUDGE_DIMENSIONS), st.integers(1, 5)),
    content_truncated=st.booleans(),
    backend_model_id=st.none() | texts,
    endpoint_name=st.none() | texts,
    prompt_sha256=st.none() | texts,
    bertscore_f1=st.none() | st.floats(-1, 1),
    bertscore_identity=st.none() | texts,
    judge_usage=st.builds(TokenUsage, counts, counts, counts, counts, counts, counts),
    judge_latency_ms=st.none() | st.floats(0, 1e6),
    judge_cost_usd=st.none() | st.decimals(0, 10, places=9),
    content=st.none() | contents | st.just(make_sealed_row().result.content),
)


def over_the_wire(result: EvalResult) -> EvalResult:
    return decode_result(json.loads(json.dumps(encode_result(result))))


@given(results)
def test_any_result_comes_back_equal(result: EvalResult) -> None:
    assert over_the_wire(result) == result


@given(results)
def test_every_attribute_is_one_typed_value_and_none_is_empty(result: EvalResult) -> None:
    for value in encode_result(result).values():
        ((kind, content),) = value.items()
        assert kind in {"S", "N", "M", "B", "BOOL"}
        assert content is not None


def test_what_is_unknown_is_absent() -> None:
    bare = make_result(bertscore_f1=None, bertscore_identity=None, judge_cost_usd=None, content=None)
    assert not {"bertscore_f1", "bertscore_identity", "judge_cost_usd", "content", "enc"} & set(
        encode_result(bare)
    )
    assert over_the_wire(bare).judge_cost_usd is None


def test_attributes_of_a_newer_schema_are_ignored() -> None:
    item = encode_result(make_result()) | {
        "of_tomorrow": {"L": [{"N": "1"}]},
        "schema_version": {"N": "2"},
        "nothing": {"NULL": True},
    }
    assert decode_result(item) == make_result()


def test_a_row_ends_ninety_days_after_its_request() -> None:
    expires = int(encode_result(make_result(event_at=EVENT_AT))["expires_at"]["N"])
    assert datetime.fromtimestamp(expires, UTC) == EVENT_AT.replace(microsecond=0) + timedelta(days=90)


def test_the_key_is_time_request_and_judge() -> None:
    result = make_result(event_at=EVENT_AT)
    key = ResultKey.of(result.tenant_id, EVENT_AT, result.request_id, JUDGE.identity)
    assert key.result_key == f"2026-11-23T20:15:01.250000Z#{result.request_id}#{JUDGE.identity}"
    item = encode_result(result)
    assert key == (item["tenant_id"]["S"], item["result_key"]["S"])


@given(moments, moments)
def test_keys_sort_as_their_moments(one: datetime, other: datetime) -> None:
    assert (moment_text(one) < moment_text(other)) == (one < other)
    assert (result_key(one, "a", "z") < result_key(other, "b", "a")) == ((one, "a") < (other, "b"))


def test_a_moment_is_written_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    assert moment_text(EVENT_AT.astimezone(berlin)) == moment_text(EVENT_AT)


@pytest.mark.parametrize("missing", ["tenant_id", "event_at", "scores", "judge_identity", "judge_usage"])
def test_a_row_without_what_it_needs_is_a_fault_that_names_it(missing: str) -> None:
    item = encode_result(make_result())
    del item[missing]
    with pytest.raises(TelemetryFault, match=missing):
        decode_result(item)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("event_at", {"S": CANARY}),
        ("event_at", {"BOOL": True}),
        ("sample_rate", {"N": CANARY}),
        ("scores", {"S": CANARY}),
        ("scores", {"M": {"relevance": {"N": CANARY}}}),
        ("scores", {"M": {CANARY: {}}}),
        ("judge_usage", {"M": {CANARY: {"N": "1"}}}),
        ("judge_cost_usd", {"N": CANARY}),
        ("bertscore_f1", {"BOOL": CANARY}),
        ("content", {"S": CANARY}),
        ("content", {"S": json.dumps({"prompt": [CANARY]})}),
        ("content", {"N": 5}),
        ("prompt_sha256", {}),
        ("prompt_sha256", CANARY),
        ("enc", {"B": "AAAA"}),
    ],
)
def test_a_foreign_row_is_a_fault_that_quotes_nothing(name: str, value: Any) -> None:
    with pytest.raises(TelemetryFault) as caught:
        decode_result({**encode_result(make_result()), name: value})
    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=5),
        lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3),
    )
)
def test_any_nonsense_is_a_fault(value: Any) -> None:
    item: Any = dict.fromkeys(encode_result(make_result()), value)
    with pytest.raises(TelemetryFault):
        decode_result(item)


@given(contents, st.integers(600, 2_000), st.integers(1, 40))
def test_content_fits_and_says_what_was_cut(content: EvalContent, max_bytes: int, times: int) -> None:
    whole = EvalContent(
        prompt=content.prompt * times,
        completion=content.completion * times,
        reference=None if content.reference is None else content.reference * times,
        contexts=tuple(text * times for text in content.contexts) * times,
        reasons=content.reasons,
    )
    encoded = encode_content(whole, max_bytes)
    assert len(encoded) <= max_bytes
    cut = decode_content(encoded)
    assert cut.prompt_truncated == (cut.prompt != whole.prompt)
    assert cut.completion_truncated == (cut.completion != whole.completion)
    assert cut.reference_truncated == (cut.reference != whole.reference)
    assert cut.contexts_truncated == (cut.contexts != whole.contexts)
    assert whole.prompt.startswith(cut.prompt)
    assert whole.completion.startswith(cut.completion)


def test_contexts_that_never_were_are_not_said_to_be_cut() -> None:
    short = EvalContent(prompt="\x00" * 100, completion="\x00" * 100)
    cut = decode_content(encode_content(short, 600))
    assert cut.prompt_truncated
    assert not cut.contexts_truncated


def test_content_that_fits_is_not_touched() -> None:
    content = EvalContent(prompt="p" * 1_000, completion="c")
    assert decode_content(encode_content(content, 10_000)) == content


def test_the_longest_text_is_cut_first() -> None:
    content = EvalContent(prompt="p" * 10_000, completion="c" * 100, reasons={"relevance": "r" * 100})
    cut = decode_content(encode_content(content, 2_000))
    assert (cut.completion, cut.reasons) == (content.completion, content.reasons)
    assert 500 < len(cut.prompt) < 2_000


def test_a_text_that_grows_when_written_is_measured_as_written() -> None:
    assert len(encode_content(EvalContent(prompt="\x00" * 400_000), MAX_STORED_CONTENT_BYTES)) <= 250_000


def test_a_row_takes_no_more_content_than_a_table_does() -> None:
    large = make_result(content=EvalContent(prompt="“" * 900_000, contexts=("c" * 50,) * 9_000))
    assert len(encode_result(large)["content"]["S"].encode()) <= MAX_STORED_CONTENT_BYTES


@pytest.mark.parametrize("data", [CANARY, f'{{"prompt": ["{CANARY}"]}}', b"\xff\xfe"])
def test_what_is_no_content_is_a_fault_that_quotes_nothing(data: bytes | str) -> None:
    with pytest.raises(TelemetryFault) as caught:
        decode_content(data)
    assert CANARY not in str(caught.value)


def test_nothing_that_was_said_is_in_a_repr() -> None:
    result = make_result(make_event())
    assert CANARY not in repr(result)
    assert CANARY not in repr(result.content)


def test_a_result_stands_for_one_over_its_rate() -> None:
    assert make_result(sample_rate=0.05).weight == pytest.approx(20)


def test_values_have_bertscore_where_there_is_one() -> None:
    result = make_result()
    assert result.values == {**result.scores, BERTSCORE: 0.8125}
    assert replace(result, bertscore_f1=None).values == result.scores


def test_an_epoch_is_the_identity_of_whoever_scored() -> None:
    assert epoch_of("relevance", JUDGE.identity, None) == JUDGE.identity
    label = epoch_of(BERTSCORE, JUDGE.identity, "a/scorer/0")
    assert label != epoch_of(BERTSCORE, JUDGE.identity, "another/scorer/of/the/same/length/0")
    assert len(label) <= 32
    assert "#" not in label


def test_a_cost_keeps_its_value() -> None:
    assert over_the_wire(make_result(judge_cost_usd=Decimal("1E-9"))).judge_cost_usd == Decimal("0.000000001")
