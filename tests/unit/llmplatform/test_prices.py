"""The price table's rules, its arithmetic, and the tables that ship."""

from datetime import date
from decimal import Decimal
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sandbox
from llmplatform.catalogue import load_catalogue
from llmplatform.costs import SMALLEST_USD
from llmplatform.errors import ConfigFault
from llmplatform.prices import billed_tokens, load_prices, parse_prices
from llmplatform.usage import NO_USAGE, TokenUsage

DAY = date(2026, 11, 23)
ROW = """
[[prices]]
price_key = "vendor.a/geo"
regions = ["us-east-1"]
effective_from = 2026-01-01
source = "a test"
retrieved_on = 2026-01-01

[prices.usd_per_million_tokens]
input = 1.10
output = 5.50
cache_read = 0.11
cache_write = 1.375
cache_write_1h = 2.20
"""
FILE = 'version = "1"\n' + ROW
METRICS = "AmazonCloudWatch/Metrics"

counts = st.integers(0, 10**9)
maybe = st.none() | counts


@st.composite
def usages(draw: st.DrawFn) -> TokenUsage:
    """Usage as backends tell it: the one-hour part is a part of all cache writes."""
    written = draw(maybe)
    hour = None if written is None else draw(st.none() | st.integers(0, written))
    return TokenUsage(draw(maybe), draw(maybe), draw(maybe), written, hour)


def test_each_class_is_billed_at_its_own_price_and_the_hour_is_no_part_of_the_five_minutes() -> None:
    usage = TokenUsage(1_000, 200, 3_000, 500, 100)
    cost = parse_prices(FILE).cost_of(usage, "vendor.a/geo", at=DAY, region="us-east-1")
    assert cost.amount_usd == Decimal("0.0011") + Decimal("0.0011") + Decimal("0.00033") + Decimal("0.00077")
    assert cost.amount_usd == cost.known_usd
    assert (cost.unpriced, cost.uncounted, cost.price_version) == ((), (), "1")


def test_an_unknown_price_is_unknown_and_never_zero() -> None:
    prices = parse_prices(FILE.replace("cache_read = 0.11\n", ""))
    cost = prices.cost_of(TokenUsage(10, 10, 10), "vendor.a/geo", at=DAY, region="us-east-1")
    assert cost.amount_usd is None
    assert cost.unpriced == ("cache_read",)
    assert cost.known_usd == Decimal("0.000066")
    unheard_of = prices.cost_of(TokenUsage(10, 10), "vendor.b/geo", at=DAY, region="us-east-1")
    assert (unheard_of.amount_usd, unheard_of.unpriced) == (None, ("input", "output"))
    assert prices.price_of("vendor.b/geo", "input", at=DAY, region="us-east-1") is None


def test_a_class_that_was_not_used_needs_no_price() -> None:
    prices = parse_prices(FILE.replace("cache_read = 0.11\n", ""))
    assert prices.cost_of(TokenUsage(10, 10, 0), "vendor.a/geo", at=DAY, region="us-east-1").amount_usd


def test_usage_that_nobody_told_has_no_cost() -> None:
    cost = parse_prices(FILE).cost_of(NO_USAGE, "vendor.a/geo", at=DAY, region="us-east-1")
    assert (cost.amount_usd, cost.uncounted) == (None, ("input", "output"))


def test_a_price_holds_from_its_first_day_until_the_day_before_its_end() -> None:
    later = ROW.replace("2026-01-01\nsource", "2026-07-01\nsource").replace("input = 1.10", "input = 2")
    ended = ROW.replace(
        "effective_from = 2026-01-01", "effective_from = 2026-01-01\neffective_to = 2026-07-01"
    )
    prices = parse_prices('version = "1"\n' + ended + later)

    def input_price(day: date) -> Decimal | None:
        found = prices.price_of("vendor.a/geo", "input", at=day, region="us-east-1")
        return None if found is None else found.usd_per_million_tokens

    assert input_price(date(2025, 12, 31)) is None
    assert input_price(date(2026, 1, 1)) == Decimal("1.10")
    assert input_price(date(2026, 6, 30)) == Decimal("1.10")
    assert input_price(date(2026, 7, 1)) == 2


@pytest.mark.parametrize("turned", [False, True])
def test_a_region_s_own_price_counts_whatever_the_order_of_the_file(*, turned: bool) -> None:
    places = ["*", "us-*", "us-east-*", "us-east-1*", "us-east-1"]
    rows = [
        ROW.replace('["us-east-1"]', f'["{place}"]').replace("input = 1.10", f"input = {at}")
        for at, place in enumerate(places)
    ]
    prices = parse_prices("\n".join(['version = "1"', *(rows[::-1] if turned else rows)]))
    regions = ["eu-west-1", "us-west-2", "us-east-2", "us-east-10", "us-east-1"]
    found = [prices.price_of("vendor.a/geo", "input", at=DAY, region=region) for region in regions]
    assert [price and price.usd_per_million_tokens for price in found] == [0, 1, 2, 3, 4]


def test_the_closest_region_counts_and_a_tier_has_its_own_prices() -> None:
    wide = ROW.replace('"us-east-1"', '"us-*", "eu-*"').replace("input = 1.10", "input = 3")
    flex = wide.replace("source =", 'service_tier = "flex"\nsource =').replace("input = 3", "input = 0.5")
    prices = parse_prices(FILE + wide + flex)

    def input_price(region: str, tier: str | None = None) -> Decimal | None:
        found = prices.price_of("vendor.a/geo", "input", at=DAY, region=region, service_tier=tier)
        return None if found is None else found.of(1_000_000)

    assert input_price("us-east-1") == Decimal("1.10")
    assert input_price("eu-west-1") == 3
    assert input_price("ap-south-1") is None
    assert input_price("us-east-1", "default") == Decimal("1.10")
    assert input_price("us-east-1", "flex") == Decimal("0.5")
    assert input_price("us-east-1", "priority") is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("prices = [", "TOML"),
        (ROW, "version"),
        (FILE.replace("/geo", ""), "prices.0.price_key"),
        (FILE.replace("input = 1.10", "input = -1"), "prices.0.usd_per_million_tokens.input"),
        (FILE.replace("input = 1.10", "input = nan"), "prices.0.usd_per_million_tokens.input"),
        (FILE.replace("input = 1.10", "thinking = 1.10"), "thinking"),
        (FILE.replace('source = "a test"', 'source = ""'), "prices.0.source"),
        (FILE.replace('regions = ["us-east-1"]', "regions = []"), "prices.0.regions"),
        (FILE.replace('regions = ["us-east-1"]', 'regions = ["*-east-1"]'), "prices.0.regions"),
        (FILE.replace("retrieved_on = 2026-01-01\n", ""), "prices.0.retrieved_on"),
        (FILE.replace("source", "effective_to = 2026-01-01\nsource"), "effective_to"),
        (FILE.replace("input = 1.10", "input = 1.0000001"), "prices.0.usd_per_million_tokens.input"),
        (FILE + ROW, "prices.0 and prices.1"),
    ],
)
def test_a_table_with_a_mistake_names_it(text: str, names: str) -> None:
    with pytest.raises(ConfigFault, match=names.replace(".", r"\.")):
        parse_prices(text)


def test_a_table_that_cannot_be_read_says_which(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match="LLM_PLATFORM_PRICES"):
        load_prices(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigFault, match="UTF-8"):
        load_prices(tmp_path / "latin.toml")


@given(st.integers(0, 10**12), st.decimals(0, 1000, places=6))
def test_no_amount_of_tokens_is_smaller_than_the_smallest_dollar(tokens: int, price: Decimal) -> None:
    prices = parse_prices(FILE.replace("input = 1.10", f"input = {price:f}"))
    found = prices.price_of("vendor.a/geo", "input", at=DAY, region="us-east-1")
    assert found
    assert found.of(tokens) == found.of(tokens).quantize(SMALLEST_USD)


def test_a_price_key_is_known_if_anything_of_it_is() -> None:
    prices = parse_prices(FILE)
    assert prices.knows("vendor.a/geo")
    assert not prices.knows("vendor.a/global")


@given(usages())
def test_no_class_is_negative_and_costs_are_the_sum_of_their_classes(usage: TokenUsage) -> None:
    prices = parse_prices(FILE)
    billed = billed_tokens(usage)
    assert all(tokens >= 0 for tokens in billed.values())
    cost = prices.cost_of(usage, "vendor.a/geo", at=DAY, region="us-east-1")
    parts = Decimal(0)
    for token_class, tokens in billed.items():
        price = prices.price_of("vendor.a/geo", token_class, at=DAY, region="us-east-1")
        assert price is not None
        parts += price.of(tokens)
    assert cost.known_usd == parts
    assert (cost.amount_usd is None) == (usage.input_tokens is None or usage.output_tokens is None)


@given(usages())
def test_cached_tokens_are_counted_once(usage: TokenUsage) -> None:
    billed = billed_tokens(usage)
    if usage.prompt_tokens is not None:
        assert sum(tokens for name, tokens in billed.items() if name != "output") == usage.prompt_tokens


def test_what_ships_prices_each_bedrock_model_of_the_catalogue() -> None:
    prices = load_prices()
    models = load_catalogue().models.values()
    for model, token_class in product(models, ("input", "output", "cache_read")):
        if model.endpoint_type == "bedrock":
            found = prices.price_of(model.price_key, token_class, at=DAY, region="us-east-1")  # type: ignore[arg-type]
            assert found, model.price_key
            assert Decimal("0.01") <= found.usd_per_million_tokens <= 30


def test_a_geographic_profile_of_claude_costs_a_tenth_more_than_the_global_one() -> None:
    prices = load_prices()
    for model in ("anthropic.claude-haiku-4-5", "anthropic.claude-sonnet-4-6"):
        for token_class in ("input", "output", "cache_read", "cache_write", "cache_write_1h"):
            dear = prices.price_of(f"{model}/geo", token_class, at=DAY, region="eu-west-1")
            cheap = prices.price_of(f"{model}/global", token_class, at=DAY, region="eu-west-1")
            assert dear
            assert cheap
            assert dear.usd_per_million_tokens == cheap.usd_per_million_tokens * Decimal("1.1")


def test_cache_writes_of_both_lifetimes_have_their_own_price() -> None:
    """wso2/gateway-controllers PR 241: writes for an hour were priced as those for five minutes."""
    usage = TokenUsage(0, 0, 0, cache_write_tokens=3_000_000, cache_write_1h_tokens=1_000_000)
    for scope, amount in (("geo", "4.95"), ("global", "4.50")):
        key = f"anthropic.claude-haiku-4-5/{scope}"
        cost = load_prices().cost_of(usage, key, at=DAY, region="us-east-1")
        assert cost.amount_usd == Decimal(amount)


def test_tokens_that_a_global_profile_of_nova_reads_from_its_cache_have_no_price_that_anyone_confirmed() -> (
    None
):
    prices = load_prices()
    dear = prices.price_of("amazon.nova-2-lite/geo", "input", at=DAY, region="us-east-1")
    cheap = prices.price_of("amazon.nova-2-lite/global", "input", at=DAY, region="us-east-1")
    assert dear
    assert cheap
    assert dear.usd_per_million_tokens == cheap.usd_per_million_tokens * Decimal("1.1")
    assert prices.price_of("amazon.nova-2-lite/global", "cache_read", at=DAY, region="us-east-1") is None


def test_the_laptops_models_are_priced_too() -> None:
    folder = Path(sandbox.__file__).parent
    prices = load_prices(folder / "prices.toml")
    for model in load_catalogue(folder / "models.toml").models.values():
        if model.endpoint_type == "bedrock":
            assert prices.price_of(model.price_key, "input", at=DAY, region="us-east-1")


STEPS = FILE + "".join(
    f"""
[[service_prices]]
service = "AmazonCloudWatch"
name = "Metrics"
unit = "Metric-Months"
regions = ["us-east-1"]
effective_from = 2026-01-01
source = "a test"
retrieved_on = 2026-01-01
usd_per_unit = {price}
above_units = {above}
"""
    for price, above in (("0.05", 250), ("0.30", 0), ("0.10", 10))
)


@pytest.mark.parametrize(("units", "usd"), [(0, "0"), (4, "1.2"), (10, "3"), (11, "3.1"), (350, "32")])
def test_a_month_is_priced_step_by_step(units: int, usd: str) -> None:
    month = parse_prices(STEPS).month_usd(METRICS, Decimal(units), at=DAY, region="us-east-1")
    assert month == Decimal(usd)


def test_what_was_used_is_priced_at_the_first_step() -> None:
    price = parse_prices(STEPS).service_price(METRICS, at=DAY, region="us-east-1")
    assert price is not None
    assert price.usd_per_unit == Decimal("0.30")


def test_a_month_without_its_first_step_is_unknown() -> None:
    prices = parse_prices(STEPS.replace("above_units = 0", "above_units = 5"))
    assert prices.month_usd(METRICS, Decimal(4), at=DAY, region="us-east-1") is None
    assert prices.month_usd(METRICS, Decimal(4), at=DAY, region="eu-west-1") is None
    assert prices.month_usd("AmazonS3/Nothing", Decimal(4), at=DAY, region="us-east-1") is None


def test_a_step_has_one_price() -> None:
    with pytest.raises(ConfigFault, match="hold on the same day and region"):
        parse_prices(STEPS.replace("above_units = 250", "above_units = 10"))
