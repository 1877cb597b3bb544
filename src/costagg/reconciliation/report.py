"""A reconciliation to look at and for programs. Pure: a result in, what to print out.

Three tables: services, tenants that the bill names, and what differs, the largest first, by name.
"""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from costagg.reconciliation.results import (
    EXPLAINED,
    MEANING,
    NOT_TOLD,
    Compared,
    Finding,
    Reconciliation,
    ServiceResult,
    TenantResult,
)
from llmplatform.prices import DEFAULT_TIER

_CENT: Final = Decimal("0.01")
_NOTHING: Final = "-"


def as_tables(result: Reconciliation, *, limit_percent: Decimal, rows: int) -> RenderableType:
    """What an operator reads; of what differs, at most `rows` rows."""
    parts: list[RenderableType] = [
        Text(f"AWS's bill against what was attributed, {result.first} to {result.last}, in US dollars"),
        Text(),
        _services(result, limit_percent),
    ]
    if any(one.told for one in result.tenants):
        parts += [Text(), _tenants(result, limit_percent)]
    if result.findings:
        parts += [Text(), _findings(result.findings[:rows])]
    if (left := len(result.findings) - rows) > 0:
        parts.append(Text(f"{left} more, smaller ones: --rows or --json shows them"))
    parts += [Text(), *map(Text, _legend(result)), *(Text(f"note: {note}") for note in _notes(result))]
    parts.append(Text(verdict(result, limit_percent)))
    return Group(*parts)


def verdict(result: Reconciliation, limit_percent: Decimal) -> str:
    """One line: whether the limit holds, and for whom not."""
    over = result.over(limit_percent)
    if not over:
        return f"OK: no error is over {limit_percent} %"
    names = ", ".join(_name(one) for one in over)
    return f"OVER THE LIMIT of {limit_percent} %: {names}"


def as_document(result: Reconciliation, *, limit_percent: Decimal) -> dict[str, Any]:
    """The same for programs: money and percents are texts, so that no reader rounds them."""
    over = result.over(limit_percent)
    return {
        "first": result.first.isoformat(),
        "last": result.last.isoformat(),
        "limit_percent": str(limit_percent),
        "over_limit": bool(over),
        "open_hours": result.open_hours,
        "usage_types_version": result.usage_types_version,
        "notes": list(result.notes),
        "services": [
            {
                "service": one.service,
                "estimated": one.estimated,
                "over_limit": one in over,
                "unpriced_lines": one.unpriced_lines,
                "uncounted_requests": one.uncounted_requests,
                **_compared(one.compared),
            }
            for one in result.services
        ],
        "tenants": [
            {
                "service": one.service,
                "tenant_id": one.tenant_id,
                "over_limit": one in over,
                "told_by_the_bill": one.told,
                "not_told_usd": f"{one.not_told_usd:f}",
                **_compared(one.compared),
            }
            for one in result.tenants
        ],
        "findings": [
            {
                "service": one.service,
                "residual": one.residual,
                "about": one.about,
                "charge_class": one.charge_class,
                "service_tier": one.service_tier,
                "region": one.region,
                "endpoint_name": one.endpoint_name,
                "usage_types": list(one.usage_types),
                "usd": f"{one.usd:f}",
                "billed_quantity": None if one.billed_quantity is None else f"{one.billed_quantity:f}",
                "attributed_quantity": (
                    None if one.attributed_quantity is None else f"{one.attributed_quantity:f}"
                ),
                "first_day": one.first_day.isoformat(),
                "last_day": one.last_day.isoformat(),
                "days": one.days,
            }
            for one in result.findings
        ],
        "not_compared_usd": {code: f"{usd:f}" for code, usd in result.not_compared_usd.items()},
    }


def _compared(compared: Compared) -> dict[str, Any]:
    return {
        "billed_usd": f"{compared.billed_usd:f}",
        "usage_usd": f"{compared.usage_usd:f}",
        "attributed_usd": f"{compared.attributed_usd:f}",
        "difference_usd": f"{compared.difference_usd:f}",
        "error_percent": f"{compared.error_percent:.6f}",
        "gross_error_percent": f"{compared.gross_error_percent:.6f}",
        "residuals_usd": {name: f"{usd:f}" for name, usd in sorted(compared.residuals.items())},
    }


def _services(result: Reconciliation, limit_percent: Decimal) -> Table:
    table = _table(
        "service", "billed", "of it usage", "attributed", "difference", "error", "gross", "why", numbers=6
    )
    for one in result.services:
        compared = one.compared
        table.add_row(
            one.service,
            _usd(compared.billed_usd),
            _usd(compared.usage_usd),
            _usd(compared.attributed_usd),
            _signed(compared.difference_usd),
            "estimate" if one.estimated else _percent(compared.error_percent),
            "" if one.estimated else _percent(compared.gross_error_percent),
            _why(compared),
            style="red" if one.over(limit_percent) else None,
        )
    return table


def _tenants(result: Reconciliation, limit_percent: Decimal) -> Table:
    """Those that the bill names, with what it does not tell of them; of the others the sum alone."""
    table = _table(
        "tenant", "service", "usage billed", "attributed", "difference", "error", "not told", "why", numbers=5
    )
    table.columns[1].justify = "left"
    owners = Counter(one.service for one in result.tenants if one.not_told_usd)
    for one in result.tenants:
        if one.told:
            nobody = one.tenant_id == NOT_TOLD
            table.add_row(
                f"(not told, owners: {owners[one.service]})" if nobody else one.tenant_id,
                one.service,
                _usd(one.compared.usage_usd),
                _usd(one.compared.attributed_usd),
                _signed(one.compared.difference_usd),
                _percent(one.compared.error_percent),
                _usd(one.not_told_usd) if one.not_told_usd else "",
                _why(one.compared),
                style="red" if one.over(limit_percent) else None,
            )
    return table


def _findings(findings: Iterable[Finding]) -> Table:
    table = _table("difference", "billed", "attributed", "what differs", "of what", "on the bill as", "days")
    for column in table.columns[:3]:
        column.justify = "right"
    for one in findings:
        tier = "" if one.service_tier == DEFAULT_TIER else one.service_tier
        of_what = (one.service, one.about, one.charge_class, tier, one.region, one.endpoint_name)
        table.add_row(
            _signed(one.usd),
            _quantity(one.billed_quantity),
            _quantity(one.attributed_quantity),
            one.residual,
            " ".join(part for part in of_what if part),
            ", ".join(one.usage_types) or _NOTHING,
            str(one.first_day) if one.days == 1 else f"{one.first_day} to {one.last_day} ({one.days})",
        )
    return table


def _legend(result: Reconciliation) -> Iterable[str]:
    """What the reasons mean that are there."""
    there = {residual for one in result.services for residual in one.compared.residuals}
    return (f"{residual}: {meaning}" for residual, meaning in MEANING.items() if residual in there)


def _notes(result: Reconciliation) -> list[str]:
    notes = list(result.notes)
    if result.open_hours:
        notes.append(f"hours that are not closed: {result.open_hours}; what was attributed there may change")
    for one in result.services:
        if one.unpriced_lines:
            notes.append(f"{one.service}: {one.unpriced_lines} cost lines have no price")
        if one.uncounted_requests:
            notes.append(f"{one.service}: of {one.uncounted_requests} charges nobody knows the quantity")
    if result.not_compared_usd:
        others = ", ".join(f"{code} {_usd(usd)}" for code, usd in result.not_compared_usd.items())
        notes.append(f"also on the bill and not attributed: {others}")
    return notes


def _name(one: ServiceResult | TenantResult) -> str:
    percent = max(one.compared.error_percent, one.compared.gross_error_percent)
    if isinstance(one, ServiceResult):
        return f"{one.service} ({_percent(percent)})"
    return f"{one.tenant_id} on {one.service} ({_percent(one.compared.error_percent)})"


def _why(compared: Compared) -> str:
    """Residuals by size; those that the invoice itself explains last, in brackets."""
    shown = sorted(compared.residuals.items(), key=lambda one: (one[0] in EXPLAINED, -abs(one[1])))
    told = [
        f"({name} {_signed(usd)})" if name in EXPLAINED else f"{name} {_signed(usd)}"
        for name, usd in shown
        if abs(usd) >= _CENT
    ]
    small = [name for name, usd in shown if abs(usd) < _CENT]
    return "; ".join(told + ([f"below a cent: {', '.join(small)}"] if small else []))


def _table(*columns: str, numbers: int = 0) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for at, column in enumerate(columns):
        table.add_column(column, justify="right" if 0 < at <= numbers else "left", overflow="fold")
    return table


def _usd(value: Decimal) -> str:
    return f"{value:,.2f}"


def _signed(value: Decimal) -> str:
    return f"{value:+,.2f}" if abs(value) >= _CENT / 2 else "0.00"


def _percent(value: Decimal) -> str:
    return f"{value:.3f} %"


def _quantity(value: Decimal | None) -> str:
    return _NOTHING if value is None else f"{value:,.3f}".rstrip("0").rstrip(".")
