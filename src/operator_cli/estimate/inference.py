"""What inference itself costs: tokens by the price data, instances of endpoints by the hour. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from llmplatform.catalogue import ModelEntry, Variant
from operator_cli.estimate.figures import Range
from operator_cli.estimate.needs import Needs
from operator_cli.estimate.pricing import DAYS_IN_A_MONTH, HOURS, Month, Pricing, added


@dataclass(frozen=True, slots=True)
class ModelMonth:
    """A model's month."""

    model_id: str
    share: Decimal
    """Of the requests."""
    usd: Month
    basis: str
    """How it comes to that, or what is not known."""


def inference_months(needs: Needs, pricing: Pricing) -> Iterator[ModelMonth]:
    """Each model of the mix."""
    for model_id, share in needs.workload.models.items():
        entry = needs.facts.catalogue.models[model_id]
        if entry.endpoint_type == "bedrock":
            usd, basis = _by_tokens(needs, entry, share, pricing)
        else:
            usd, basis = _by_instances(needs, entry, pricing)
        yield ModelMonth(model_id, share, usd, basis)


def _by_tokens(needs: Needs, entry: ModelEntry, share: Decimal, pricing: Pricing) -> tuple[Month, str]:
    workload = needs.workload
    requests = share * workload.requests_per_day * DAYS_IN_A_MONTH
    usd = added(
        pricing.tokens(entry.price_key, "input", Range.exactly(requests * workload.input_tokens)),
        pricing.tokens(entry.price_key, "output", Range.exactly(requests * workload.output_tokens)),
    )
    return usd, f"{pricing.source_of_tokens(entry.price_key)}; nothing read from a cache"


def _by_instances(needs: Needs, entry: ModelEntry, pricing: Pricing) -> tuple[Month, str]:
    endpoint = needs.facts.catalogue.endpoints.get(entry.backend_model_id)
    if endpoint is None:
        return None, f"endpoint {entry.backend_model_id} is not in the catalogue: no instances to count"
    tokens = needs.workload.peak_per_minute(entry.model_id) * needs.workload.tokens_per_request
    months: list[Month] = []
    for variant in endpoint.variants:
        price = pricing.prices.instance_price(variant.instance_type, at=pricing.at, region=pricing.region)
        number = _instances(variant, tokens / len(endpoint.variants))
        if price is None:
            return None, f"{variant.instance_type}: no price in {pricing.region}"
        if number is None:
            return None, (
                f"{variant.instance_type} at {price.usd_per_hour:f} USD an hour; how many are needed is not "
                "known without rated_tokens_per_minute in the catalogue"
            )
        months.append(Range.exactly(price.usd_per_hour * HOURS * number))
    return added(*months), "instances that carry the busiest minute, around the clock"


def _instances(variant: Variant, tokens_per_minute: Decimal) -> Decimal | None:
    rated = variant.rated_tokens_per_minute
    return None if rated is None else (tokens_per_minute / rated).to_integral_value(ROUND_CEILING)
