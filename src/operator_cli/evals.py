"""`llm-platform evals ...`: scores of sampled answers, and what is done with them; the work is elsewhere."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from typer.core import TyperGroup

from llmplatform import ids
from llmplatform.evaluations import DIMENSIONS
from llmplatform.ids import TenantId
from operator_cli.connection import connect_aws
from operator_cli.evals_times import HELP, When, parse_when

# Rooms that bring the AWS SDK, Parquet or the worker are imported by their command: a second less for --help.


class TenantByDefault(TyperGroup):
    """A group whose first word is a tenant where it is no command: `evals acme` is `evals tenant acme`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See TyperGroup; options before the tenant are the tenant's."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["tenant", *args]
        return super().parse_args(ctx, args)


evals = typer.Typer(
    cls=TenantByDefault,
    no_args_is_help=True,
    subcommand_metavar="TENANT | COMMAND [ARGS]...",
    help="Scores of a tenant's answers: llm-platform evals TENANT. The commands below do the rest.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

A_DAY: Final = When("24h", ago=timedelta(hours=24))
A_WEEK: Final = When("7d", ago=timedelta(days=7))


def _when(text: str) -> When:
    try:
        return parse_when(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _tenant(text: str | None) -> TenantId | None:
    if text is None:
        return None
    tenant = ids.tenant_id(text)
    if tenant is None:
        raise typer.BadParameter(
            f"{text!r} is no command, and no tenant: an id is 1 to 48 lower-case letters, digits and dashes"
        )
    return tenant


def _dimension(text: str | None) -> str | None:
    if text is not None and text not in DIMENSIONS:
        raise typer.BadParameter(f"give one of {', '.join(DIMENSIONS)}")
    return text


JsonOption = Annotated[bool, typer.Option("--json", help="The same for programs.")]
FromOption = Annotated[When, typer.Option("--from", parser=_when, metavar="TIME", help=HELP)]
ToOption = Annotated[
    When | None,
    typer.Option("--to", parser=_when, metavar="TIME", help="Until before this; now if not given."),
]


@evals.command("tenant")
def tenant_(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", callback=_tenant, help="Whose answers.")],
    *,
    since: Annotated[
        When | None, typer.Option(parser=_when, metavar="TIME", help=f"{HELP}. 24h if not given.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only answers of this model, by its public name.")] = None,
    dimension: Annotated[
        str | None, typer.Option(callback=_dimension, help=f"Only one of {', '.join(DIMENSIONS)}.")
    ] = None,
    worst: Annotated[int, typer.Option(min=0, max=100, help="How many of the worst answers to list.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Show a tenant's scores over time, how they stand against their baseline, and the worst answers.

    Means are weighted by the rate that each answer was sampled at. Each judge (model, rubric, parser) has
    figures of its own: scores of two judges cannot be compared, and no mean spans them. A judge's reason
    quotes what was said: it is shown where the tenant's policy lets content be kept, and under the tenant's
    own key only with your permission to use it.

    Example: llm-platform evals acme --since 7d --dimension relevance
    """
    from operator_cli.evals_tenant import Asked, run_tenant  # noqa: PLC0415

    asked = Asked(TenantId(tenant), since or A_DAY, model=model, dimension=dimension, worst=worst)
    run_tenant(asked, region=connect_aws(), as_json=as_json)


@evals.command()
def show(
    any_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="A trace id in any form, a request id, or an answer's id.", show_default=False
        ),
    ],
    *,
    content: Annotated[
        bool, typer.Option("--content", help="Prompt, completion, reference and contexts too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of an evaluation: scores, reasons, judge, rubric, cost, how it was sampled.

    Where several judges scored the request their results stand side by side; they cannot be compared.

    Example: llm-platform evals show 7c1e7f9a-3d0b-4b6e-9d0c-0d6b5c1e2f3a --content
    """
    from operator_cli.evals_show import run_show  # noqa: PLC0415

    run_show(any_id, region=connect_aws(), content=content, as_json=as_json)


@evals.command()
def replay(
    from_: FromOption,
    to: ToOption = None,
    tenant: Annotated[
        str | None, typer.Option(callback=_tenant, help="Only this tenant's; all tenants' if not given.")
    ] = None,
    source: Annotated[
        Literal["stream", "history"],
        typer.Option(help="stream: every sample of the last 7 days; history: what was judged before."),
    ] = "stream",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only: judge and store nothing.")] = False,
) -> None:
    """Evaluate samples of the past with the present judge: after an outage, or for a new rubric.

    Runs the worker's own loop here, with its EVAL_* settings. A result is stored by request and judge: what
    this judge has scored is free and counted, another judge's results stay beside it. Scores count for the
    time of the request. Cut off? Run it again.

    The stream holds all samples for 7 days. The history (Parquet) goes back for good, but holds only samples
    that were judged once: what was skipped, parked or never read is not in it.

    Example: llm-platform evals replay --from 2026-11-23T10:00Z --to 2026-11-23T12:00Z --dry-run
    """
    from operator_cli.evals_replay import Asked, run_replay  # noqa: PLC0415

    asked = Asked(from_, to, None if tenant is None else TenantId(tenant), source, dry_run=dry_run)
    run_replay(asked, region=connect_aws())


@evals.command()
def export(
    tenant: Annotated[str, typer.Option(callback=_tenant, help="Whose results.")],
    from_: FromOption,
    output: Annotated[Path, typer.Option("--output", "-o", dir_okay=False, help="The file to write.")],
    to: ToOption = None,
    format_: Annotated[
        Literal["csv", "jsonl", "parquet"], typer.Option("--format", help="What to write.")
    ] = "csv",
    *,
    content: Annotated[
        bool, typer.Option("--content", help="What was said too, where it may be shown.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a tenant's results to a file: every score with the judge, rubric and rate that it came by.

    Group by judge_identity (bertscore_identity for BERTScore): scores of two judges cannot be compared. Weigh
    by 1 / sample_rate. Costs are exact decimals. The file appears whole or not at all, readable by you alone.

    Example: llm-platform evals export --tenant acme --from 7d --format parquet --output acme.parquet
    """
    from operator_cli.evals_export import Export, run_export  # noqa: PLC0415

    asked = Export(TenantId(tenant), from_, to, format_, output, content=content, force=force)
    run_export(asked, region=connect_aws())


@evals.command()
def calibrate(
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS.csv", help="What people said: docs/calibration.md has the form.")
    ],
    *,
    repeat: Annotated[int, typer.Option(min=1, max=20, help="How often to judge each item.")] = 1,
    judge_identity: Annotated[
        str | None,
        typer.Option(help="Compare what this judge scored before, as `evals show` names it; asks no model."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold the judge against people's labels: agreement, and whether it may be released.

    With columns prompt and completion the judge of the EVAL_* settings is asked, which costs money; with
    request_id alone its stored scores are looked up. Exit status 0: it may be released, 1: it may not, 2: the
    file cannot be used. The record is kept with the history, and its age is a metric.

    Example: llm-platform evals calibrate labels.csv --repeat 2
    """
    from evalworker.settings import read_settings  # noqa: PLC0415
    from llmplatform.clock import SystemClock  # noqa: PLC0415
    from operator_cli.calibrate import Effort, run_calibrate  # noqa: PLC0415
    from operator_cli.evals_judges import Judges  # noqa: PLC0415

    region = connect_aws()
    settings, environment = read_settings()
    judges = Judges(settings, environment.model_copy(update={"aws_region": region}), judge_identity)
    effort = Effort(repeat=repeat)
    raise typer.Exit(
        run_calibrate(labels, judges.open, judges.store, SystemClock(), effort=effort, as_json=as_json)
    )


@evals.command()
def parked(
    *,
    since: Annotated[
        When | None, typer.Option(parser=_when, metavar="TIME", help=f"{HELP}. 7d if not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the records that could not be evaluated and were put aside, with the reason of each.

    Example: llm-platform evals parked --since 24h
    """
    from operator_cli.evals_upkeep import run_parked  # noqa: PLC0415

    run_parked(since or A_WEEK, region=connect_aws(), as_json=as_json)


@evals.command()
def compact(
    from_: Annotated[
        When | None,
        typer.Option(
            "--from", parser=_when, metavar="TIME", help=f"{HELP}. Days as a whole; 24h if not given."
        ),
    ] = None,
    to: ToOption = None,
) -> None:
    """Make few large files of the history's many small ones, now; what is there twice goes.

    May be run at any time, beside the worker and beside itself, and cut off: nothing is lost.

    Example: llm-platform evals compact --from 2026-11-01
    """
    from operator_cli.evals_upkeep import run_compact  # noqa: PLC0415

    run_compact(from_ or A_DAY, to, region=connect_aws())
