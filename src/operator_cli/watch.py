"""`llm-platform watch ...`: alarms planned, applied, listed and tried out; the work is elsewhere."""

from typing import Annotated, Literal

import typer

from llmplatform import ids
from llmplatform.ids import TenantId
from operator_cli.connection import connect_aws
from operator_cli.watch_dashboards import dashboards

# Rooms that bring the AWS SDK are imported by their command: a second less for --help.

Topic = Literal["critical", "warning"]

watch = typer.Typer(
    no_args_is_help=True,
    help="Alarms: what there should be, what rings, and whether it reaches somebody.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
watch.add_typer(dashboards, name="dashboards")


def _tenant(text: str | None) -> TenantId | None:
    if text is None:
        return None
    tenant = ids.tenant_id(text)
    if tenant is None:
        raise typer.BadParameter("a tenant id is 1 to 48 lower-case letters, digits and dashes")
    return tenant


JsonOption = Annotated[bool, typer.Option("--json", help="The same for programs.")]
TenantOption = Annotated[
    str | None,
    typer.Option(callback=_tenant, metavar="TENANT", help="Only this tenant's alarms; one that is gone too."),
]
PlatformWideOption = Annotated[
    bool,
    typer.Option("--platform-wide", help="Those about the platform itself too, which the deployment makes."),
]
TopicOption = Annotated[Topic | None, typer.Option(help="The topic that the alarm is to be sent to.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@watch.command("plan")
def plan_(
    *, platform_wide: PlatformWideOption = False, tenant: TenantOption = None, as_json: JsonOption = False
) -> None:
    """Show what `watch apply` would do, how many alarms and series there are, and what they cost a month.

    Exit status 1 where `apply` would refuse: over a budget, or an alarm of somebody else's in the way.

    Example: llm-platform watch plan --tenant acme
    """
    from operator_cli.watch_apply import Asked, run_plan  # noqa: PLC0415

    if not run_plan(Asked(platform_wide=platform_wide, tenant=tenant), region=connect_aws(), as_json=as_json):
        raise typer.Exit(1)


@watch.command()
def apply(
    *, platform_wide: PlatformWideOption = False, tenant: TenantOption = None, yes: YesOption = False
) -> None:
    """Make the alarms what they should be: for tenants, endpoints, models, scores and judges.

    Shows the plan first. What is not tagged as ours is not touched. Paced under CloudWatch's quotas (three
    alarms a second unless WATCH_PUTS_PER_S says that the account has more); cut off, it goes on from there
    when it is run again.

    Example: llm-platform watch apply --yes
    """
    from operator_cli.watch_apply import Asked, run_apply  # noqa: PLC0415

    if not run_apply(Asked(platform_wide=platform_wide, tenant=tenant), region=connect_aws(), yes=yes):
        raise typer.Exit(1)


@watch.command()
def alarms(*, as_json: JsonOption = False) -> None:
    """List what rings now: how bad it is, since when, and why."""
    from operator_cli.watch_alarms import run_alarms  # noqa: PLC0415

    run_alarms(region=connect_aws(), as_json=as_json)


@watch.command("test")
def ring(
    alarm: Annotated[
        str | None,
        typer.Argument(metavar="ALARM", help="Its whole name; one that is quiet and notifies if not given."),
    ] = None,
    *,
    topic: TopicOption = None,
    within_s: Annotated[float, typer.Option(min=1, max=600, help="How long to wait for the message.")] = 60,
    yes: YesOption = False,
) -> None:
    """Ring one alarm through to a receiver, and say how long it took. Whoever is subscribed is called.

    Sets the alarm's state, and waits for the message on a queue that is subscribed to its topic for as long
    as the test runs. Both are put back and removed, on Ctrl-C too. Exit status 1 when nothing came.

    Example: llm-platform watch test --topic warning
    """
    from operator_cli.watch_ring import Asked, run_ring  # noqa: PLC0415

    if not run_ring(Asked(alarm, topic, within_s), region=connect_aws(), yes=yes):
        raise typer.Exit(1)


@watch.command()
def subscribe(
    topic: Annotated[Topic, typer.Argument(help="What is sent there.")],
    address: Annotated[
        str, typer.Argument(metavar="URL", help="PagerDuty's https integration URL, or a mailbox.")
    ],
) -> None:
    """Send a topic's alarms to PagerDuty (its CloudWatch integration) or to a mailbox.

    Slack is set up with the AWS chat integration instead: docs/alarms.md says how.

    Example: llm-platform watch subscribe critical https://events.pagerduty.com/integration/KEY/enqueue
    """
    from operator_cli.watch_receivers import run_subscribe  # noqa: PLC0415

    run_subscribe(topic, address, region=connect_aws())


@watch.command()
def receivers(*, as_json: JsonOption = False) -> None:
    """List who is subscribed to the topics, without the secrets in their addresses."""
    from operator_cli.watch_receivers import run_receivers  # noqa: PLC0415

    run_receivers(region=connect_aws(), as_json=as_json)
