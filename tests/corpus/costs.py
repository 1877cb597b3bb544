"""Usage, instances and prices for tests of cost: small, and easy to compute by hand."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from costagg.usage import MINUTES, CallKey, EndpointUse, HourUsage, InstanceMinutes, Sharer
from llmplatform.costs import INFERENCE_LAYER, Layer
from llmplatform.prices import PriceTable, parse_prices

HOUR = datetime(2026, 11, 23, 20, tzinfo=UTC)
REGION = "us-east-1"
GEO = "vendor.a/geo"
GLOBAL = "vendor.a/global"
BIG = "ml.g5.12xlarge"
SMALL = "ml.g5.xlarge"

_ROW = """
regions = ["us-east-1"]
effective_from = 2026-01-01
source = "a test"
retrieved_on = 2026-01-01
"""
PRICES = f"""
version = "test"

[[prices]]
price_key = "{GEO}"
{_ROW}

[prices.usd_per_million_tokens]
input = 1.10
output = 5.50
cache_read = 0.11
cache_write = 1.375
cache_write_1h = 2.20

[[prices]]
price_key = "{GLOBAL}"
{_ROW}
usd_per_million_tokens = {{ input = 1.00, output = 5.00 }}

[[instance_prices]]
instance_type = "{BIG}"
{_ROW}
usd_per_hour = 7.20

[[instance_prices]]
instance_type = "{SMALL}"
{_ROW}
usd_per_hour = 1.00
"""


def prices(more: str = "") -> PriceTable:
    """Two price keys of one model, two instance types, and whatever `more` spells."""
    return parse_prices(PRICES + more)


def service_price(service: str, name: str, usd: str) -> str:
    """A row of a service's price."""
    return f"""
[[service_prices]]
service = "{service}"
name = "{name}"
unit = "Units"
{_ROW}
usd_per_unit = {usd}
"""


def usage(**fields: Any) -> HourUsage:
    """An hour in which nothing happened, but for `fields`."""
    return HourUsage(HOUR, "request-ledger", **fields)


def call(tenant_id: str = "acme", **fields: Any) -> CallKey:
    """A call of Bedrock by a tenant, but for `fields`."""
    return CallKey(
        **{
            "tenant_id": tenant_id,
            "layer": INFERENCE_LAYER,
            "endpoint_type": "bedrock",
            "model_id": "a",
            "backend_model_id": "us.vendor.a-v1:0",
            "endpoint_name": None,
            "price_key": GEO,
            "service_tier": "default",
            "usage_source": "reported",
            **fields,
        }
    )


def sharer(tenant_id: str, layer: Layer = INFERENCE_LAYER) -> Sharer:
    """A tenant that uses the endpoint's one model."""
    return Sharer(tenant_id, "llama", layer)


def use(
    tokens: Mapping[str, int], minutes: range, *, requests: Mapping[str, int] | None = None
) -> EndpointUse:
    """Calls of tenants, their tokens spread evenly over `minutes`."""
    by_minute = [0] * MINUTES
    for minute in minutes:
        by_minute[minute] = sum(tokens.values()) // len(minutes)
    return EndpointUse(
        tokens={sharer(tenant): count for tenant, count in tokens.items()},
        requests={sharer(tenant): count for tenant, count in (requests or dict.fromkeys(tokens, 1)).items()},
        tokens_by_minute=by_minute,
        active_minutes=sum(1 << minute for minute in minutes),
    )


def instances(*counts: tuple[int, int | None], **fields: Any) -> InstanceMinutes:
    """Instances of one variant: so many minutes of so many, one after the other, sixty in all."""
    return InstanceMinutes(
        **{
            "endpoint_name": "llama",
            "variant": "AllTraffic",
            "instance_type": BIG,
            "counts": tuple(count for minutes, count in counts for _ in range(minutes)),
            "source": "metered",
            **fields,
        }
    )
