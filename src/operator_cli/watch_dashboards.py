"""`llm-platform watch dashboards ...`: planned, applied and exported; the work is elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from operator_cli.connection import connect_aws

# Rooms that bring the AWS SDK and Grafana's are imported by their command: a second less for --help.

dashboards = typer.Typer(
    no_args_is_help=True,
    help="Dashboards for Grafana: what there should be, put there, or written as files.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dashboards.command("plan")
def plan_() -> None:
    """Show what `watch dashboards apply` would do, and change nothing.

    Example: llm-platform watch dashboards plan
    """
    from operator_cli.watch_grafana import run_plan  # noqa: PLC0415

    run_plan(region=connect_aws())


@dashboards.command()
def apply(*, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Make Grafana's dashboards what they should be: five kinds, and one for each tenant in its own folder.

    GRAFANA_URL names the workspace, GRAFANA_TOKEN is the token of a service account with the role Editor.
    Shows the plan first; what does not have our tag and uid is not touched. Exit status 1 while a tenant has
    no dashboard.

    Example: llm-platform watch dashboards apply --yes
    """
    from operator_cli.watch_grafana import run_apply  # noqa: PLC0415

    if not run_apply(region=connect_aws(), yes=yes):
        raise typer.Exit(1)


@dashboards.command()
def export(
    *,
    folder: Annotated[
        Path, typer.Option("--dir", file_okay=False, help="The folder to write; made if it is not there.")
    ],
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where Grafana reaches CloudWatch, if that is not AWS: a sandbox."),
    ] = None,
) -> None:
    """Write the dashboards as files, for a Grafana that reads them from its provisioning folder.

    Example: llm-platform watch dashboards export --dir grafana --endpoint http://sandbox:4566
    """
    from operator_cli.watch_grafana import run_export  # noqa: PLC0415

    run_export(folder, region=connect_aws(), endpoint=endpoint)
