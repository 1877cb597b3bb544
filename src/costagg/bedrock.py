"""Tokens of Bedrock at their price: a line for each tenant, model, price and token class.

The `requests` of a line are the calls that were added up in it, whether each has tokens of the class or not:
a call is in several lines, and nobody may add requests over token classes. Calls of which a class may be
billed and was not told have a line of their own, of unknown quantity. Amounts are exact. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from costagg.usage import CallKey, HourUsage
from llmplatform.costs import CostLine
from llmplatform.prices import PriceTable, TokenClass
from llmplatform.usage import UsageSource

METHOD: Final = "direct/1"

_MILLION: Final = Decimal(1_000_000)


@dataclass(slots=True)
class _Tokens:
    """What came together for one line."""

    tokens: int | None
    requests: int = 0


def token_lines(usage: HourUsage, prices: PriceTable, *, region: str) -> Iterator[CostLine]:
    """The lines of an hour's calls of Bedrock."""
    for (key, token_class), added in _added_up(usage).items():
        price = prices.price_of(
            key.price_key, token_class, at=usage.hour.date(), region=region, service_tier=key.service_tier
        )
        yield CostLine(
            tenant_id=key.tenant_id,
            hour=usage.hour,
            layer=key.layer,
            service="AmazonBedrock",
            endpoint_type=key.endpoint_type,
            model_id=key.model_id,
            endpoint_name=key.endpoint_name,
            price_key=key.price_key,
            region=region,
            service_tier=key.service_tier,
            charge_class=token_class,
            unit="tokens",
            quantity=None if added.tokens is None else Decimal(added.tokens),
            unit_price_usd=None if price is None else price.usd_per_million_tokens / _MILLION,
            amount_usd=None if price is None or added.tokens is None else price.of(added.tokens),
            requests=added.requests,
            usage_source=key.usage_source,
            computed_from=usage.computed_from,
            allocation_method=METHOD,
            price_version=prices.version,
        )


def _added_up(usage: HourUsage) -> dict[tuple[CallKey, TokenClass], _Tokens]:
    """Calls by all that tells lines apart: the backend's own model id, for one, does not."""
    together: dict[tuple[CallKey, TokenClass], _Tokens] = {}
    for call, calls in usage.calls.items():
        if call.endpoint_type != "bedrock":
            continue
        key = replace(call, backend_model_id="")
        uncounted = replace(key, usage_source=UsageSource.UNKNOWN.value)
        # A call is labelled by its weakest figure. A figure that we do have of a call labelled unknown is our
        # own estimate; said so, it also stays apart from what nobody knows.
        counted = replace(key, usage_source=UsageSource.ESTIMATED.value) if key == uncounted else key
        for token_class, tokens in calls.tokens.items():
            if tokens:
                line = together.setdefault((counted, token_class), _Tokens(0))
                line.tokens = (line.tokens or 0) + tokens
                line.requests += calls.requests
        for token_class, requests in calls.uncounted.items():
            if requests:
                together.setdefault((uncounted, token_class), _Tokens(None)).requests += requests
    return together
