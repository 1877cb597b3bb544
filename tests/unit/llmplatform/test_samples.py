import json
from datetime import UTC
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.invocations import COMPLETED_AT, attempt, content, policy, record
from llmplatform.aws.envelope import OVERHEAD_BYTES
from llmplatform.errors import TelemetryFault
from llmplatform.invocation import InvocationContent
from llmplatform.policy import ContentMode, TenantPolicy
from llmplatform.samples import (
    MAX_EVENT_BYTES,
    MAX_SEALED_CONTENT_BYTES,
    Envelope,
    decode_content,
    decode_sample,
    encode_sample,
    prompt_sha256,
    render_prompt,
    unsealed_sample,
    with_content,
)

TURNS = (
    ("system", "Be brief."),
    ("user", "What is a ledger?"),
    ("assistant", "A book."),
    ("user", "Of what?"),
)
WHOLE = "system: Be brief.\n\nuser: What is a ledger?\n\nassistant: A book.\n\nuser: Of what?"


def test_a_prompt_is_its_turns_with_their_roles() -> None:
    assert render_prompt(TURNS).text == WHOLE
    assert not render_prompt(TURNS, len(WHOLE)).truncated


def test_the_last_user_turn_is_kept_first_and_the_newest_of_the_rest_next() -> None:
    cut = render_prompt(TURNS, len("assistant: A book.\n\nuser: Of what?"))
    assert (cut.text, cut.truncated) == ("assistant: A book.\n\nuser: Of what?", True)


def test_the_last_user_turn_is_kept_although_others_follow_it() -> None:
    turns = (("user", "call it"), ("assistant", "calling"), ("tool", "x" * 500))
    assert render_prompt(turns, 30).text == "user: call it\n\nassistant: cal"[:13] + "\n\ntool: xxxxxxxxx"


def test_a_user_turn_that_is_too_long_keeps_its_beginning() -> None:
    assert render_prompt((("user", "abcdef"),), 9).text == "user: abc"


def test_a_prompt_without_a_user_keeps_its_last_turn() -> None:
    assert render_prompt((("system", "a" * 50), ("system", "b")), 9).text == "system: b"


def test_nothing_makes_nothing() -> None:
    assert render_prompt((), 10).text == ""
    assert (render_prompt(TURNS, 0).text, render_prompt(TURNS, 0).truncated) == ("", True)


@given(
    st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text(max_size=50)), max_size=6),
    st.integers(min_value=0, max_value=200),
)
def test_a_rendering_is_never_longer_than_asked_and_says_when_it_was_cut(
    turns: list[tuple[str, str]], most: int
) -> None:
    cut, whole = render_prompt(turns, most), render_prompt(turns)
    assert len(cut.text) <= most
    assert cut.truncated == (cut.text != whole.text)


@given(st.lists(st.tuples(st.just("user"), st.text(max_size=50)), min_size=1, max_size=6))
def test_more_room_never_keeps_less(turns: list[tuple[str, str]]) -> None:
    lengths = [len(render_prompt(turns, most).text) for most in range(0, 400, 7)]
    assert all(one <= other for one, other in pairwise(lengths))


def test_the_hash_is_of_the_uncut_rendering() -> None:
    assert prompt_sha256(TURNS) == sha256(WHOLE.encode()).hexdigest()


def test_lone_surrogates_do_not_stop_anything() -> None:
    odd = InvocationContent(messages=(("user", "a\ud800b"),), completion="\udfff")
    event = decode_sample(encode_sample(record(), policy(), odd))
    assert (event.prompt, event.completion) == ("user: a?b", "?")
    assert len(prompt_sha256(odd.messages)) == 64


def test_an_event_says_what_evaluation_needs() -> None:
    event = decode_sample(
        encode_sample(record(sampled_rate=0.05, sample_reason="rate"), policy(), content("canary"))
    )
    assert event.schema_version == 1
    assert event.trace_id == "7d5f1c0a-9b3e-4d21-8c6f-0a1b2c3d4e5f"
    assert (event.tenant_id, event.model_id, event.endpoint_type) == ("acme", "claude-sonnet", "bedrock")
    assert event.completed_at.astimezone(UTC) == COMPLETED_AT
    assert (event.sample_rate, event.sample_reason) == (0.05, "rate")
    assert event.prompt == "system: Be brief. canary\n\nuser: canary"
    assert event.completion == "A book. canary"
    assert event.reference == "A book of accounts. canary"
    assert event.contexts == ("Ledgers are books. canary",)
    assert event.usage == {
        "input_tokens": 100,
        "output_tokens": 51,
        "cache_read_tokens": 40,
        "cache_write_tokens": 10,
    }
    assert event.prompt_sha256 == "ab" * 32
    assert event.content_withheld is None
    assert "canary" not in repr(event)


def test_content_is_cut_to_the_policy_and_flagged() -> None:
    long = InvocationContent(
        messages=(("user", "p" * 5_000),),
        completion="c" * 5_000,
        reference="r" * 5_000,
        contexts=("x" * 60, "y" * 60),
    )
    event = decode_sample(
        encode_sample(record(), policy(max_prompt_chars=50, max_completion_chars=100), long)
    )
    assert event.prompt is not None
    assert event.completion is not None
    assert (len(event.prompt), len(event.completion)) == (50, 100)
    assert event.contexts == ("x" * 60, "y" * 40)
    assert event.prompt_truncated
    assert event.completion_truncated
    assert event.reference_truncated
    assert event.contexts_truncated


def test_full_is_not_cut_where_the_stream_can_take_it() -> None:
    long = InvocationContent(messages=(("user", "p" * 100_000),), completion="c" * 100_000)
    event = decode_sample(encode_sample(record(), policy(content_mode=ContentMode.FULL), long))
    assert (event.prompt_truncated, event.completion_truncated) == (False, False)


@pytest.mark.parametrize("character", ["x", "\x01", "\U0001f600", '"'])
def test_an_event_always_fits_a_record(character: str) -> None:
    huge = InvocationContent(
        messages=(("user", character * 600_000),),
        completion=character * 600_000,
        reference=character * 600_000,
        contexts=(character * 300_000,) * 4,
    )
    encoded = encode_sample(record(), policy(content_mode=ContentMode.FULL), huge)
    assert 100_000 < len(encoded) <= MAX_EVENT_BYTES
    assert decode_sample(encoded).prompt_truncated


@pytest.mark.parametrize(
    ("withheld", "given"),
    [
        ("hash_only", policy(content_mode=ContentMode.HASH_ONLY)),
        ("hash_only", policy(content_mode=ContentMode.HASH_ONLY, log_content=True, kms_key="alias/acme")),
        ("key_unavailable", policy(kms_key="alias/acme")),
        ("key_unavailable", policy(kms_key="alias/acme", content_mode=ContentMode.FULL)),
    ],
)
def test_content_that_may_not_leave_does_not(withheld: str, given: object) -> None:
    made = record(client_metadata={"note": "canary"})
    encoded = encode_sample(made, given, content("canary"))  # type: ignore[arg-type]
    assert b"canary" not in encoded
    event = decode_sample(encoded)
    assert event.content_withheld == withheld
    assert event.prompt_sha256 == "ab" * 32
    assert (event.prompt, event.completion, event.reference, event.contexts) == (None, None, None, ())


def test_content_under_a_key_is_apart_from_its_event_and_comes_back_whole() -> None:
    made = record(client_metadata={"note": "canary"}, sampled_rate=0.05, sample_reason="rate")
    given = policy(kms_key="alias/acme", max_prompt_chars=12)
    unsealed = unsealed_sample(made, given, content("canary"))
    assert unsealed is not None
    assert unsealed.kms_key == "alias/acme"
    assert "canary" not in repr(unsealed) + repr(unsealed.event) + unsealed.without_key().decode()
    event = decode_sample(unsealed.sealed("arn:aws:kms:r:1:key/k", b"\x00sealed"))
    assert event.enc == Envelope("arn:aws:kms:r:1:key/k", "AHNlYWxlZA==")
    assert (event.prompt, event.content_withheld, event.sample_rate) == (None, None, 0.05)
    opened = with_content(event, decode_content(unsealed.content))
    assert opened == decode_sample(encode_sample(made, policy(max_prompt_chars=12), content("canary")))
    assert decode_sample(unsealed.without_key()).content_withheld == "key_unavailable"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (policy(), content()),
        (policy(kms_key="alias/acme"), None),
        (policy(kms_key="alias/acme", content_mode=ContentMode.HASH_ONLY), content()),
    ],
)
def test_nothing_is_encrypted_where_there_is_no_key_or_no_content(
    given: TenantPolicy, said: InvocationContent | None
) -> None:
    assert unsealed_sample(record(), given, said) is None


@pytest.mark.parametrize("character", ["x", "\x01", "\U0001f600", '"'])
def test_an_event_fits_a_record_under_a_key_too(character: str) -> None:
    huge = InvocationContent(messages=(("user", character * 600_000),), completion=character * 600_000)
    given = policy(content_mode=ContentMode.FULL, kms_key="alias/acme")
    unsealed = unsealed_sample(record(), given, huge)
    assert unsealed is not None
    assert 100_000 < len(unsealed.content) <= MAX_SEALED_CONTENT_BYTES
    ciphertext = unsealed.content + bytes(OVERHEAD_BYTES)
    assert len(unsealed.sealed("arn:" + "k" * 200, ciphertext)) <= MAX_EVENT_BYTES
    assert decode_content(unsealed.content).prompt_truncated


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b'{"prompt":["canary"]}'])
def test_what_is_no_content_is_refused_and_not_quoted(data: bytes) -> None:
    with pytest.raises(TelemetryFault) as raised:
        decode_content(data)
    assert "canary" not in str(raised.value)
    assert "canary" not in repr(decode_content(b'{"prompt":"canary"}'))


def test_the_hash_is_there_although_the_record_had_none() -> None:
    event = decode_sample(
        encode_sample(
            record(prompt_sha256=None), policy(content_mode=ContentMode.HASH_ONLY), content("canary")
        )
    )
    assert event.prompt_sha256 == prompt_sha256(content("canary").messages)


def test_a_failed_request_counts_for_the_model_that_was_tried() -> None:
    made = record(model_id=None, endpoint_type=None, attempts=(attempt(model_id="llama"),))
    assert decode_sample(encode_sample(made, policy(), content())).model_id == "llama"


def test_a_reader_ignores_what_a_newer_writer_adds() -> None:
    event = json.loads(encode_sample(record(), policy(), content()))
    assert decode_sample(json.dumps({**event, "later": 1}).encode()).request_id == record().request_id


@pytest.mark.parametrize("data", [b"", b"\xff", b"{}", b'{"schema_version":"canary"}'])
def test_what_is_no_event_is_refused_and_not_quoted(data: bytes) -> None:
    with pytest.raises(TelemetryFault) as raised:
        decode_sample(data)
    assert "canary" not in str(raised.value)
