"""`python -m costagg`: `run` computes what was spent, `serve` tells it; `reconcile` and `export`.

`run` ends when it is done, but with `--every`; `serve` goes on until SIGTERM or SIGINT. With
`--until-stdin-ends` both also end, in order, with their standard input.
"""

import argparse
import asyncio
import sys
from datetime import date
from pathlib import Path
from typing import Final

import uvloop

from costagg import commands
from costagg.reconciliation.results import DEFAULT_LIMIT_PERCENT
from costagg.settings import CostSettings, EnvironmentSettings, read_settings
from llmplatform.errors import ConfigFault, PlatformFault
from llmplatform.process.logging import configure_logging
from llmplatform.process.parent import add_until_stdin_ends, end_with_stdin
from llmplatform.process.stopping import a_pause

_FAILED: Final = 1
_CONFIG_FAULT: Final = 2


def main() -> None:
    """Run a command.

    Exits with 0 when all was done, 1 when something was not (`reconcile`: an error is over the limit), 2 when
    what is asked for cannot be done.
    """
    arguments = _parser().parse_args()
    configure_logging("costagg")
    try:
        settings, environment = read_settings()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            status = runner.run(_run(arguments, settings, environment))
    except PlatformFault as fault:
        sys.stderr.write(f"costagg {arguments.command}: {fault}\n")
        status = _CONFIG_FAULT if isinstance(fault, ConfigFault) else _FAILED
    sys.exit(status)


async def _run(
    arguments: argparse.Namespace, settings: CostSettings, environment: EnvironmentSettings
) -> int:
    match arguments.command:
        case "reconcile":
            return await commands.reconcile(arguments, environment)
        case "export":
            return await commands.export_costs(arguments, environment)
    if arguments.until_stdin_ends:
        end_with_stdin()
    if arguments.command == "serve":
        return await commands.serve_bills(settings, environment)
    return await commands.run(arguments, settings, environment)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m costagg", description="What tenants and models cost.")
    add = parser.add_subparsers(dest="command", required=True).add_parser
    run = add(
        "run",
        help="compute the hours that are due, or others",
        description="Computes every hour that is not closed, back to COST_LOOK_BACK_H; or the hours given.",
    )
    run.add_argument("--hour", metavar="HOUR", help="one hour, UTC, such as 2026-11-23T20")
    run.add_argument("--from", dest="first", metavar="HOUR", help="the first hour of several")
    run.add_argument("--to", dest="last", metavar="HOUR", help="the last hour, included; default: this one")
    run.add_argument("--every", type=a_pause, metavar="SECONDS", help="go on, until SIGTERM")
    serve = add("serve", help="serve the billing API, until SIGTERM")
    for command in (run, serve):
        add_until_stdin_ends(command)
    reconcile = add(
        "reconcile",
        help="hold what was attributed against AWS's bill",
        description="Compares with an export of the Cost and Usage Report 2.0, Parquet or CSV.",
    )
    reconcile.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="files, folders or patterns of an export; or where it is in S3, s3://BUCKET/PREFIX/NAME",
    )
    _add_days(reconcile)
    reconcile.add_argument(
        "--limit",
        type=commands.a_percent,
        default=DEFAULT_LIMIT_PERCENT,
        metavar="PERCENT",
        help=f"exit status 1 over it; default: {DEFAULT_LIMIT_PERCENT}",
    )
    reconcile.add_argument(
        "--tenant-tag", default="tenant_id", metavar="KEY", help="tag that names tenants; default: tenant_id"
    )
    reconcile.add_argument(
        "--session-prefix",
        default="tenant-",
        metavar="TEXT",
        help="what a role session's name has before a tenant's id; default: tenant-",
    )
    reconcile.add_argument(
        "--account", action="append", default=[], metavar="ID", help="only these accounts; may be repeated"
    )
    reconcile.add_argument(
        "--usage-types", type=Path, metavar="FILE", help="another table of usage types, TOML"
    )
    reconcile.add_argument(
        "--rows", type=int, default=20, metavar="N", help="differences to show; default: 20"
    )
    reconcile.add_argument("--json", action="store_true", help="the result as JSON")
    reconcile.add_argument("--dry-run", action="store_true", help="keep no result and publish no metric")
    export = add("export", help="write costs to a file in FOCUS 1.3")
    export.add_argument("--focus", action="store_true", required=True, help="the format; there is no other")
    _add_days(export)
    export.add_argument(
        "--out", type=commands.a_file, required=True, metavar="FILE", help="a .csv or .parquet file"
    )
    export.add_argument("--granularity", choices=("hour", "day"), default="day", help="default: day")
    export.add_argument(
        "--account-id", metavar="ID", help="the billing account; default: the credentials' own"
    )
    export.add_argument("--account-name", metavar="NAME")
    export.add_argument(
        "--allow-unpriced", action="store_true", help="leave out what has no known amount, and say so"
    )
    return parser


def _add_days(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--month", type=commands.a_month, metavar="YYYY-MM", help="a whole month, UTC")
    parser.add_argument("--last-month", action="store_true", help="the month before this one")
    parser.add_argument("--from", dest="first", type=date.fromisoformat, metavar="DATE")
    parser.add_argument(
        "--to", dest="last", type=date.fromisoformat, metavar="DATE", help="included; default: today"
    )


if __name__ == "__main__":
    main()
