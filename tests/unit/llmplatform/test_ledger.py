import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.invocations import COMPLETED_AT, RECEIVED_AT, attempt, record, refused
from llmplatform.aws.tables import LEDGER_SHARDS
from llmplatform.errors import TelemetryFault
from llmplatform.invocation import InvocationRecord, Outcome
from llmplatform.ledger import (
    LedgerRow,
    decode_item,
    encode_item,
    hour_of,
    partition_key,
    partition_keys,
    shard_of,
    trace_key,
)
from llmplatform.usage import TokenUsage, UsageSource


def assert_agrees(row: LedgerRow, made: InvocationRecord) -> None:
    for name in {field.name for field in fields(LedgerRow)} & {field.name for field in fields(made)}:
        expected, actual = getattr(made, name), getattr(row, name)
        if isinstance(expected, float):
            assert actual == pytest.approx(expected, abs=1e-3), name
        else:
            assert actual == expected, name
    assert row.trace_id == made.trace.trace_id


def test_a_row_is_read_back_as_it_was_written() -> None:
    made = record(sampled=True, sampled_rate=0.05, sample_reason="rate", trace_kept="head")
    row = decode_item(json.loads(json.dumps(encode_item(made))))
    assert_agrees(row, made)
    assert (row.received_at, row.completed_at) == (RECEIVED_AT, COMPLETED_AT)
    assert row.expires_at == COMPLETED_AT.replace(microsecond=0) + timedelta(days=90)
    assert row.schema_version == 1


def test_a_refusal_has_a_row_too() -> None:
    row = decode_item(encode_item(refused()))
    assert_agrees(row, refused())
    assert (row.tenant_id, row.attempts, row.usage) == ("_unknown", (), TokenUsage())


def test_each_attempt_keeps_its_own_usage_and_where_it_came_from() -> None:
    made = record(
        attempts=(
            attempt(
                outcome=Outcome.BACKEND_FAILED,
                usage=TokenUsage(input_tokens=7),
                usage_source=UsageSource.ESTIMATED,
                error_code="backend_throttled",
                error_type="throttlingException",
                first_event_ms=None,
            ),
            attempt(endpoint_type="sagemaker", endpoint_name="llama-prod", service_tier="flex"),
        )
    )
    assert decode_item(encode_item(made)).attempts == made.attempts


def test_an_unknown_count_is_absent_and_a_zero_is_zero() -> None:
    item = encode_item(record(usage=TokenUsage(output_tokens=0)))
    assert item["usage"] == {"M": {"output_tokens": {"N": "0"}}}
    assert decode_item(item).usage == TokenUsage(output_tokens=0)


def test_the_key_is_tenant_hour_of_completion_and_shard() -> None:
    item = encode_item(record(1))
    key = item["tenant_hour_shard"]["S"]
    assert key == f"acme#2026-11-23T20#{shard_of(record(1).request_id)}"
    late = record(1, completed_at=COMPLETED_AT + timedelta(seconds=1))
    assert encode_item(late)["tenant_hour_shard"]["S"].startswith("acme#2026-11-23T21#")


def test_writing_again_gives_the_same_item() -> None:
    assert encode_item(record(1)) == encode_item(record(1))


def test_the_hour_is_utc_whatever_zone_the_moment_is_in() -> None:
    assert hour_of(COMPLETED_AT.astimezone(timezone(timedelta(hours=5, minutes=30)))) == "2026-11-23T20"


def test_shards_are_published_and_used_evenly() -> None:
    shards = [shard_of(record(number).request_id) for number in range(4_000)]
    assert set(shards) == set(range(LEDGER_SHARDS))
    assert max(map(shards.count, range(LEDGER_SHARDS))) < 2 * 4_000 / LEDGER_SHARDS


def test_who_reads_an_hour_finds_every_row_of_it() -> None:
    keys = partition_keys("acme", datetime(2026, 11, 23, 20, tzinfo=UTC))
    assert len(keys) == LEDGER_SHARDS
    for number in range(100):
        assert partition_key("acme", COMPLETED_AT, record(number).request_id) in keys


def test_the_trace_index_holds_the_form_that_clients_see() -> None:
    item = encode_item(record())
    assert (
        item["trace_id"]["S"] == trace_key(record().trace.trace_id) == "7d5f1c0a-9b3e-4d21-8c6f-0a1b2c3d4e5f"
    )


def test_numbers_and_truths_have_dynamodb_types() -> None:
    item = encode_item(record())
    assert item["total_latency_ms"] == {"N": "1234.568"}
    assert item["stream"] == {"BOOL": True}
    assert item["expires_at"]["N"].isdigit()


def test_labels_of_a_backend_are_kept_only_as_labels() -> None:
    made = record(
        finish_reason="my secret words",
        attempts=(attempt(error_type="a secret", service_tier="secret tier"),),
    )
    assert "secret" not in json.dumps(encode_item(made))


@pytest.mark.parametrize("missing", ["request_id", "schema_version", "attempts", "usage", "outcome"])
def test_what_is_no_row_is_refused_by_name_of_what_is_missing(missing: str) -> None:
    item = encode_item(record())
    del item[missing]
    with pytest.raises(TelemetryFault, match=missing):
        decode_item(item)


@pytest.mark.parametrize(
    "damage",
    [
        {"outcome": {"S": "canary"}},
        {"attempts": {"S": "canary"}},
        {"usage": {"L": []}},
        {"received_at": {"S": "canary"}},
        {"total_latency_ms": {"N": "canary"}},
        {"stream": {}},
        {"trace_id": {"N": "1", "S": "x"}},
    ],
)
def test_what_is_damaged_is_refused_and_not_quoted(damage: dict[str, Any]) -> None:
    with pytest.raises(TelemetryFault) as raised:
        decode_item({**encode_item(record()), **damage})
    assert "canary" not in str(raised.value)


def test_a_newer_schema_may_add_attributes() -> None:
    item = {**encode_item(record()), "later": {"S": "addition"}, "schema_version": {"N": "2"}}
    assert decode_item(item).schema_version == 2


_MAYBE_COUNT = st.none() | st.integers(min_value=0, max_value=10**9)
_MAYBE_MS = st.none() | st.floats(min_value=0, max_value=1e7)


@given(
    usage=st.builds(TokenUsage, *[_MAYBE_COUNT] * 6),
    ttft=_MAYBE_MS,
    overhead=_MAYBE_MS,
    outcome=st.sampled_from(Outcome),
    status=st.none() | st.integers(min_value=100, max_value=599),
)
def test_any_record_is_read_back(
    usage: TokenUsage, ttft: float | None, overhead: float | None, outcome: Outcome, status: int | None
) -> None:
    made = record(
        usage=usage,
        time_to_first_token_ms=ttft,
        gateway_overhead_ms=overhead,
        outcome=outcome,
        http_status=status,
        attempts=(replace(attempt(), usage=usage),),
    )
    assert_agrees(decode_item(encode_item(made)), made)
