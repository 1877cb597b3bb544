"""What a request's tokens cost, class by class."""

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.ledger_table import make_call as call
from llmplatform.invocation import Attempt
from llmplatform.ledger import LedgerRow, decode_item, encode_item
from llmplatform.prices import PriceTable, parse_prices
from llmplatform.testing import make_record
from llmplatform.usage import NO_USAGE, TokenUsage, UsageSource
from watch.requests.pricing import (
    BY_THE_HOUR,
    NO_PRICE,
    NOBODY_BILLS,
    NOT_COUNTED,
    cost_of_request,
)

PRICES: PriceTable = parse_prices("""
version = "1"
[[prices]]
price_key = "vendor.small/in-region"
regions = ["us-*"]
effective_from = 2025-01-01
source = "test"
retrieved_on = 2026-01-01
usd_per_million_tokens = { input = 3, output = 15, cache_read = 0.3 }
""")


def row(*attempts: Attempt) -> LedgerRow:
    return decode_item(encode_item(make_record(attempts=attempts)))


def used(usage: TokenUsage, **fields: Any) -> Attempt:
    return call(0, 10, usage=usage, **fields)


def test_each_class_of_tokens_has_its_price_and_its_day() -> None:
    usage = TokenUsage(input_tokens=1_000, output_tokens=200, cache_read_tokens=5_000)
    cost = cost_of_request(row(used(usage)), PRICES, "us-east-1")
    assert [(line.token_class, line.tokens, line.amount_usd) for line in cost.lines] == [
        ("input", 1_000, Decimal("0.003")),
        ("output", 200, Decimal("0.003")),
        ("cache_read", 5_000, Decimal("0.0015")),
    ]
    assert {str(line.effective_from) for line in cost.lines} == {"2025-01-01"}
    assert cost.amount_usd == cost.known_usd == Decimal("0.0075")


def test_a_class_without_a_price_makes_the_sum_unknown_and_is_named() -> None:
    usage = TokenUsage(input_tokens=1_000, output_tokens=0, cache_write_tokens=10)
    cost = cost_of_request(row(used(usage)), PRICES, "us-east-1")
    assert (cost.amount_usd, cost.known_usd, cost.why_unknown) == (None, Decimal("0.003"), NO_PRICE)


def test_tokens_that_nobody_counted_are_unknown_and_not_free() -> None:
    cost = cost_of_request(row(used(TokenUsage(input_tokens=10))), PRICES, "us-east-1")
    (output,) = [line for line in cost.lines if line.token_class == "output"]
    assert (output.tokens, output.amount_usd, output.why_unknown) == (None, None, NOT_COUNTED)
    assert cost.amount_usd is None


def test_a_model_on_instances_is_paid_by_the_hour() -> None:
    attempt = used(
        TokenUsage(input_tokens=1, output_tokens=1), endpoint_type="sagemaker", price_key="hosted/geo"
    )
    cost = cost_of_request(row(attempt), PRICES, "us-east-1")
    assert (cost.amount_usd, cost.why_unknown) == (None, BY_THE_HOUR)


def test_a_call_that_never_got_through_costs_nothing_and_the_retry_is_paid() -> None:
    refused = used(NO_USAGE, usage_source=UsageSource.UNKNOWN, error_code="backend_throttled")
    paid = used(TokenUsage(input_tokens=1_000, output_tokens=0), reason="retry")
    cost = cost_of_request(row(refused, paid), PRICES, "us-east-1")
    assert {line.why_unknown for line in cost.lines if line.attempt == 1} == {NOBODY_BILLS}
    assert cost.amount_usd == Decimal("0.003")


def test_a_price_of_another_region_is_none() -> None:
    cost = cost_of_request(row(used(TokenUsage(input_tokens=1, output_tokens=1))), PRICES, "eu-west-1")
    assert cost.why_unknown == NO_PRICE


def test_no_call_costs_nothing() -> None:
    assert cost_of_request(row(), PRICES, "us-east-1").amount_usd == 0


counts = st.none() | st.integers(0, 10**7)


@given(st.lists(st.tuples(counts, counts, counts), max_size=4))
def test_the_lines_add_up_to_what_the_price_table_itself_says(
    calls: list[tuple[int | None, int | None, int | None]],
) -> None:
    attempts = [used(TokenUsage(input_tokens=i, output_tokens=o, cache_read_tokens=c)) for i, o, c in calls]
    cost = cost_of_request(row(*attempts), PRICES, "us-east-1")
    told = [
        PRICES.cost_of(one.usage, one.price_key, at=make_record().completed_at.date(), region="us-east-1")
        for one in attempts
    ]
    assert cost.known_usd == sum((one.known_usd for one in told), Decimal(0))
    amounts = [one.amount_usd for one in told]
    assert cost.amount_usd == (None if None in amounts else cost.known_usd)
