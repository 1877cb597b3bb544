"""A Cost and Usage Report 2.0 whose truth is known: made from cost lines, with faults switched on by name.

AWS's side of a reconciliation. Usage is metered as AWS does it: tokens in thousands or millions by usage
type, instances by endpoint whoever used them, amounts at ten decimals, an hour or a day in a line item.
"""

import csv
import gzip
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from costagg.reconciliation.usage_types import UsageTypes
from llmplatform.costs import CostLine

ACCOUNT: Final = "123456789012"
TEN_DECIMALS: Final = Decimal("1E-10")
_SOME_DAY: Final = datetime(2026, 11, 1, tzinfo=UTC)

_NATIVE: Final = {
    "input": "input-tokens",
    "output": "output-tokens",
    "cache_read": "cache-read-input-token-count",
    "cache_write": "cache-write-input-token-count",
    "cache_write_1h": "cache-write-1h-input-token-count",
}
_MARKETPLACE: Final = {
    "input": "InputTokenCount",
    "output": "OutputTokenCount",
    "cache_read": "CacheReadInputTokenCount",
    "cache_write": "CacheWriteInputTokenCount",
    "cache_write_1h": "CacheWrite1hInputTokenCount",
}
_PREFIXES: Final = {"us-east-1": "USE1", "us-west-2": "USW2", "eu-west-1": "EU"}

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Making:
    """How AWS would bill what was used, and what goes wrong on the way."""

    granularity: Literal["hour", "day"] = "hour"
    unit: Literal["1K tokens", "1M tokens"] = "1K tokens"
    tenants_by: Literal["tag", "principal"] = "tag"
    marketplace: frozenset[str] = frozenset()
    """Base models that are sold through AWS Marketplace."""
    untagged: frozenset[str] = frozenset()
    """Tenants that call without a profile of their own."""
    dearer_percent: Mapping[str, Decimal] = field(default_factory=dict)
    """By base model or instance type: how much more AWS asks than our price."""
    not_billed: frozenset[str] = frozenset()
    """Tenants whose usage AWS forgot."""
    bypassing_tokens: int = 0
    """Input tokens a day of the first line's model that no gateway saw."""
    credit_usd: Decimal = Decimal(0)
    tax_percent: Decimal = Decimal(0)
    edp_percent: Decimal = Decimal(0)
    savings_plan: bool = False
    """Instances are covered: at their on-demand price, and taken off again."""


@dataclass(frozen=True, slots=True)
class _Use:
    start: datetime
    usage_type: str
    operation: str
    product_code: str
    product_name: str
    unit: str
    region: str
    resource: str
    tenant: str | None
    subject: str


def line_items(
    lines: Iterable[CostLine], usage_types: UsageTypes, making: Making | None = None
) -> list[Item]:
    """The line items that AWS would make of the truth."""
    how = making or Making()
    amounts: defaultdict[_Use, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    kept = [line for line in lines if line.tenant_id not in how.not_billed]
    for line in kept:
        if line.quantity is not None and line.amount_usd is not None:
            used = amounts[_use(line, usage_types, how)]
            used[0] += line.quantity
            used[1] += line.amount_usd
    items = [
        _usage_item(number, use, quantity, usd, how)
        for number, (use, (quantity, usd)) in enumerate(amounts.items())
    ]
    if how.bypassing_tokens:
        items += _bypassing(kept, usage_types, how)
    return items + _on_top(items, how)


def write_parquet(
    items: Sequence[Item], folder: Path, *, files: int = 1, without: Iterable[str] = ()
) -> Path:
    """The items in so many Parquet files, maps as maps; `without` leaves columns out."""
    folder.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([one for one in _SCHEMA if one.name not in set(without)])
    for number in range(files):
        rows = [
            {
                name: list(value.items()) if isinstance(value, dict) else _double(value)
                for name, value in item.items()
                if name in schema.names
            }
            for item in items[number::files]
        ]
        pq.write_table(pa.Table.from_pylist(rows, schema), folder / f"cur-{number:05}.snappy.parquet")
    return folder


def write_csv(
    items: Sequence[Item], folder: Path, *, files: int = 1, zipped: bool = True, without: Iterable[str] = ()
) -> Path:
    """The items in so many CSV files, maps as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [one.name for one in _SCHEMA if one.name not in set(without)]
    for number in range(files):
        text = io.StringIO()
        writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {name: _text(value) for name, value in item.items()} for item in items[number::files]
        )
        data = text.getvalue().encode()
        path = folder / f"cur-{number:05}.csv{'.gz' if zipped else ''}"
        path.write_bytes(gzip.compress(data, mtime=0) if zipped else data)
    return folder


def _use(line: CostLine, usage_types: UsageTypes, how: Making) -> _Use:
    start = line.hour if how.granularity == "hour" else line.hour.replace(hour=0)
    prefix = _PREFIXES[line.region]
    if line.charge_class == "instance":
        return _Use(
            start,
            f"{prefix}-Host:{line.price_key}",
            "RunInstance",
            "AmazonSageMaker",
            "",
            "Hrs",
            line.region,
            f"arn:aws:sagemaker:{line.region}:{ACCOUNT}:endpoint/{(line.endpoint_name or '').lower()}",
            None,
            line.price_key,
        )
    if line.charge_class == "service":
        usage_type = line.price_key.partition("/")[2]
        return _Use(start, usage_type, "", line.service, "", "Units", line.region, "", None, line.price_key)
    base, _, scope = line.price_key.rpartition("/")
    model = next(model for model in usage_types.models if model.base_model == base)
    tenant = None if line.tenant_id in how.untagged else line.tenant_id
    resource = f"arn:aws:bedrock:{line.region}:{ACCOUNT}:application-inference-profile/{tenant or 'shared'}"
    if base in how.marketplace:
        suffix = "_Global" if scope == "global" else ""
        return _Use(
            start,
            f"{prefix}-MP:{prefix}_{_MARKETPLACE[line.charge_class]}{suffix}-Units",
            "InvokeModel",
            f"prod-{base.rpartition('-')[2]}{len(base)}",
            f"{model.names[-1]} (Amazon Bedrock Edition)",
            "Units",
            line.region,
            resource,
            tenant,
            base,
        )
    suffix = "-cross-region-global" if scope == "global" else ""
    tier = "" if line.service_tier == "default" else f"-{line.service_tier}"
    usage_type = f"{prefix}-{model.names[0]}-{_NATIVE[line.charge_class]}{tier}{suffix}"
    return _Use(
        start, usage_type, "InvokeModel", "AmazonBedrock", "", how.unit, line.region, resource, tenant, base
    )


def _usage_item(number: int, use: _Use, quantity: Decimal, usd: Decimal, how: Making) -> Item:
    dearer = 1 + how.dearer_percent.get(use.subject, Decimal(0)) / 100
    covered = how.savings_plan and use.product_code == "AmazonSageMaker"
    item = _item(
        f"usage{number}",
        "SavingsPlanCoveredUsage" if covered else "Usage",
        use.product_code,
        (usd * dearer).quantize(TEN_DECIMALS),
        (use.start, _end(use.start, how)),
    )
    per_unit = {"1K tokens": 1_000, "1M tokens": 1_000_000}.get(
        use.unit, 1_000_000 if use.product_name else 1
    )
    by_tag = use.tenant is not None and how.tenants_by == "tag"
    session = (
        f"tenant-{use.tenant}" if use.tenant is not None and how.tenants_by == "principal" else "gateway"
    )
    item |= {
        "line_item_usage_type": use.usage_type,
        "line_item_operation": use.operation,
        "line_item_resource_id": use.resource,
        "line_item_usage_amount": (quantity / per_unit).quantize(TEN_DECIMALS),
        "pricing_unit": use.unit,
        "product_region_code": use.region,
        "product": {"product_name": use.product_name} if use.product_name else {},
        "resource_tags": {"user_tenant_id": use.tenant} if by_tag else {},
        "tags": {"resourceTags/user_tenant_id": use.tenant} if by_tag else {},
        "line_item_iam_principal": f"arn:aws:sts::{ACCOUNT}:assumed-role/llm-gateway/{session}",
    }
    return item


def _bypassing(lines: Sequence[CostLine], usage_types: UsageTypes, how: Making) -> list[Item]:
    """Calls of the same model by somebody who goes to Bedrock directly, a line item a day."""
    first = next(line for line in lines if line.charge_class == "input")
    assert first.unit_price_usd is not None
    items = []
    for number, day in enumerate(sorted({line.hour.replace(hour=0) for line in lines})):
        use = _use(first, usage_types, how)
        quantity = Decimal(how.bypassing_tokens)
        item = _usage_item(0, use, quantity, quantity * first.unit_price_usd, how)
        items.append(
            item
            | {
                "identity_line_item_id": f"bypass{number}",
                "line_item_usage_start_date": day,
                "identity_time_interval": _interval(day, day + timedelta(days=1)),
                "line_item_iam_principal": f"arn:aws:iam::{ACCOUNT}:user/somebody",
                "resource_tags": {},
                "tags": {},
            }
        )
    return items


def _on_top(items: Sequence[Item], how: Making) -> list[Item]:
    """What stands on a bill besides usage: a line item a service, a negation for each covered item."""
    added: list[Item] = []
    by_service: defaultdict[str, Decimal] = defaultdict(Decimal)
    for item in items:
        by_service[item["line_item_product_code"]] += item["line_item_unblended_cost"]
        if item["line_item_line_item_type"] == "SavingsPlanCoveredUsage":
            negation = dict(item)
            negation["identity_line_item_id"] = f"negation{len(added)}"
            negation["line_item_line_item_type"] = "SavingsPlanNegation"
            negation["line_item_unblended_cost"] = -item["line_item_unblended_cost"]
            added.append(negation)
    start = min((item["line_item_usage_start_date"] for item in items), default=_SOME_DAY)
    for service, usd in by_service.items():
        for kind, amount in (
            ("Credit", -how.credit_usd),
            ("EdpDiscount", -usd * how.edp_percent / 100),
            ("Tax", usd * how.tax_percent / 100),
        ):
            if amount:
                made = _item(f"{kind}{service}", kind, service, amount.quantize(TEN_DECIMALS), (start, start))
                like = next(item for item in items if item["line_item_product_code"] == service)
                added.append(made | {name: like[name] for name in ("product", "line_item_usage_type")})
    return added


def _item(identity: str, kind: str, product_code: str, usd: Decimal, span: tuple[datetime, datetime]) -> Item:
    start, end = span
    return {
        "identity_line_item_id": identity,
        "identity_time_interval": _interval(start, end),
        "bill_billing_period_start_date": start.replace(day=1, hour=0),
        "bill_payer_account_id": ACCOUNT,
        "line_item_usage_account_id": ACCOUNT,
        "line_item_usage_start_date": start,
        "line_item_usage_end_date": end,
        "line_item_line_item_type": kind,
        "line_item_product_code": product_code,
        "line_item_usage_type": "",
        "line_item_operation": "",
        "line_item_resource_id": "",
        "line_item_line_item_description": "",
        "line_item_usage_amount": Decimal(0),
        "line_item_unblended_cost": usd,
        "line_item_currency_code": "USD",
        "line_item_iam_principal": "",
        "pricing_unit": "",
        "pricing_public_on_demand_cost": usd,
        "product_region_code": "",
        "product": {},
        "resource_tags": {},
        "tags": {},
    }


def _end(start: datetime, how: Making) -> datetime:
    return start + (timedelta(hours=1) if how.granularity == "hour" else timedelta(days=1))


def _interval(start: datetime, end: datetime) -> str:
    return f"{start:%Y-%m-%dT%H:%M:%SZ}/{end:%Y-%m-%dT%H:%M:%SZ}"


def _double(value: object) -> object:
    """AWS writes amounts into Parquet as doubles."""
    return float(value) if isinstance(value, Decimal) else value


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S.000Z}"
    return json.dumps(value) if isinstance(value, dict) else str(value)


_MAPS: Final = frozenset({"product", "resource_tags", "tags"})
_DOUBLES: Final = frozenset(
    {"line_item_usage_amount", "line_item_unblended_cost", "pricing_public_on_demand_cost"}
)


def _type(name: str) -> pa.DataType:
    if name in _MAPS:
        return pa.map_(pa.string(), pa.string())
    if name in _DOUBLES:
        return pa.float64()
    return pa.timestamp("ms") if name.endswith("_date") else pa.string()


_SCHEMA: Final = [
    pa.field(name, _type(name)) for name in _item("", "", "", Decimal(0), (_SOME_DAY, _SOME_DAY))
]
