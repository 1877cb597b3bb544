"""What is asked of a platform, and how it grows."""

from decimal import Decimal

import pytest

from harness.estimates import CATALOGUE, DESIGN, workload
from llmplatform.errors import ConfigFault
from operator_cli.estimate.workload import shares_of


def test_models_without_weights_have_equal_parts() -> None:
    assert shares_of("nova-pro, nova-lite", CATALOGUE) == {
        "nova-pro": Decimal("0.5"),
        "nova-lite": Decimal("0.5"),
    }


def test_weights_become_shares() -> None:
    shares = shares_of("nova-pro=3,nova-lite", CATALOGUE)
    assert shares == {"nova-pro": Decimal("0.75"), "nova-lite": Decimal("0.25")}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gpt-9", "no model 'gpt-9' in the catalogue; there are claude-haiku-4-5"),
        ("nova-pro=many", "'many' is no weight of nova-pro"),
        ("nova-pro=0", "the weight of nova-pro must be above 0"),
        ("nova-pro=nan", "the weight of nova-pro must be above 0"),
        ("nova-pro,nova-pro", "nova-pro stands there twice"),
        (" , ", "name at least one model"),
    ],
)
def test_a_mix_that_is_none_names_the_fault(text: str, told: str) -> None:
    with pytest.raises(ConfigFault, match=told):
        shares_of(text, CATALOGUE)


def test_the_designs_tokens_are_eight_billion_a_day() -> None:
    assert DESIGN.requests_per_day * (DESIGN.input_tokens + DESIGN.output_tokens) == 8 * 10**9
    assert DESIGN.input_tokens == 3_400


def test_more_tenants_are_of_the_same_size() -> None:
    ten = DESIGN.times(Decimal(10), "tenants")
    assert (ten.tenants, ten.requests_per_day) == (500, 20_000_000)
    assert ten.largest_tenant * ten.requests_per_day == DESIGN.largest_tenant * DESIGN.requests_per_day


def test_more_traffic_is_of_the_same_tenants() -> None:
    ten = DESIGN.times(Decimal(10), "traffic")
    assert (ten.tenants, ten.requests_per_day, ten.largest_tenant) == (50, 20_000_000, DESIGN.largest_tenant)


def test_a_smaller_platform_has_smaller_tenants() -> None:
    tenth = DESIGN.times(Decimal("0.1"), "tenants")
    assert (tenth.tenants, tenth.largest_tenant) == (5, DESIGN.largest_tenant)


def test_the_busiest_minute_has_the_peak_of_the_mean_one() -> None:
    assert workload(models="nova-pro").peak_per_minute("nova-pro") * 1_440 == pytest.approx(6_000_000)
