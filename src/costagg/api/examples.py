"""Examples of every answer, as the documentation shows them."""

from collections.abc import Mapping
from typing import Any, Final

from costagg.api.table import DIMENSIONS

COST_ROW: Final[dict[str, Any]] = {
    "period": "2026-11-23",
    "tenant_id": "acme",
    "layer": "inference",
    "service": "AmazonBedrock",
    "endpoint_type": "bedrock",
    "model_id": "claude-haiku-4-5",
    "endpoint_name": None,
    "price_key": "anthropic.claude-haiku-4-5/geo",
    "region": "us-east-1",
    "service_tier": "default",
    "charge_class": "output",
    "unit_price_usd": "0.0000055",
    "usage_source": "reported",
    "computed_from": "request-ledger",
    "allocation_method": "direct/1",
    "price_version": "2026-11-23",
    "unit": "tokens",
    "quantity": "412000",
    "amount_usd": "2.266",
    "requests": 1_031,
    "completeness": "closed",
}
HOURS_ROW: Final[dict[str, Any]] = {
    "period": "2026-11-23",
    "state": "closed",
    "hours": 24,
    "hours_computed": 24,
    "hours_closed": 24,
    "hours_from_metrics": 0,
    "computed_at": "2026-11-24T06:05:00+00:00",
    "known_amount_usd": "118.402",
    "unpriced_lines": 0,
    "uncounted_requests": 0,
    "price_version": "2026-11-23",
}
_TOTALS: Final = {
    "known_amount_usd": "2.266",
    "complete": True,
    "unpriced_lines": 0,
    "uncounted_requests": 0,
}
_RANGE: Final = {"from": "2026-11-23", "to": "2026-11-24", "granularity": "day", "currency": "USD"}
CURSOR: Final = "WyI2ZjFjMGQiLCJhY21lIl0"

TENANT_COSTS: Final[dict[str, Any]] = {
    "tenant_id": "acme",
    "group_by": list(DIMENSIONS),
    **_RANGE,
    "rows": [COST_ROW],
    "totals": _TOTALS,
    "next_cursor": None,
}
ALL_COSTS: Final[dict[str, Any]] = {
    "group_by": list(DIMENSIONS),
    **_RANGE,
    "rows": [COST_ROW],
    "totals": {**_TOTALS, "known_amount_usd": "118.402"},
    "next_cursor": CURSOR,
}
HOURS: Final[dict[str, Any]] = {
    **_RANGE,
    "rows": [HOURS_ROW],
    "totals": {**_TOTALS, "known_amount_usd": "118.402"},
    "next_cursor": None,
}

PROBLEMS: Final[Mapping[int, tuple[str, str, str, str | None]]] = {
    400: (
        "Bad Request",
        "invalid_request",
        "to: missing; give a UTC day, 2026-11-23, or a month, 2026-11",
        "to",
    ),
    401: ("Unauthorized", "invalid_api_key", "the key is not valid", None),
    403: (
        "Forbidden",
        "forbidden",
        "a tenant's key sees that tenant alone: GET /v1/tenants/{tenant_id}/costs with its own id",
        None,
    ),
    404: ("Not Found", "tenant_not_found", "there is no such tenant", "tenant_id"),
    503: (
        "Service Unavailable",
        "costs_unavailable",
        "the table of costs does not answer: TimeoutError",
        None,
    ),
}
"""By status: title, code, detail, parameter."""
