"""Tokens of Bedrock: each class at its own price, and what is unknown stays unknown."""

from decimal import Decimal

import pytest

from corpus.costs import GEO, GLOBAL, REGION, call, prices, usage
from costagg.bedrock import token_lines
from costagg.usage import CallKey, Calls
from llmplatform.costs import OBSERVABILITY_LAYER, CostLine
from llmplatform.prices import TokenClass, billed_tokens
from llmplatform.usage import TokenUsage


def lines_of(calls: dict[CallKey, Calls]) -> list[CostLine]:
    return list(token_lines(usage(calls=calls), prices(), region=REGION))


def amounts(lines: list[CostLine]) -> dict[str, Decimal | None]:
    return {line.charge_class: line.amount_usd for line in lines}


def test_each_class_has_a_line_at_its_own_price() -> None:
    tokens: dict[TokenClass, int] = {"input": 1_000, "output": 200}
    line_in, line_out = lines_of({call(): Calls(7, tokens)})
    # 1,000 x 1.10 / 1e6 and 200 x 5.50 / 1e6
    assert (line_in.quantity, line_in.unit_price_usd) == (Decimal(1_000), Decimal("0.0000011"))
    assert (line_in.amount_usd, line_out.amount_usd) == (Decimal("0.0011"), Decimal("0.0011"))
    assert (line_in.requests, line_out.requests) == (7, 7)
    assert (line_in.service, line_in.unit, line_in.usage_source) == ("AmazonBedrock", "tokens", "reported")
    assert (line_in.allocation_method, line_in.price_version) == ("direct/1", "test")


def test_cached_tokens_are_billed_once() -> None:
    # 4,600 tokens of prompt: 1,000 fresh, 3,000 read, 500 written for five minutes, 100 for an hour.
    billed = billed_tokens(TokenUsage(1_000, 0, 3_000, 600, 100))
    lines = lines_of({call(): Calls(1, billed)})
    assert sum(line.quantity or 0 for line in lines) == 4_600
    # 1,000 x 1.10 + 3,000 x 0.11 + 500 x 1.375 + 100 x 2.20 = 2,337.5 millionths
    assert sum(line.amount_usd or 0 for line in lines) == Decimal("0.0023375")


def test_no_split_of_a_prompt_over_the_cache_costs_less_than_nothing() -> None:
    for read in range(0, 1_001, 100):
        for written in range(0, 1_001 - read, 100):
            usage_told = TokenUsage(1_000 - read - written, 0, read, written, written // 2)
            lines = lines_of({call(): Calls(1, billed_tokens(usage_told))})
            assert all(line.amount_usd is not None and line.amount_usd >= 0 for line in lines)
            assert sum(line.quantity or 0 for line in lines) == 1_000


def test_writes_that_live_an_hour_have_their_own_price() -> None:
    lines = lines_of({call(): Calls(1, {"cache_write": 1_000_000, "cache_write_1h": 1_000_000})})
    assert amounts(lines) == {"cache_write": Decimal("1.375"), "cache_write_1h": Decimal("2.20")}


def test_a_geographic_profile_is_not_priced_as_the_global_one() -> None:
    calls = {call(price_key=key): Calls(1, {"output": 1_000_000}) for key in (GEO, GLOBAL)}
    assert {line.price_key: line.amount_usd for line in lines_of(calls)} == {
        GEO: Decimal("5.5"),
        GLOBAL: Decimal("5.0"),
    }


@pytest.mark.parametrize(
    "fields", [{"price_key": "vendor.b/geo"}, {"service_tier": "flex"}, {"price_key": "application-profile"}]
)
def test_an_unknown_price_is_unpriced_and_never_zero(fields: dict[str, str]) -> None:
    (line,) = lines_of({call(**fields): Calls(1, {"input": 10})})
    assert (line.quantity, line.unit_price_usd, line.amount_usd) == (Decimal(10), None, None)


def test_a_class_without_a_price_is_unpriced_beside_those_that_have_one() -> None:
    lines = lines_of({call(price_key=GLOBAL): Calls(1, {"input": 1_000_000, "cache_read": 5})})
    assert amounts(lines) == {"input": Decimal(1), "cache_read": None}


def test_no_tokens_make_no_line() -> None:
    assert lines_of({call(): Calls(1, {"cache_read": 0}, {"output": 0})}) == []


def test_tokens_that_nobody_counted_are_a_line_of_unknown_quantity_beside_the_known() -> None:
    known, unknown = lines_of({call(): Calls(10, {"input": 1_000_000}, {"input": 2})})
    assert (known.quantity, known.amount_usd, known.requests) == (Decimal(1_000_000), Decimal("1.1"), 10)
    assert (unknown.quantity, unknown.amount_usd, unknown.requests) == (None, None, 2)
    assert unknown.unit_price_usd == Decimal("0.0000011")
    assert unknown.usage_source == "unknown"


def test_uncounted_calls_of_any_source_come_together() -> None:
    calls = {
        call(usage_source=source): Calls(1, {}, {"output": 1})
        for source in ("reported", "unknown", "drained")
    }
    (line,) = lines_of(calls)
    assert (line.quantity, line.requests) == (None, 3)


def test_a_known_figure_of_a_call_that_is_labelled_unknown_is_an_estimate() -> None:
    calls = {
        call(usage_source="unknown"): Calls(1, {"output": 3}, {"input": 1, "output": 1}),
        call(usage_source="estimated"): Calls(1, {"output": 4}),
    }
    told = {(line.charge_class, line.usage_source): line.quantity for line in lines_of(calls)}
    assert told == {("output", "estimated"): 7, ("input", "unknown"): None, ("output", "unknown"): None}


def test_ids_of_one_model_share_a_line() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1"
    calls = {call(): Calls(1, {"input": 3}), call(backend_model_id=arn): Calls(2, {"input": 4})}
    (line,) = lines_of(calls)
    assert (line.quantity, line.requests) == (Decimal(7), 3)


def test_a_judge_is_paid_by_the_tenant_under_the_observability_layer() -> None:
    calls = {
        call(): Calls(1, {"input": 1_000_000}),
        call(layer=OBSERVABILITY_LAYER): Calls(1, {"input": 1_000_000}),
    }
    lines = lines_of(calls)
    assert {(line.tenant_id, line.layer, line.amount_usd) for line in lines} == {
        ("acme", "inference", Decimal("1.1")),
        ("acme", "observability-layer", Decimal("1.1")),
    }


def test_calls_of_an_endpoint_are_no_tokens_of_bedrock() -> None:
    assert lines_of({call(endpoint_type="sagemaker"): Calls(1, {"input": 1}, {"output": 1})}) == []
