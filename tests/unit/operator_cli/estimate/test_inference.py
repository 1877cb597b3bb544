"""What inference costs: tokens by their prices, instances by the hour, and unknown where nobody knows."""

from dataclasses import replace
from decimal import Decimal

import pytest

from harness.estimates import CATALOGUE, FACTS, FIVE_MODELS, needs, pricing, workload
from operator_cli.estimate.inference import ModelMonth, inference_months
from operator_cli.estimate.needs import Needs
from operator_cli.estimate.pricing import DAYS_IN_A_MONTH

LLAMA = "llama-3-8b-support"


def months(of: Needs, region: str = "us-east-1") -> dict[str, ModelMonth]:
    return {month.model_id: month for month in inference_months(of, pricing(region))}


def usd_a_day(of: Needs) -> Decimal:
    total = Decimal(0)
    for month in months(of).values():
        assert month.usd is not None
        total += month.usd.likely / DAYS_IN_A_MONTH
    return total


@pytest.mark.parametrize(
    ("models", "usd"), [("claude-sonnet-4-6", 42_240), (FIVE_MODELS, 14_368), ("claude-haiku-4-5", 14_080)]
)
def test_a_day_of_the_design_costs_what_the_page_on_allocation_says(models: str, usd: int) -> None:
    assert usd_a_day(needs(models=models)) == pytest.approx(Decimal(usd), abs=1)


def test_a_model_without_a_price_is_unknown() -> None:
    assert months(needs(models="nova-pro"), "eu-north-1")["nova-pro"].usd is None


def test_how_many_instances_are_needed_is_not_known_without_what_one_can_do() -> None:
    month = months(needs(models=LLAMA))[LLAMA]
    assert month.usd is None
    assert "rated_tokens_per_minute" in month.basis


def test_instances_carry_the_busiest_minute_around_the_clock() -> None:
    (variant,) = CATALOGUE.endpoints[LLAMA].variants
    rated = variant.model_copy(update={"rated_tokens_per_minute": 1_000_000})
    endpoint = CATALOGUE.endpoints[LLAMA].model_copy(update={"variants": (rated,)})
    catalogue = CATALOGUE.model_copy(update={"endpoints": {**CATALOGUE.endpoints, LLAMA: endpoint}})
    month = months(Needs(workload(models=LLAMA), replace(FACTS, catalogue=catalogue)))[LLAMA]
    # 2 million requests of 4,000 tokens, three times the mean in the busiest minute: 16.7 million a minute
    assert month.usd is not None
    assert month.usd.likely == 17 * 730 * Decimal("7.09")


def test_an_endpoint_that_the_catalogue_does_not_have_is_unknown() -> None:
    catalogue = CATALOGUE.model_copy(update={"endpoints": {}})
    month = months(Needs(workload(models=LLAMA), replace(FACTS, catalogue=catalogue)))[LLAMA]
    assert month.usd is None
    assert "not in the catalogue" in month.basis
