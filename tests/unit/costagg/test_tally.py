"""The tally of an hour, from records through the ledger's own encoding and cost's own decoding."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from corpus.invocations import attempt, record, refused
from costagg.usage import CallKey, Calls, ClientTokens, EndpointUse, HourUsage, Sharer
from harness.reply_to_bill import tallied
from llmplatform.costs import INFERENCE_LAYER, OBSERVABILITY_LAYER, Layer
from llmplatform.invocation import Attempt, InvocationRecord, Outcome
from llmplatform.ledger import LedgerRow, decode_item, encode_item
from llmplatform.prices import TokenClass, billed_tokens
from llmplatform.usage import NO_USAGE, TokenUsage, UsageSource

HOUR = datetime(2026, 11, 23, 20, tzinfo=UTC)


def only_calls(usage: HourUsage) -> Calls:
    (calls,) = usage.calls.values()
    return calls


def sagemaker(**fields: Any) -> Attempt:
    return attempt(
        **{
            "endpoint_type": "sagemaker",
            "endpoint_name": "llama-prod",
            "model_id": "llama",
            "backend_model_id": "llama-8b",
            "price_key": "sagemaker/llama",
            **fields,
        }
    )


def on_endpoint(started: datetime, duration_ms: float, tokens: int) -> InvocationRecord:
    usage = TokenUsage(input_tokens=tokens, output_tokens=0)
    used = sagemaker(started_ms=0.0, duration_ms=duration_ms, usage=usage)
    return record(received_at=started, attempts=(used,))


# -- calls


def test_a_call_lies_at_its_price_key_with_disjoint_classes() -> None:
    usage = tallied(record())
    key = CallKey(
        tenant_id="acme",
        layer=INFERENCE_LAYER,
        endpoint_type="bedrock",
        model_id="claude-sonnet",
        backend_model_id="eu.anthropic.claude-sonnet-v1:0",
        endpoint_name=None,
        price_key="claude-sonnet",
        service_tier="default",
        usage_source="reported",
    )
    tokens: dict[TokenClass, int] = {"input": 100, "output": 51, "cache_read": 40, "cache_write": 10}
    assert usage.calls == {key: Calls(requests=1, tokens=tokens)}
    assert usage.requests == 1


def test_writes_that_live_an_hour_are_no_part_of_those_that_live_five_minutes() -> None:
    used = TokenUsage(1, 2, cache_write_tokens=10, cache_write_1h_tokens=7)
    calls = only_calls(tallied(record(attempts=(attempt(usage=used),))))
    assert calls.tokens == {"input": 1, "output": 2, "cache_write": 3, "cache_write_1h": 7}


def test_a_retry_and_a_fallback_count_at_their_own_price() -> None:
    cut = attempt(usage=TokenUsage(100, 7), usage_source=UsageSource.CONTINUOUS)
    fallback = attempt(model_id="haiku", price_key="haiku/geo", service_tier="flex")
    usage = tallied(record(attempts=(cut, attempt(), fallback)))
    counted = {(key.price_key, key.service_tier, key.usage_source): calls.requests
               for key, calls in usage.calls.items()}  # fmt: skip
    assert counted == {
        ("claude-sonnet", "default", "continuous"): 1,
        ("claude-sonnet", "default", "reported"): 1,
        ("haiku/geo", "flex", "reported"): 1,
    }
    assert usage.requests == 1


def test_an_attempt_that_was_refused_costs_nothing() -> None:
    throttled = attempt(
        outcome=Outcome.BACKEND_FAILED, usage=NO_USAGE, usage_source=UsageSource.UNKNOWN, first_event_ms=None
    )
    assert tallied(record(attempts=(throttled, attempt()))).calls == tallied(record()).calls
    on_an_endpoint = sagemaker(usage=NO_USAGE, usage_source=UsageSource.UNKNOWN)
    usage = tallied(record(attempts=(on_an_endpoint,)))
    assert (usage.calls, usage.endpoints, usage.requests) == ({}, {}, 1)


def test_what_may_be_billed_and_nobody_counted_is_told_and_never_zero() -> None:
    cut = attempt(usage=TokenUsage(output_tokens=12), usage_source=UsageSource.UNKNOWN)
    calls = only_calls(tallied(record(attempts=(cut,))))
    assert (calls.tokens, calls.uncounted) == ({"output": 12}, {"input": 1})


def test_a_stream_cut_before_its_first_token_is_still_charged_its_input() -> None:
    cut = attempt(usage=TokenUsage(input_tokens=90, output_tokens=0), usage_source=UsageSource.ESTIMATED)
    usage = tallied(record(outcome=Outcome.CLIENT_CANCELLED, attempts=(cut,)))
    assert only_calls(usage).tokens == {"input": 90}
    assert only_calls(usage).uncounted == {}


def test_a_later_cut_never_costs_less() -> None:
    costs = []
    for output in range(1, 30):
        cut = attempt(usage=TokenUsage(90, output), usage_source=UsageSource.CONTINUOUS)
        costs.append(only_calls(tallied(record(attempts=(cut,)))).tokens)
    assert costs == [{"input": 90, "output": output} for output in range(1, 30)]


def test_a_stream_and_its_unary_twin_bill_the_same() -> None:
    streamed, unary = record(stream=True), record(stream=False, first_token_delivered_ms=None)
    assert tallied(streamed).calls == tallied(unary).calls


def test_the_judge_is_paid_under_the_layer_that_watches() -> None:
    usage = tallied(record(0, sampled=True), record(1, origin="judge"), record(2, origin="judge"))
    assert {key.layer: calls.requests for key, calls in usage.calls.items()} == {
        INFERENCE_LAYER: 1,
        OBSERVABILITY_LAYER: 2,
    }
    assert (usage.requests, usage.sampled, usage.judged) == (3, 1, 2)
    assert usage.client_tokens == {"acme": ClientTokens(prompt=150, output=51)}


def test_the_clients_tokens_are_those_of_the_answer_and_contain_the_cached_ones() -> None:
    failed = attempt(usage=TokenUsage(100, 3), usage_source=UsageSource.CONTINUOUS)
    usage = tallied(record(attempts=(failed, attempt())), record(1, usage=TokenUsage(output_tokens=4)))
    assert usage.client_tokens == {"acme": ClientTokens(prompt=150, output=51 + 4)}


def test_a_refused_request_is_a_row_and_nothing_else() -> None:
    usage = tallied(refused())
    assert (usage.requests, usage.calls, usage.endpoints) == (1, {}, {})


def test_tenants_are_never_mixed() -> None:
    usage = tallied(record(), record(1, tenant_id="globex"), record(2, tenant_id="globex"))
    assert {key.tenant_id: calls.requests for key, calls in usage.calls.items()} == {"acme": 1, "globex": 2}


# -- endpoints


def test_a_call_lies_evenly_over_its_minutes_the_remainder_on_the_last() -> None:
    use = tallied(on_endpoint(HOUR + timedelta(minutes=10, seconds=30), 120_000, 101)).endpoints["llama-prod"]
    assert use.tokens_by_minute[10:13] == [33, 33, 35]
    assert sum(use.tokens_by_minute) == 101
    assert use.active_minutes == 0b111 << 10
    sharer = Sharer("acme", "llama", INFERENCE_LAYER)
    assert (use.tokens, use.requests) == ({sharer: 101}, {sharer: 1})


def test_a_call_that_ends_with_a_minute_is_not_in_the_next() -> None:
    use = tallied(on_endpoint(HOUR + timedelta(minutes=4), 60_000, 5)).endpoints["llama-prod"]
    assert use.active_minutes == 1 << 4


def test_of_a_call_over_the_hours_edge_the_minutes_inside_count() -> None:
    early = tallied(on_endpoint(HOUR - timedelta(minutes=5), 360_000, 7)).endpoints["llama-prod"]
    assert (early.active_minutes, early.tokens_by_minute[0]) == (1, 7)
    late = tallied(on_endpoint(HOUR + timedelta(minutes=59), 600_000, 7)).endpoints["llama-prod"]
    assert (late.active_minutes, late.tokens_by_minute[59]) == (1 << 59, 7)


def test_an_attempt_that_was_over_before_the_hour_counts_in_its_first_minute() -> None:
    use = tallied(on_endpoint(HOUR - timedelta(minutes=5), 1_000, 7)).endpoints["llama-prod"]
    assert (use.active_minutes, use.tokens_by_minute[0]) == (1, 7)


def test_a_call_without_a_count_keeps_its_minutes() -> None:
    used = sagemaker(usage=TokenUsage(output_tokens=0), usage_source=UsageSource.UNKNOWN)
    use = tallied(record(attempts=(used,))).endpoints["llama-prod"]
    assert (sum(use.tokens_by_minute), use.active_minutes) == (0, 1 << 59)
    assert list(use.requests.values()) == [1]


# -- any rows at all


_COUNT = st.none() | st.integers(min_value=0, max_value=10**9)
_USAGES = st.just(NO_USAGE) | st.builds(TokenUsage, *[_COUNT] * 6)
_MS = st.floats(min_value=0, max_value=5_400_000).map(lambda ms: round(ms, 3))
_ATTEMPTS = st.builds(
    attempt,
    endpoint_type=st.sampled_from(["bedrock", "sagemaker"]),
    endpoint_name=st.sampled_from([None, "one", "two"]),
    model_id=st.sampled_from(["small", "large"]),
    backend_model_id=st.sampled_from(["small-v1", "small-v2"]),
    price_key=st.sampled_from(["small/geo", "small/global"]),
    service_tier=st.sampled_from([None, "default", "flex"]),
    usage=_USAGES,
    usage_source=st.sampled_from(UsageSource),
    started_ms=_MS,
    duration_ms=_MS,
)
_RECORDS = st.lists(
    st.builds(
        record,
        st.integers(min_value=0, max_value=10**6),
        tenant_id=st.sampled_from(["acme", "globex"]),
        origin=st.sampled_from(["client", "judge"]),
        received_at=st.integers(min_value=-5_400_000_000, max_value=3_599_999_999).map(
            lambda us: HOUR + timedelta(microseconds=us)
        ),
        sampled=st.booleans(),
        usage=_USAGES,
        attempts=st.lists(_ATTEMPTS, max_size=3).map(tuple),
    ),
    max_size=8,
)


def slow_tally(rows: Sequence[LedgerRow]) -> HourUsage:
    """The same, read off the rows as everybody else decodes them."""
    usage = HourUsage(HOUR, "request-ledger")
    for row in rows:
        usage.requests += 1
        usage.sampled += row.sampled
        usage.judged += row.origin == "judge"
        if row.origin == "client":
            client = usage.client_tokens.setdefault(row.tenant_id, ClientTokens())
            client.prompt += row.usage.prompt_tokens or 0
            client.output += row.usage.output_tokens or 0
        for tried in row.attempts:
            if tried.usage != NO_USAGE:
                add_slowly(usage, row, tried)
    return usage


def add_slowly(usage: HourUsage, row: LedgerRow, tried: Attempt) -> None:
    layer: Layer = INFERENCE_LAYER if row.origin == "client" else OBSERVABILITY_LAYER
    key = CallKey(
        row.tenant_id, layer, tried.endpoint_type, tried.model_id, tried.backend_model_id,
        tried.endpoint_name, tried.price_key, tried.service_tier or "default", tried.usage_source.value,
    )  # fmt: skip
    calls = usage.calls.setdefault(key, Calls())
    calls.requests += 1
    billed = billed_tokens(tried.usage)
    calls.tokens = dict(Counter(calls.tokens) + Counter(billed))
    unknown: dict[TokenClass, int] = {
        "input": int(tried.usage.input_tokens is None),
        "output": int(tried.usage.output_tokens is None),
    }
    calls.uncounted = dict(Counter(calls.uncounted) + Counter(unknown))
    if tried.endpoint_type == "sagemaker" and tried.endpoint_name is not None:
        use = usage.endpoints.setdefault(tried.endpoint_name, EndpointUse())
        add_minutes_slowly(
            use, Sharer(row.tenant_id, tried.model_id, layer), row, tried, sum(billed.values())
        )


def add_minutes_slowly(use: EndpointUse, sharer: Sharer, row: LedgerRow, tried: Attempt, tokens: int) -> None:
    began = row.received_at + timedelta(milliseconds=tried.started_ms)
    ended = began + timedelta(milliseconds=tried.duration_ms)
    starts = [HOUR + timedelta(minutes=minute) for minute in range(60)]
    inside = [
        minute
        for minute, start in enumerate(starts)
        if began < start + timedelta(minutes=1) and (start < ended or start <= began)
    ] or [0 if ended <= HOUR else 59]
    use.tokens[sharer] = use.tokens.get(sharer, 0) + tokens
    use.requests[sharer] = use.requests.get(sharer, 0) + 1
    for minute in inside:
        use.active_minutes |= 1 << minute
        use.tokens_by_minute[minute] += tokens // len(inside)
    use.tokens_by_minute[inside[-1]] += tokens % len(inside)


@given(records=_RECORDS)
def test_any_rows_add_up_as_their_full_decoding_does(records: list[InvocationRecord]) -> None:
    assert tallied(*records) == slow_tally([decode_item(encode_item(made)) for made in records])


@given(records=_RECORDS, seed=st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(records: list[InvocationRecord], seed: Any) -> None:
    shuffled = list(records)
    seed.shuffle(shuffled)
    assert tallied(*shuffled) == tallied(*records)


@given(records=_RECORDS)
def test_no_class_is_ever_negative_and_no_token_of_an_endpoint_lost(records: list[InvocationRecord]) -> None:
    usage = tallied(*records)
    for calls in usage.calls.values():
        assert all(count > 0 for count in (*calls.tokens.values(), *calls.uncounted.values()))
    for use in usage.endpoints.values():
        assert sum(use.tokens_by_minute) == sum(use.tokens.values())
