"""What a reconciliation found: per service, per tenant and per meter, with residuals that add up. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, Literal

Residual = Literal[
    "price",
    "quantity",
    "only_on_bill",
    "only_attributed",
    "unpriced",
    "uncounted",
    "unmapped_usage_type",
    "open_hours",
    "estimate",
    "rounding",
    "credits_and_discounts",
    "tax",
    "fees",
]
"""Why the bill and we differ."""

DEFAULT_LIMIT_PERCENT: Final = Decimal(2)

MEANING: Final[Mapping[Residual, str]] = {
    "price": "same quantity, another price",
    "quantity": "another quantity at the bill's price",
    "only_on_bill": "billed and not attributed at all",
    "only_attributed": "attributed and not billed",
    "unpriced": "our price table has no price for it",
    "uncounted": "calls of which nobody knew how much they used",
    "unmapped_usage_type": "usage type that usage_types.toml does not know",
    "open_hours": "the bill has more on days with hours that are not closed",
    "estimate": "the platform's own use, which is estimated",
    "rounding": "AWS rounds at ten decimals",
    "credits_and_discounts": "credits, refunds, discounts, savings plans",
    "tax": "tax",
    "fees": "fees",
}
EXPLAINED: Final[tuple[Residual, ...]] = ("credits_and_discounts", "tax", "fees")
"""Named on the invoice itself: no error of the attribution."""

NOT_TOLD: Final = "_not_told"
"""In the place of a tenant: what the bill lays to nobody's account, and those whom it does not name."""

LEAST_USD: Final = Decimal("0.01")
"""A difference below a cent is over no limit, whatever it is in percent: AWS bills cents."""

_HUNDRED: Final = Decimal(100)


@dataclass(frozen=True, slots=True)
class Compared:
    """Two sums over the same usage. `residuals` adds up to `billed_usd - attributed_usd` exactly."""

    billed_usd: Decimal
    """All charges, credits and tax among them."""
    usage_usd: Decimal
    """Usage charges alone: what attribution is held against."""
    attributed_usd: Decimal
    """As far as it is priced."""
    gross_usd: Decimal
    """The differences of all cells without their signs: what hides in `difference_usd`."""
    residuals: Mapping[Residual, Decimal]
    """Positive: the bill has more. Those of no amount are absent."""

    @property
    def difference_usd(self) -> Decimal:
        """What usage was billed beyond what was attributed."""
        return self.usage_usd - self.attributed_usd

    @property
    def error_percent(self) -> Decimal:
        """The difference over the usage billed; 100 where nothing was billed and something attributed."""
        return _percent(abs(self.difference_usd), self.usage_usd)

    @property
    def gross_error_percent(self) -> Decimal:
        """The same of `gross_usd`: never less than `error_percent`."""
        return _percent(self.gross_usd, self.usage_usd)


@dataclass(frozen=True, slots=True)
class ServiceResult:
    """A service: everything that was billed of it, and everything attributed."""

    service: str
    compared: Compared
    estimated: bool
    """Our side is an estimate: it is shown and held to no limit."""
    unpriced_lines: int
    uncounted_requests: int

    def over(self, limit_percent: Decimal) -> bool:
        """Whether its error, net or gross, is over a limit."""
        return not self.estimated and (
            _over(self.compared.error_percent, abs(self.compared.difference_usd), limit_percent)
            or _over(self.compared.gross_error_percent, self.compared.gross_usd, limit_percent)
        )


@dataclass(frozen=True, slots=True)
class TenantResult:
    """A tenant of a service, as far as the bill names tenants; `NOT_TOLD` is all the rest."""

    service: str
    tenant_id: str
    compared: Compared
    not_told_usd: Decimal
    """Attributed to the tenant where the bill does not say whose it is: in `NOT_TOLD`, not in `compared`."""

    @property
    def told(self) -> bool:
        """Whether the bill knows anything of the tenant."""
        return bool(self.compared.usage_usd or self.compared.attributed_usd)

    def over(self, limit_percent: Decimal) -> bool:
        """Whether its error is over a limit; what the bill lays to nobody's account is judged by service."""
        return self.tenant_id != NOT_TOLD and _over(
            self.compared.error_percent, abs(self.compared.difference_usd), limit_percent
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason at one meter, over all days."""

    service: str
    residual: Residual
    about: str
    charge_class: str
    service_tier: str
    region: str
    endpoint_name: str | None
    usage_types: tuple[str, ...]
    """As the bill spells it; empty where it is not on the bill."""
    usd: Decimal
    """Positive: the bill has more."""
    billed_quantity: Decimal | None
    attributed_quantity: Decimal | None
    first_day: date
    last_day: date
    days: int


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The bill of a period against what was attributed in it."""

    first: date
    last: date
    services: tuple[ServiceResult, ...]
    tenants: tuple[TenantResult, ...]
    findings: tuple[Finding, ...]
    """The largest first."""
    not_compared_usd: Mapping[str, Decimal]
    """What is on the bill and never attributed, by product code or by what it is."""
    open_hours: int
    """Hours of the period that are not closed: what was attributed there may change."""
    notes: tuple[str, ...]
    usage_types_version: str

    def over(self, limit_percent: Decimal) -> tuple[ServiceResult | TenantResult, ...]:
        """Services and tenants whose error is over a limit."""
        return (
            *(service for service in self.services if service.over(limit_percent)),
            *(tenant for tenant in self.tenants if tenant.over(limit_percent)),
        )


def _percent(part: Decimal, whole: Decimal) -> Decimal:
    if part == 0:
        return Decimal(0)
    return part * _HUNDRED / whole if whole > 0 else _HUNDRED


def _over(percent: Decimal, usd: Decimal, limit_percent: Decimal) -> bool:
    return usd >= LEAST_USD and percent > limit_percent
