"""What was spent: a line per tenant, hour and kind of charge, and the status of an hour.

The cost job writes them, the billing API, exports and views read them: table `tenant-cost`, key
`tenant_id#date` / line. Two owners are no tenants: `_unused` has the capacity that was paid for and used by
nobody, `_platform` what the platform itself spends. Money is exact: the smallest unit is `SMALLEST_USD`, and
what is unknown is None, never 0. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, Literal, cast

from llmplatform.aws.tables import TENANT_COST
from llmplatform.errors import TelemetryFault

Item = dict[str, dict[str, Any]]
"""An item in DynamoDB's JSON: attribute name to `{type: value}`."""

UNUSED: Final = "_unused"
PLATFORM: Final = "_platform"
STATUS: Final = "_status"
"""Owner of the hours' status rows."""

SMALLEST_USD: Final = Decimal("1E-12")
"""One token at a price of a millionth of a dollar per million: no token amount is ever rounded."""

Layer = Literal["inference", "observability-layer"]
"""What it was spent for; the second is the billing tag of everything that watches the first."""
INFERENCE_LAYER: Final = "inference"
OBSERVABILITY_LAYER: Final = "observability-layer"

ChargeClass = Literal["input", "output", "cache_read", "cache_write", "cache_write_1h", "instance", "service"]
"""A token class, an instance's hours, or units of a service that the platform itself uses."""

ComputedFrom = Literal["request-ledger", "cloudwatch-metrics"]
"""Where an hour's usage was read: the second only where the first could not be had."""

HourState = Literal["open", "closed"]

_KEY: Final = TENANT_COST.partition_key.name
_SORT: Final = TENANT_COST.sort_key.name
_TTL: Final = TENANT_COST.ttl_attribute
_RETENTION_S: Final = TENANT_COST.retention_days * 86_400
_NONE: Final = "-"


@dataclass(frozen=True, slots=True)
class CostLine:
    """One kind of charge of one owner in one hour. `key` tells lines of an owner and day apart."""

    tenant_id: str
    """Or `_unused`, `_platform`."""
    hour: datetime
    """Its start, UTC."""
    layer: Layer
    service: str
    """AWS's product code: `AmazonBedrock`, `AmazonSageMaker`, `AmazonDynamoDB`."""
    endpoint_type: str | None
    """`bedrock`, `sagemaker`; None for what serves no model."""
    model_id: str | None
    """The public name."""
    endpoint_name: str | None
    price_key: str
    """Base model and routing scope, instance type, or the name of a service's unit."""
    region: str
    service_tier: str
    charge_class: ChargeClass
    unit: str
    """What `quantity` counts: `tokens`, `instance-hours`, a unit of a service."""
    quantity: Decimal | None
    """None where it was used and nobody knows how much."""
    unit_price_usd: Decimal | None
    """For one unit; None where no price is known."""
    amount_usd: Decimal | None
    """None as soon as one of the two is."""
    requests: int
    """Calls of a model that are in it."""
    usage_source: str
    """Where `quantity` comes from: a `UsageSource`, `metered`, `described` or `estimated`."""
    computed_from: ComputedFrom
    allocation_method: str
    """How it came to this owner, with a version: `direct/1`."""
    price_version: str
    tokens: int | None = None
    """Of an instance's hours: prompt and output tokens of the calls in it, as far as they are known."""

    @property
    def key(self) -> str:
        """The sort key: what a line is about, its hour first."""
        about = (
            self.layer,
            self.endpoint_type or _NONE,
            self.model_id or _NONE,
            self.endpoint_name or _NONE,
            self.service,
            self.price_key,
            self.region,
            self.service_tier,
            self.charge_class,
            self.usage_source,
        )
        return "#".join((f"{self.hour:%H}", *map(_quoted, about)))


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A line and the run that wrote it."""

    line: CostLine
    run: int


@dataclass(frozen=True, slots=True)
class HourStatus:
    """What is known of an hour's cost. Only lines of `run` hold."""

    hour: datetime
    state: HourState
    claimed_run: int
    """The run that computed it last or is doing so."""
    run: int
    """The run whose lines are whole; 0 before the first."""
    computed_at: datetime | None = None
    computed_from: ComputedFrom = "request-ledger"
    ledger_rows: int | None = None
    amounts_usd: Mapping[str, Decimal | None] = field(default_factory=dict)
    """By owner that has lines, also `_unused` and `_platform`, what is known; None where nothing is."""
    unpriced_lines: int = 0
    """Lines of which the quantity is known and the price is not."""
    uncounted_requests: int = 0
    """Calls that may be billed and of which nobody knows how much was used."""
    price_version: str = ""
    client_tokens: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By tenant, prompt and output tokens of its own requests, as far as they are known."""

    @property
    def owners(self) -> tuple[str, ...]:
        """Owners that have lines."""
        return tuple(sorted(self.amounts_usd))

    @property
    def total_usd(self) -> Decimal:
        """Of all lines, as far as it is known."""
        return sum((amount for amount in self.amounts_usd.values() if amount is not None), Decimal(0))

    @property
    def closed(self) -> bool:
        """Whether it changes no more: closed, and no later run has begun."""
        return self.state == "closed" and self.claimed_run == self.run

    def shows(self, stored: StoredLine) -> bool:
        """Whether a line counts: written by the run that is whole; one that is at it shows when it is."""
        return 0 < self.run == stored.run


def amounts_by_owner(lines: Iterable[CostLine]) -> dict[str, Decimal | None]:
    """What is known of each owner's lines; None where nothing is."""
    amounts: dict[str, Decimal | None] = {}
    for line in lines:
        before = amounts.setdefault(line.tenant_id, None)
        if line.amount_usd is not None:
            amounts[line.tenant_id] = line.amount_usd if before is None else before + line.amount_usd
    return amounts


def partition_key(tenant_id: str, day: date) -> str:
    """Partition key of an owner's UTC day."""
    return f"{tenant_id}#{day.isoformat()}"


def status_key(hour: datetime) -> Item:
    """Key of an hour's status row."""
    return {_KEY: {"S": partition_key(STATUS, hour.date())}, _SORT: {"S": f"{hour:%H}"}}


def beginning_key() -> Item:
    """Key of the row whose `hour` is the first that was ever computed: before it there was no platform."""
    return {_KEY: {"S": STATUS}, _SORT: {"S": "beginning"}}


def line_key(line: CostLine, run: int) -> Item:
    """Key of a line's row: each run has its own, so that none takes away what readers have."""
    return {
        _KEY: {"S": partition_key(line.tenant_id, line.hour.date())},
        _SORT: {"S": f"{line.key}#{run}"},
    }


def encode_line(line: CostLine, run: int) -> Item:
    """The row of a line, in DynamoDB's JSON; what is unknown is absent."""
    item = line_key(line, run) | {
        _TTL: {"N": str(int(line.hour.timestamp()) + _RETENTION_S)},
        "run": {"N": str(run)},
        "tenant_id": {"S": line.tenant_id},
        "hour": {"S": line.hour.isoformat()},
        "requests": {"N": str(line.requests)},
    }
    for name in _TEXTS:
        if (text := getattr(line, name)) is not None:
            item[name] = {"S": text}
    for name in _DECIMALS:
        if (number := getattr(line, name)) is not None:
            item[name] = {"N": f"{number:f}"}
    if line.tokens is not None:
        item["tokens"] = {"N": str(line.tokens)}
    return item


def decode_line(item: Mapping[str, Mapping[str, Any]]) -> StoredLine:
    """The line that an item holds. Raises TelemetryFault when it is no cost line."""
    try:
        texts = {name: item[name]["S"] if name in item else None for name in _TEXTS}
        decimals = {name: Decimal(item[name]["N"]) if name in item else None for name in _DECIMALS}
        line = CostLine(
            tenant_id=item["tenant_id"]["S"],
            hour=datetime.fromisoformat(item["hour"]["S"]).astimezone(UTC),
            requests=int(item["requests"]["N"]),
            tokens=int(item["tokens"]["N"]) if "tokens" in item else None,
            **cast("Any", texts),
            **cast("Any", decimals),
        )
        return StoredLine(line, int(item["run"]["N"]))
    except (KeyError, TypeError, ValueError, ArithmeticError):
        raise TelemetryFault("not a cost line") from None


def encode_status(status: HourStatus) -> Item:
    """The row of an hour's status, in DynamoDB's JSON."""
    item: Item = status_key(status.hour) | {
        _TTL: {"N": str(int(status.hour.timestamp()) + _RETENTION_S)},
        "hour": {"S": status.hour.isoformat()},
        "state": {"S": status.state},
        "claimed_run": {"N": str(status.claimed_run)},
        "run": {"N": str(status.run)},
        "computed_from": {"S": status.computed_from},
        "amounts_usd": {
            "M": {
                owner: {"NULL": True} if amount is None else {"N": f"{amount:f}"}
                for owner, amount in status.amounts_usd.items()
            }
        },
        "unpriced_lines": {"N": str(status.unpriced_lines)},
        "uncounted_requests": {"N": str(status.uncounted_requests)},
        "price_version": {"S": status.price_version},
        "client_tokens": {
            "M": {
                tenant: {"L": [{"N": str(count)} for count in counts]}
                for tenant, counts in status.client_tokens.items()
            }
        },
    }
    if status.computed_at is not None:
        item["computed_at"] = {"S": status.computed_at.isoformat()}
    if status.ledger_rows is not None:
        item["ledger_rows"] = {"N": str(status.ledger_rows)}
    return item


def decode_status(item: Mapping[str, Mapping[str, Any]]) -> HourStatus:
    """The status that an item holds; one that was only claimed yet has defaults. Raises TelemetryFault."""
    try:
        computed_at = item.get("computed_at")
        ledger_rows = item.get("ledger_rows")
        return HourStatus(
            hour=datetime.fromisoformat(item["hour"]["S"]).astimezone(UTC),
            state=cast("HourState", item.get("state", {"S": "open"})["S"]),
            claimed_run=int(item["claimed_run"]["N"]),
            run=int(item.get("run", {"N": "0"})["N"]),
            computed_at=None if computed_at is None else datetime.fromisoformat(computed_at["S"]),
            computed_from=cast("ComputedFrom", item.get("computed_from", {"S": "request-ledger"})["S"]),
            ledger_rows=None if ledger_rows is None else int(ledger_rows["N"]),
            amounts_usd={
                owner: Decimal(amount["N"]) if "N" in amount else None
                for owner, amount in item.get("amounts_usd", {"M": {}})["M"].items()
            },
            unpriced_lines=int(item.get("unpriced_lines", {"N": "0"})["N"]),
            uncounted_requests=int(item.get("uncounted_requests", {"N": "0"})["N"]),
            price_version=item.get("price_version", {"S": ""})["S"],
            client_tokens={
                tenant: (int(counts["L"][0]["N"]), int(counts["L"][1]["N"]))
                for tenant, counts in item.get("client_tokens", {"M": {}})["M"].items()
            },
        )
    except (LookupError, TypeError, ValueError, ArithmeticError):
        raise TelemetryFault("not the status of an hour") from None


_TEXTS: Final = (
    "layer",
    "service",
    "endpoint_type",
    "model_id",
    "endpoint_name",
    "price_key",
    "region",
    "service_tier",
    "charge_class",
    "unit",
    "usage_source",
    "computed_from",
    "allocation_method",
    "price_version",
)
_DECIMALS: Final = ("quantity", "unit_price_usd", "amount_usd")


def _quoted(part: str) -> str:
    """A part of a key without the separator: what a backend named may hold one, and is to be billed too."""
    return part.replace("%", "%25").replace("#", "%23")
