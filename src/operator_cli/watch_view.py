"""How a plan and what became of it look, on a terminal and for programs."""

from decimal import Decimal
from typing import Any, Final

from rich.table import Table

from operator_cli.console import ERR, OUT, print_table
from watch.alarming.applying import Applied, Planned
from watch.alarming.counting import Standing

_MOST: Final = 40
"""Names of one kind that are listed; the rest are counted."""


def show_plan(planned: Planned) -> None:
    """Print what is to be done, what there is then, and what it costs."""
    plan = planned.plan
    _list("+", "green", [definition.name for definition in plan.create])
    _list("~", "yellow", [f"{one.definition.name}  ({', '.join(one.changed)})" for one in plan.update])
    _list("-", "red", [alarm.name for alarm in plan.remove])
    for refusal in plan.refused:
        OUT.print(f"[red]![/red] {refusal.name}: {refusal.reason}; it is not touched")
    for name in plan.muted:
        OUT.print(f"  {name} is muted: its actions are disabled, and stay so", markup=False)
    for tenant, problem in planned.seen.broken.items():
        OUT.print(f"  tenant {tenant} keeps the alarms that it has: {problem}", markup=False)
    OUT.print(
        f"{len(plan.create)} to make, {len(plan.update)} to change, {len(plan.remove)} to remove, "
        f"{len(plan.unchanged)} as they should be"
    )
    _show_standing(planned.standing)
    for problem in planned.over:
        OUT.print(f"[red]over budget:[/red] {problem}")


def show_applied(applied: Applied) -> None:
    """Print what was done."""
    OUT.print(f"{applied.created} made, {applied.updated} changed, {applied.removed} removed")
    if applied.throttled:
        ERR.print(f"[dim]CloudWatch throttled {applied.throttled} calls, which were made again[/dim]")
    for name, problem in applied.failed:
        OUT.print(f"[red]failed[/red] {name}: {problem}")


def plan_facts(planned: Planned) -> dict[str, Any]:
    """The same for programs. Amounts are exact decimals as text."""
    plan, stands = planned.plan, planned.standing
    return {
        "create": [definition.name for definition in plan.create],
        "update": {one.definition.name: list(one.changed) for one in plan.update},
        "remove": [alarm.name for alarm in plan.remove],
        "unchanged": len(plan.unchanged),
        "refused": {refusal.name: refusal.reason for refusal in plan.refused},
        "muted": list(plan.muted),
        "broken_tenants": dict(planned.seen.broken),
        "alarms": {
            "total": stands.alarms.total,
            "standard": stands.alarms.standard,
            "high_resolution": stands.alarms.high_resolution,
            "composite": stands.alarms.composite,
            "anomaly_bands": stands.alarms.bands,
            "by_scope": dict(stands.alarms.by_scope or {}),
        },
        "series": dict(stands.series),
        "usd_per_month": {
            line.what: None if line.amount_usd is None else str(line.amount_usd) for line in stands.lines
        },
        "known_usd_per_month": str(stands.known_usd),
        "over_budget": list(planned.over),
    }


def _show_standing(stands: Standing) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("then there are")
    table.add_column("number", justify="right")
    table.add_column("USD a month", justify="right")
    for line in stands.lines:
        if line.quantity:
            table.add_row(line.what, f"{line.quantity:,}", _usd(line.amount_usd))
    at_least = "at least " if stands.unpriced else ""
    table.add_row("in all", "", f"{at_least}{stands.known_usd:,.2f}")
    print_table(table)


def _list(mark: str, colour: str, names: list[str]) -> None:
    for name in names[:_MOST]:
        OUT.print(f"[{colour}]{mark}[/{colour}] ", end="")
        OUT.print(name, markup=False)
    if len(names) > _MOST:
        OUT.print(f"[{colour}]{mark}[/{colour}] and {len(names) - _MOST} more")


def _usd(amount: Decimal | None) -> str:
    return "unpriced" if amount is None else f"{amount:,.2f}"
