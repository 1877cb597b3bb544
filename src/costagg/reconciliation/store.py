"""Keeps what a reconciliation found: a row per service and tenant in the table of costs.

Partition `_reconciliation#YYYY-MM`, sort key `<first day>_<last day>#<service>#<tenant>`, the tenant empty
for the service itself. A second reconciliation of the same days takes the place of the first, whatever it
found. `encode` and `decode` are the codec; `ReconciliationStore` reads and writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from costagg.reconciliation.results import Compared, Reconciliation
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.patient_dynamodb import PatientDynamoDb
from llmplatform.aws.tables import TENANT_COST
from llmplatform.costs import Item
from llmplatform.errors import TelemetryFault

OWNER: Final = "_reconciliation"
IN_FLIGHT: Final = 4

_KEY: Final = TENANT_COST.partition_key.name
_SORT: Final = TENANT_COST.sort_key.name
_RETENTION_S: Final = TENANT_COST.retention_days * 86_400
_NAMES: Final = {"#key": _KEY, "#sort": _SORT}


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a service or of one of its tenants."""

    first: date
    last: date
    service: str
    tenant_id: str | None
    """None is the service itself."""
    billed_usd: Decimal
    usage_usd: Decimal
    attributed_usd: Decimal
    error_percent: Decimal
    gross_error_percent: Decimal
    residuals: Mapping[str, Decimal]
    estimated: bool
    over_limit: bool
    open_hours: int
    reconciled_at: datetime


def partition_key(month: date) -> str:
    """Partition key of a month's reconciliations."""
    return f"{OWNER}#{month:%Y-%m}"


def period_prefix(first: date, last: date) -> str:
    """What the sort keys of a period begin with."""
    return f"{first.isoformat()}_{last.isoformat()}#"


def rows_of(result: Reconciliation, *, limit_percent: Decimal, at: datetime) -> list[Kept]:
    """What is to be kept."""
    over = result.over(limit_percent)
    services = [
        _kept(result, one.service, None, one.compared, at, estimated=one.estimated, over_limit=one in over)
        for one in result.services
    ]
    tenants = [
        _kept(result, one.service, one.tenant_id, one.compared, at, estimated=False, over_limit=one in over)
        for one in result.tenants
        if one.told
    ]
    return services + tenants


def encode(row: Kept) -> Item:
    """The item of a row, in DynamoDB's JSON."""
    item: Item = {
        _KEY: {"S": partition_key(row.first)},
        _SORT: {"S": f"{period_prefix(row.first, row.last)}{row.service}#{row.tenant_id or ''}"},
        TENANT_COST.ttl_attribute: {"N": str(int(row.reconciled_at.timestamp()) + _RETENTION_S)},
        "first": {"S": row.first.isoformat()},
        "last": {"S": row.last.isoformat()},
        "service": {"S": row.service},
        "residuals": {"M": {name: _number(usd) for name, usd in row.residuals.items()}},
        "estimated": {"BOOL": row.estimated},
        "over_limit": {"BOOL": row.over_limit},
        "open_hours": {"N": str(row.open_hours)},
        "reconciled_at": {"S": row.reconciled_at.isoformat()},
    }
    if row.tenant_id is not None:
        item["tenant_id"] = {"S": row.tenant_id}
    for name in _DECIMALS:
        item[name] = _number(getattr(row, name))
    return item


def decode(item: Mapping[str, Mapping[str, Any]]) -> Kept:
    """The row that an item holds. Raises TelemetryFault when it is none."""
    try:
        tenant = item.get("tenant_id")
        return Kept(
            first=date.fromisoformat(item["first"]["S"]),
            last=date.fromisoformat(item["last"]["S"]),
            service=item["service"]["S"],
            tenant_id=None if tenant is None else tenant["S"],
            residuals={name: Decimal(usd["N"]) for name, usd in item["residuals"]["M"].items()},
            estimated=item["estimated"]["BOOL"],
            over_limit=item["over_limit"]["BOOL"],
            open_hours=int(item["open_hours"]["N"]),
            reconciled_at=datetime.fromisoformat(item["reconciled_at"]["S"]).astimezone(UTC),
            **{name: Decimal(item[name]["N"]) for name in _DECIMALS},
        )
    except (KeyError, TypeError, ValueError, ArithmeticError):
        raise TelemetryFault("not a row of a reconciliation") from None


class ReconciliationStore:
    """The table behind an open client. Raises DynamoDbFault and DynamoDbUnavailable."""

    def __init__(self, dynamodb: DynamoDb, *, table: str = TENANT_COST.name) -> None:
        self._dynamodb = PatientDynamoDb(dynamodb, in_flight=IN_FLIGHT)
        self._table = table

    async def replace(self, first: date, last: date, rows: Sequence[Kept]) -> None:
        """Keep these rows of a period, and no others of it."""
        items = [encode(row) for row in rows]
        written = {item[_SORT]["S"] for item in items}
        known = await self._sort_keys(first, last)
        writes: list[dict[str, Any]] = [{"PutRequest": {"Item": item}} for item in items]
        writes += [
            {"DeleteRequest": {"Key": {_KEY: {"S": partition_key(first)}, _SORT: {"S": sort_key}}}}
            for sort_key in known
            if sort_key not in written
        ]
        await self._dynamodb.write(self._table, writes)

    async def read(self, month: date) -> list[Kept]:
        """All that is kept of a month, by period, service and tenant."""
        return [decode(item) for item in await self._query(partition_key(month), "")]

    async def _sort_keys(self, first: date, last: date) -> list[str]:
        items = await self._query(partition_key(first), period_prefix(first, last))
        return [item[_SORT]["S"] for item in items]

    async def _query(self, key: str, prefix: str) -> list[Item]:
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "#key = :key",
            "ExpressionAttributeNames": {"#key": _KEY},
            "ExpressionAttributeValues": {":key": {"S": key}},
            "ConsistentRead": True,
        }
        if prefix:
            request["KeyConditionExpression"] += " AND begins_with(#sort, :prefix)"
            request["ExpressionAttributeNames"] = _NAMES
            request["ExpressionAttributeValues"][":prefix"] = {"S": prefix}
        return [item async for page in self._dynamodb.pages(request) for item in page["Items"]]


def _kept(
    result: Reconciliation,
    service: str,
    tenant_id: str | None,
    compared: Compared,
    at: datetime,
    *,
    estimated: bool,
    over_limit: bool,
) -> Kept:
    return Kept(
        first=result.first,
        last=result.last,
        service=service,
        tenant_id=tenant_id,
        billed_usd=compared.billed_usd,
        usage_usd=compared.usage_usd,
        attributed_usd=compared.attributed_usd,
        error_percent=compared.error_percent.quantize(_PERCENT_DIGITS),
        gross_error_percent=compared.gross_error_percent.quantize(_PERCENT_DIGITS),
        residuals={str(name): usd for name, usd in compared.residuals.items()},
        estimated=estimated,
        over_limit=over_limit,
        open_hours=result.open_hours,
        reconciled_at=at,
    )


def _number(value: Decimal) -> dict[str, str]:
    return {"N": f"{value:f}"}


_DECIMALS: Final = ("billed_usd", "usage_usd", "attributed_usd", "error_percent", "gross_error_percent")
_PERCENT_DIGITS: Final = Decimal("0.000001")
