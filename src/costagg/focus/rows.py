"""What the columns hold: the bill of a day, its owners together, to rows of FOCUS 1.3.

Rows are those that AWS's own export would have, split further: account, prices and periods are the same, so
that the two can be joined. Who a row belongs to is in `Tags`, where AWS meters it for one tenant, and in the
allocation columns where one charge, an endpoint's instances, was shared: there every dimension and unit price
is the origin's and quantities and costs add up to the origin's (attribute
DataGenerator-Calculated Split Cost Allocation Handling). What is paid for and used by nobody is the
unallocated portion and has no `AllocatedResourceId`. Rows without a price cannot be told in FOCUS and are not
taken here. Pure.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

from costagg.focus.columns import COLUMNS
from costagg.focus.services import service_of
from costagg.rounding import apportioned, from_units, in_units
from llmplatform.bills import BillRow, exact_sum, period_end, period_start
from llmplatform.costs import UNUSED, ChargeClass
from llmplatform.prices import DEFAULT_TIER

Value = str | Decimal | datetime | None
FocusRow = dict[str, Value]

_AWS: Final = "AWS"
"""Provider, host, publisher and issuer alike: where ProviderName and InvoiceIssuerName differ in spelling,
FOCUS takes a charge for a marketplace's and BilledCost must be 0."""

_ACCOUNT: Final = "Account"
_USD: Final = "USD"
_MILLION: Final = 1_000_000
_METERS: Final[Mapping[ChargeClass, str]] = {
    "input": "Input Tokens",
    "output": "Output Tokens",
    "cache_read": "Cache Read Tokens",
    "cache_write": "Cache Write Tokens",
    "cache_write_1h": "Cache Write Tokens, 1 Hour",
    "instance": "Instance Hours",
}
_EMPTY: Final[FocusRow] = dict.fromkeys(COLUMNS)
_SPLIT: Final = "instance"
"""The charge that is one on AWS's side and shared on ours."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose account it is, and what its regions are called."""

    account_id: str
    account_name: str | None
    region_names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Split:
    """A row's part of an origin charge."""

    origin_id: str
    origin_cost: Decimal
    ratio: Decimal | None
    """Those of an origin add up to 1; None where the origin has no quantity."""


def focus_rows(bill: Sequence[BillRow], account: Account) -> Iterator[FocusRow]:
    """The rows of a bill, in its order.

    `bill` has all owners of its periods, priced rows only: an origin charge is what its parts add up to.
    """
    splits = _splits(bill)
    for row in bill:
        yield _EMPTY | _shared_columns(row, account) | _own_columns(row, splits.get(id(row)))


def _shared_columns(row: BillRow, account: Account) -> FocusRow:
    """What a row has in common with all that its origin charge was split into, and its costs."""
    service = service_of(row.service)
    month = row.period[: len("2026-11")]
    per, pricing_unit, consumed_unit = _units(row)
    price = None if row.unit_price_usd is None else row.unit_price_usd * per
    quantity = row.quantity
    sku = f"{row.service}/{row.price_key}/{row.region}/{row.service_tier}/{row.charge_class}"
    return {
        "BilledCost": row.amount_usd,
        "BillingAccountId": account.account_id,
        "BillingAccountName": account.account_name,
        "BillingAccountType": _ACCOUNT,
        "BillingCurrency": _USD,
        "BillingPeriodEnd": period_end(month),
        "BillingPeriodStart": period_start(month),
        "ChargeCategory": "Usage",
        "ChargeDescription": _description(row),
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": period_end(row.period),
        "ChargePeriodStart": period_start(row.period),
        "ConsumedQuantity": quantity,
        "ConsumedUnit": consumed_unit,
        "ContractedCost": row.amount_usd,
        "ContractedUnitPrice": price,
        "EffectiveCost": row.amount_usd,
        "HostProviderName": _AWS,
        "InvoiceIssuerName": _AWS,
        "ListCost": row.amount_usd,
        "ListUnitPrice": price,
        "PricingCategory": "Standard",
        "PricingCurrency": _USD,
        "PricingCurrencyContractedUnitPrice": price,
        "PricingCurrencyEffectiveCost": row.amount_usd,
        "PricingCurrencyListUnitPrice": price,
        "PricingQuantity": None if quantity is None else quantity / per,
        "PricingUnit": pricing_unit,
        "ProviderName": _AWS,
        "PublisherName": _AWS,
        "RegionId": row.region,
        "RegionName": account.region_names.get(row.region, row.region),
        "ResourceId": _endpoint_arn(row, account.account_id),
        "ResourceName": row.endpoint_name if _is_endpoint(row) else None,
        "ResourceType": "Endpoint" if _is_endpoint(row) else None,
        "ServiceCategory": service.category,
        "ServiceName": service.name,
        "ServiceProviderName": _AWS,
        "ServiceSubcategory": service.subcategory,
        "SkuId": sku,
        "SkuMeter": _METERS.get(row.charge_class, row.price_key),
        "SkuPriceDetails": _json({"InstanceType": row.price_key}) if row.charge_class == _SPLIT else None,
        "SkuPriceId": f"{sku}/{_plain(price)}",
        "SubAccountId": account.account_id,
        "SubAccountName": account.account_name or account.account_id,
        "SubAccountType": _ACCOUNT,
    }


def _own_columns(row: BillRow, split: _Split | None) -> FocusRow:
    """Whose it is, and how it came to be theirs."""
    owner = {"tenant_id": row.tenant_id, "layer": row.layer}
    if row.model_id is not None:
        owner["model_id"] = row.model_id
    unallocated = row.tenant_id == UNUSED
    return {
        "AllocatedMethodDetails": None if split is None else _details(row, split),
        "AllocatedMethodId": None if split is None else row.allocation_method,
        "AllocatedResourceId": None if split is None or unallocated else "/".join(owner.values()),
        "AllocatedResourceName": None if split is None or unallocated else row.tenant_id,
        "AllocatedTags": None if split is None else _json(owner),
        "Tags": _json(owner) if split is None else None,
        "x_AllocationMethod": row.allocation_method,
        "x_CompletenessState": row.completeness,
        "x_ComputedFrom": row.computed_from,
        "x_EndpointType": row.endpoint_type,
        "x_Layer": row.layer,
        "x_ModelId": row.model_id,
        "x_PriceVersion": row.price_version,
        "x_ServiceTier": row.service_tier,
        "x_SplitOriginCost": None if split is None else split.origin_cost,
        "x_SplitOriginId": None if split is None else split.origin_id,
        "x_TenantId": row.tenant_id,
        "x_UsageSource": row.usage_source,
    }


def _splits(bill: Iterable[BillRow]) -> dict[int, _Split]:
    """By identity of the row, its part of what was one charge of AWS's."""
    origins: defaultdict[tuple[str, ...], list[BillRow]] = defaultdict(list)
    for row in bill:
        if row.charge_class == _SPLIT:
            price = _plain(row.unit_price_usd)
            about = (row.period, row.endpoint_name or "", row.price_key, row.region, row.service_tier, price)
            origins[about].append(row)
    found: dict[int, _Split] = {}
    for origin, rows in origins.items():
        cost = exact_sum(row.amount_usd for row in rows)
        weights = [Fraction(row.quantity or 0) for row in rows]
        ratios = apportioned(in_units(Decimal(1)), weights) if any(weights) else [None] * len(rows)
        for row, ratio in zip(rows, ratios, strict=True):
            part = None if ratio is None else from_units(ratio)
            found[id(row)] = _Split("/".join(origin), cost, part)
    return found


def _details(row: BillRow, split: _Split) -> str | None:
    """AllocatedMethodDetails: the part of the origin charge, by hours of its instances."""
    if split.ratio is None:
        return None
    # Written by hand: a Decimal is to stay the number that it is.
    return (
        f'{{"Elements":[{{"AllocatedRatio":{split.ratio:f},"UsageUnit":"Hours",'
        f'"UsageQuantity":{row.quantity:f}}}]}}'
    )


def _units(row: BillRow) -> tuple[int, str, str]:
    """For how many units a price is told, the unit of pricing and the unit of consumption."""
    match row.unit:
        case "tokens":
            return _MILLION, "1000000 Tokens", "Tokens"
        case "instance-hours":
            return 1, "Hours", "Hours"
        case unit:
            return 1, unit, unit


def _description(row: BillRow) -> str:
    """The same for all that an origin charge was split into."""
    if row.charge_class == _SPLIT:
        return f"{row.price_key} instances of endpoint {row.endpoint_name}"
    if row.charge_class not in _METERS:
        return f"{row.price_key} in {row.region}"
    tier = "" if row.service_tier == DEFAULT_TIER else f", {row.service_tier} tier"
    return f"{row.model_id} {_METERS[row.charge_class].lower()}{tier} in {row.region}"


def _is_endpoint(row: BillRow) -> bool:
    return row.endpoint_type == "sagemaker" and row.endpoint_name is not None


def _endpoint_arn(row: BillRow, account_id: str) -> str | None:
    if not _is_endpoint(row):
        return None
    partition = "aws-cn" if row.region.startswith("cn-") else "aws-us-gov" if "gov" in row.region else "aws"
    return f"arn:{partition}:sagemaker:{row.region}:{account_id}:endpoint/{row.endpoint_name}"


def _plain(price: Decimal | None) -> str:
    """A price as part of a name: 3.00 and 3 are one."""
    return "" if price is None else f"{price.normalize():f}"


def _json(pairs: Mapping[str, str]) -> str:
    return json.dumps(pairs, ensure_ascii=False, separators=(",", ":"))
