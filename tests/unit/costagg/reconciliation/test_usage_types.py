"""What a usage type of the bill is about."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from costagg.reconciliation.charges import Charge
from costagg.reconciliation.usage_types import load_usage_types, parse_usage_types
from llmplatform.errors import ConfigFault

TYPES = load_usage_types()

CHARGE = Charge(
    day=date(2026, 11, 23),
    product_code="AmazonBedrock",
    usage_type="USE1-Claude4.6Sonnet-input-tokens",
    pricing_unit="1K tokens",
    region="us-east-1",
    endpoint_name=None,
    tenant_id=None,
    item_type="Usage",
    product_name="",
    cost_usd=Decimal(1),
    discount_usd=Decimal(0),
    amount=Decimal(1),
    rows=1,
)
MARKETPLACE = replace(
    CHARGE,
    product_code="a1b2c3",
    pricing_unit="Units",
    product_name="Claude Sonnet 4.6 (Amazon Bedrock Edition)",
)


@pytest.mark.parametrize(
    ("usage_type", "about", "charge_class", "tier"),
    [
        ("USE1-Claude4.6Sonnet-input-tokens", "anthropic.claude-sonnet-4-6/regional", "input", "default"),
        (
            "USE1-Claude4.6Sonnet-output-tokens-cross-region-global",
            "anthropic.claude-sonnet-4-6/global",
            "output",
            "default",
        ),
        (
            "USE1-Claude4.6Sonnet-cache-read-input-token-count",
            "anthropic.claude-sonnet-4-6/regional",
            "cache_read",
            "default",
        ),
        (
            "USE1-Claude4.6Sonnet-cache-write-input-token-count",
            "anthropic.claude-sonnet-4-6/regional",
            "cache_write",
            "default",
        ),
        ("USE1-Nova2.0Lite-input-tokens-flex", "amazon.nova-2-lite/regional", "input", "flex"),
        (
            "USE1-Nova2.0Lite-input-tokens-flex-cross-region-global",
            "amazon.nova-2-lite/global",
            "input",
            "flex",
        ),
        (
            "USW2-anthropic.claude-opus-4-6-mantle-cache-write-tokens-standard",
            "anthropic.claude-opus-4-6/regional",
            "cache_write",
            "default",
        ),
        ("NovaPro-output-tokens-batch", "amazon.nova-pro/regional", "output", "batch"),
    ],
)
def test_bedrock_spells_model_class_tier_and_scope_in_the_usage_type(
    usage_type: str, about: str, charge_class: str, tier: str
) -> None:
    found = TYPES.metered(replace(CHARGE, usage_type=usage_type))
    assert found is not None
    assert (found.meter.about, found.meter.charge_class, found.meter.service_tier) == (
        about,
        charge_class,
        tier,
    )
    assert found.per_unit == 1_000


@pytest.mark.parametrize(
    ("usage_type", "scope", "charge_class"),
    [
        ("USE1-MP:USE1_InputTokenCount-Units", "regional", "input"),
        ("USE1-MP:USE1_OutputTokenCount_Global-Units", "global", "output"),
        ("USE1-MP:USE1_CacheReadInputTokenCount-Units", "regional", "cache_read"),
        ("USE1-MP:USE1_CacheWriteInputTokenCount_Global-Units", "global", "cache_write"),
        ("USE1-MP:USE1_CacheWrite1hInputTokenCount-Units", "regional", "cache_write_1h"),
        ("USE1-MP:USE1_input_tokens_standard-Units", "regional", "input"),
        ("USE1-MP:USE1_cache_write_tokens_1h_global_standard-Units", "global", "cache_write_1h"),
        ("USE1-MP:USE1_cache_read_tokens_global_standard-Units", "global", "cache_read"),
    ],
)
def test_what_marketplace_sells_names_its_model_in_the_product(
    usage_type: str, scope: str, charge_class: str
) -> None:
    charge = replace(MARKETPLACE, usage_type=usage_type)
    found = TYPES.metered(charge)
    assert TYPES.service_of(charge) == "AmazonBedrock"
    assert found is not None
    assert found.meter.about == f"anthropic.claude-sonnet-4-6/{scope}"
    assert found.meter.charge_class == charge_class
    assert found.per_unit == 1_000_000


def test_the_pricing_unit_decides_how_many_tokens_a_unit_holds() -> None:
    def per_unit(unit: str) -> Decimal | None:
        found = TYPES.metered(replace(CHARGE, pricing_unit=unit))
        return None if found is None else found.per_unit

    assert per_unit("1M tokens") == 1_000_000
    assert per_unit("Tokens") == 1
    assert per_unit("Units") == 1_000
    assert per_unit("Bushels") is None


def test_a_model_is_told_by_the_longest_name() -> None:
    charge = replace(MARKETPLACE, usage_type="USE1-MP:USE1_InputTokenCount-Units")
    other = replace(charge, product_name="Claude Sonnet 4 (Amazon Bedrock Edition)")
    assert TYPES.metered(charge) is not None
    assert TYPES.metered(other) is None
    assert TYPES.service_of(other) == "AmazonBedrock"


def test_other_products_of_the_marketplace_are_none_of_ours() -> None:
    charge = replace(MARKETPLACE, product_name="A firewall", usage_type="USE1-MP:USE1_InputTokenCount-Units")
    assert TYPES.service_of(charge) is None


def test_a_region_that_the_bill_leaves_out_is_told_by_the_prefix() -> None:
    found = TYPES.metered(replace(CHARGE, region="", usage_type="EU-NovaLite-input-tokens"))
    assert found is not None
    assert found.meter.region == "eu-west-1"


def test_instances_are_hosts_alone_and_counted_in_hours() -> None:
    host = replace(
        CHARGE, product_code="AmazonSageMaker", usage_type="USE1-Host:ml.g5.12xlarge", pricing_unit="Hrs"
    )
    found = TYPES.metered(host)
    assert found is not None
    assert (found.meter.about, found.meter.charge_class) == ("ml.g5.12xlarge", "instance")
    assert found.per_unit == 1
    assert TYPES.metered(replace(host, usage_type="USE1-Train:ml.g5.12xlarge")) is None


def test_a_usage_type_before_its_time_is_not_known() -> None:
    assert TYPES.metered(replace(CHARGE, day=date(2024, 1, 1))) is None


def test_a_table_with_a_bad_pattern_names_the_field() -> None:
    text = 'version = "1"\n' + "\n".join(
        f"[{name}]" for name in ("scopes", "tokens_per_unit", "regions", "token_classes")
    )
    bad = (
        "\n[[instance_meters]]\nservice = 'S'\nproduct_codes = ['S']\npattern = '('\n"
        "effective_from = 2026-01-01\nsource = 's'\nretrieved_on = 2026-01-01\n"
    )
    with pytest.raises(ConfigFault, match=r"instance_meters\.0\.pattern: .*regular expression"):
        parse_usage_types(text + bad)
