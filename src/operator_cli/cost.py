"""`llm-platform cost`: what was spent, by everybody or by one tenant; the work is elsewhere."""

import re
from typing import Annotated, Final, Literal

import typer

from operator_cli.connection import connect_aws

By = Literal["model", "class", "day"]
Format = Literal["table", "json", "csv"]

_OWNER: Final = re.compile(r"_unused|_platform|[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?")
_MONTH: Final = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])")
MAX_DAYS: Final = 366


def _owner(text: str | None) -> str | None:
    if text is not None and not _OWNER.fullmatch(text):
        raise typer.BadParameter("a tenant's id, or _unused or _platform")
    return text


def _month(text: str | None) -> str | None:
    if text is not None and not _MONTH.fullmatch(text):
        raise typer.BadParameter("give a month as 2026-11")
    return text


def cost(
    tenant: Annotated[
        str | None,
        typer.Argument(
            metavar="TENANT", callback=_owner, help="Whose; everybody's if not given.", show_default=False
        ),
    ] = None,
    *,
    month: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM", callback=_month, help="A month of UTC; this one if not given."),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_DAYS, help="The last so many days instead, today included."),
    ] = None,
    by: Annotated[By, typer.Option(help="What to tell a tenant's cost by.")] = "model",
    as_json: Annotated[bool, typer.Option("--json", help="The same for programs.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="The same for spreadsheets, amounts exact.")] = False,
) -> None:
    """Show what was spent: by every tenant, by nobody (_unused) and by the platform itself (_platform).

    With a tenant: its models with quantities, unit prices and amounts, and a chart of dollars per day (per
    hour of a single day). An amount is `open` while its hours may change: rows come late. What nobody knows
    the price or the quantity of is `unpriced`, and never a zero; the rest of it is then told as "at least".

    Example: llm-platform cost acme --month 2026-11
    """
    from operator_cli.cost_reading import Asked, run_cost  # noqa: PLC0415

    if month is not None and days is not None:
        raise typer.BadParameter("give --month or --days, not both")
    if as_json and as_csv:
        raise typer.BadParameter("give --json or --csv, not both")
    form: Format = "json" if as_json else "csv" if as_csv else "table"
    run_cost(Asked(tenant, month, days, by), region=connect_aws(), form=form)
