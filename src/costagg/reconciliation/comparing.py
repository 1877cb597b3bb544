"""The comparison: a bill, what was attributed, and the error with its reasons. Pure.

Every service's residuals add up to what was billed of it less what was attributed, to the smallest unit; so
do a tenant's. Credits, tax and fees are named and are no error of the attribution.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal, localcontext
from typing import Final

from costagg.reconciliation.charges import USAGE, Bill, Charge, ItemKind
from costagg.reconciliation.matching import Cell, CellKey, Cells
from costagg.reconciliation.residuals import Attributed, Billed, residuals_of
from costagg.reconciliation.results import (
    NOT_TOLD,
    Compared,
    Finding,
    Reconciliation,
    Residual,
    ServiceResult,
    TenantResult,
)
from costagg.reconciliation.usage_types import UsageTypes
from llmplatform.costs import CostLine

_DIGITS: Final = 60
"""Sums are exact: a bill's amounts have 38 digits."""

_NAMED: Final[Mapping[ItemKind, Residual]] = {
    "credits_and_discounts": "credits_and_discounts",
    "tax": "tax",
    "fees": "fees",
    "unknown": "unmapped_usage_type",
}


@dataclass(slots=True)
class _Sums:
    """What becomes a `Compared`."""

    named_usd: Decimal = Decimal(0)
    usage_usd: Decimal = Decimal(0)
    attributed_usd: Decimal = Decimal(0)
    gross_usd: Decimal = Decimal(0)
    residuals: defaultdict[Residual, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def compare(self, billed: Billed, attributed: Attributed, parts: Mapping[Residual, Decimal]) -> None:
        """Take a cell in."""
        self.usage_usd += billed.usd
        self.attributed_usd += attributed.usd
        self.gross_usd += abs(billed.usd - attributed.usd)
        for residual, usd in parts.items():
            self.residuals[residual] += usd

    def name(self, residual: Residual, usd: Decimal, *, usage: bool) -> None:
        """Take a charge in that is in no cell."""
        self.residuals[residual] += usd
        if usage:
            self.usage_usd += usd
            self.gross_usd += abs(usd)
        else:
            self.named_usd += usd

    def compared(self) -> Compared:
        """The result."""
        return Compared(
            self.usage_usd + self.named_usd,
            self.usage_usd,
            self.attributed_usd,
            self.gross_usd,
            {residual: usd for residual, usd in self.residuals.items() if usd},
        )


@dataclass(slots=True)
class _Service(_Sums):
    estimated: bool = False
    unpriced_lines: int = 0
    uncounted_requests: int = 0


@dataclass(frozen=True, slots=True)
class _About:
    """What findings of several days are added up by."""

    service: str
    residual: Residual
    about: str
    charge_class: str
    service_tier: str
    region: str
    endpoint_name: str | None


@dataclass(slots=True)
class _Found:
    usd: Decimal = Decimal(0)
    billed: Decimal | None = None
    attributed: Decimal | None = None
    usage_types: set[str] = field(default_factory=set)
    days: set[date] = field(default_factory=set)

    def count(self, billed: Decimal, attributed: Decimal | None) -> None:
        """Take quantities in; None where it is not on that side."""
        self.billed = (self.billed or Decimal(0)) + billed
        if attributed is not None:
            self.attributed = (self.attributed or Decimal(0)) + attributed


def reconcile(
    bill: Bill,
    lines: Iterable[CostLine],
    *,
    first: date,
    last: date,
    usage_types: UsageTypes,
    open_days: Mapping[date, int] | None = None,
) -> Reconciliation:
    """The bill of the days from the first to the last, both included, against the cost lines of these days.

    `open_days` has the number of hours that are not closed, by day.
    """
    cells = Cells(usage_types)
    cells.attribute(lines)
    return reconcile_cells(bill, cells, first=first, last=last, usage_types=usage_types, open_days=open_days)


def reconcile_cells(
    bill: Bill,
    cells: Cells,
    *,
    first: date,
    last: date,
    usage_types: UsageTypes,
    open_days: Mapping[date, int] | None = None,
) -> Reconciliation:
    """The same for cost lines that are in cells already: a month of them need never be held at once."""
    opened = open_days or {}
    with localcontext(prec=_DIGITS):
        comparison = _Comparison(usage_types, cells, frozenset(opened))
        for charge in bill.charges:
            comparison.take(charge)
        comparison.compare()
    return Reconciliation(
        first=first,
        last=last,
        services=comparison.services(),
        tenants=comparison.tenants(),
        findings=comparison.findings(),
        not_compared_usd=dict(sorted(comparison.not_compared.items())),
        open_hours=sum(opened.values()),
        notes=(*bill.notes, *_late(bill, first, last)),
        usage_types_version=usage_types.version,
    )


class _Comparison:
    def __init__(self, usage_types: UsageTypes, cells: Cells, open_days: frozenset[date]) -> None:
        self._usage_types = usage_types
        self._cells = cells
        self._open_days = open_days
        self._services: defaultdict[str, _Service] = defaultdict(_Service)
        self._tenants: defaultdict[tuple[str, str], _Sums] = defaultdict(_Sums)
        self._not_told: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
        self._found: defaultdict[_About, _Found] = defaultdict(_Found)
        self.not_compared: defaultdict[str, Decimal] = defaultdict(Decimal)

    def take(self, charge: Charge) -> None:
        """Put a charge where it belongs."""
        service = self._usage_types.service_of(charge)
        if service is None:
            self.not_compared[charge.product_code] += charge.cost_usd + charge.discount_usd
            return
        if (what := self._usage_types.left_out_as(charge)) is not None:
            self.not_compared[f"{service} ({what})"] += charge.cost_usd + charge.discount_usd
            return
        if charge.discount_usd:
            self._services[service].name("credits_and_discounts", charge.discount_usd, usage=False)
        if charge.kind != USAGE:
            usage = charge.kind == "unknown"
            self._services[service].name(_NAMED[charge.kind], charge.cost_usd, usage=usage)
            if usage:
                self._unmapped(service, charge, f"line item type {charge.item_type}")
        elif not self._cells.bill(charge):
            self._services[service].name("unmapped_usage_type", charge.cost_usd, usage=True)
            self._unmapped(service, charge, charge.usage_type)

    def compare(self) -> None:
        """Compare every cell, as a whole and by tenant."""
        for key, cell in self._cells.cells.items():
            billed, attributed = cell.whole()
            parts = self._parts(key, billed, attributed)
            service = self._services[key.meter.service]
            service.compare(billed, attributed, parts)
            service.estimated = service.estimated or key.meter.estimated
            service.unpriced_lines += attributed.unpriced_lines
            service.uncounted_requests += attributed.uncounted
            for residual, usd in parts.items():
                found = self._found_at(key, residual)
                found.usd += usd
                found.usage_types |= cell.usage_types
                found.days.add(key.day)
                if not key.meter.estimated:
                    found.count(billed.quantity, attributed.quantity + attributed.unpriced)
            self._compare_tenants(key, cell)

    def services(self) -> tuple[ServiceResult, ...]:
        """By name."""
        return tuple(
            ServiceResult(name, sums.compared(), sums.estimated, sums.unpriced_lines, sums.uncounted_requests)
            for name, sums in sorted(self._services.items())
        )

    def tenants(self) -> tuple[TenantResult, ...]:
        """By service and tenant."""
        keys = sorted({*self._tenants, *self._not_told})
        return tuple(
            TenantResult(*key, self._tenants[key].compared(), self._not_told.get(key, Decimal(0)))
            for key in keys
        )

    def findings(self) -> tuple[Finding, ...]:
        """The largest first."""
        made = [
            Finding(
                about.service,
                about.residual,
                about.about,
                about.charge_class,
                about.service_tier,
                about.region,
                about.endpoint_name,
                tuple(sorted(found.usage_types)),
                found.usd,
                found.billed,
                found.attributed,
                min(found.days),
                max(found.days),
                len(found.days),
            )
            for about, found in self._found.items()
        ]
        return tuple(sorted(made, key=lambda one: (-abs(one.usd), one.service, one.about, one.residual)))

    def _parts(self, key: CellKey, billed: Billed, attributed: Attributed) -> dict[Residual, Decimal]:
        return residuals_of(
            billed, attributed, estimated=key.meter.estimated, open_day=key.day in self._open_days
        )

    def _compare_tenants(self, key: CellKey, cell: Cell) -> None:
        service = key.meter.service
        if key.meter.estimated:
            return
        named, rest, not_told = cell.by_tenant()
        for tenant, (billed, attributed) in named.items():
            self._tenants[service, tenant].compare(billed, attributed, self._parts(key, billed, attributed))
        billed, attributed = rest
        if billed.rows or attributed.lines:
            self._tenants[service, NOT_TOLD].compare(billed, attributed, self._parts(key, billed, attributed))
        for tenant in not_told:
            self._not_told[service, tenant] += cell.attributed[tenant].usd

    def _found_at(self, key: CellKey, residual: Residual) -> _Found:
        meter = key.meter
        about = _About(
            meter.service,
            residual,
            meter.about,
            meter.charge_class,
            meter.service_tier,
            meter.region,
            key.endpoint_name,
        )
        return self._found[about]

    def _unmapped(self, service: str, charge: Charge, about: str) -> None:
        found = self._found[
            _About(
                service,
                "unmapped_usage_type",
                about,
                charge.product_name or charge.pricing_unit,
                "",
                charge.region,
                charge.endpoint_name,
            )
        ]
        found.usd += charge.cost_usd
        found.usage_types.add(charge.usage_type)
        found.count(charge.amount, None)
        found.days.add(charge.day)


def _late(bill: Bill, first: date, last: date) -> tuple[str, ...]:
    """A bill comes up to a day late: days that it lacks look as if only we knew them."""
    if bill.last_day is None:
        return (f"the bill has no line item from {first} to {last}",)
    if bill.last_day < last:
        missing = (last - bill.last_day) // timedelta(days=1)
        return (f"the bill ends on {bill.last_day}: {missing} of the days asked for are not on it yet",)
    return ()
