"""`python -m evalworker`: `run` judges what is sampled, `drift` finds falling scores, `compact` tidies up.

Each goes on until SIGTERM or SIGINT, but for `compact` and `drift --once`. With `--until-stdin-ends` it also
ends, in order, with its standard input.
"""

import argparse
import asyncio
import gc
import logging
import sys
from datetime import date, timedelta
from typing import Final

import uvloop

from evalworker.bootstrap import assembled
from evalworker.jobs import compact_history, watch_drift
from evalworker.settings import EnvironmentSettings, EvalSettings, read_settings
from evalworker.stores.compaction import Replaced
from llmplatform.clock import SystemClock
from llmplatform.errors import ConfigFault, PlatformFault
from llmplatform.process.logging import configure_logging
from llmplatform.process.parent import add_until_stdin_ends, end_with_stdin
from llmplatform.process.stopping import told_to_stop

logger = logging.getLogger("evalworker")

DRIFT_EVERY_S: Final = 60.0
_FAILED: Final = 1
_CONFIG_FAULT: Final = 2


def main() -> None:
    """Run one of the worker's processes.

    Exits with 0 after an orderly end, 1 when a job that ran once did not do all of it, 2 when it is
    misconfigured.
    """
    arguments = _parser().parse_args()
    configure_logging("evalworker")
    try:
        settings, environment = read_settings()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            done = runner.run(_run(arguments, settings, environment))
    except PlatformFault as fault:
        sys.stderr.write(f"evalworker: {fault}\n")
        sys.exit(_CONFIG_FAULT if isinstance(fault, ConfigFault) else _FAILED)
    sys.exit(0 if done else _FAILED)


async def _run(
    arguments: argparse.Namespace, settings: EvalSettings, environment: EnvironmentSettings
) -> bool:
    stop = told_to_stop()
    if arguments.until_stdin_ends:
        end_with_stdin()
    match arguments.command:
        case "drift":
            return await watch_drift(
                environment, stop, every_s=arguments.every, once=arguments.once, rebuild=arguments.rebuild
            )
        case "compact":
            await compact_history(settings, environment, arguments.first, arguments.last, _tell)
            return True
        case _:
            return await _judge(settings, environment, stop)


async def _judge(settings: EvalSettings, environment: EnvironmentSettings, stop: asyncio.Event) -> bool:
    async with assembled(settings, environment) as worker:
        # What start-up made lives as long as the process: no collection needs to walk it again.
        gc.collect()
        gc.freeze()
        judge = worker.judge.judge
        logger.info(
            "evaluation is assembled",
            extra={"judge": judge.model_id, "judge_identity": judge.identity, "rubric": judge.rubric_id},
        )
        await worker.run(stop)
        logger.info("evaluation has ended", extra=dict(worker.evaluator.tally.by_result()))
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evalworker", description="Evaluation of sampled answers."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="judge what is sampled, until SIGTERM")
    drift = commands.add_parser("drift", help="look for falling scores every minute, until SIGTERM")
    drift.add_argument(
        "--once", action="store_true", help="look once; exit status 1 if a tenant was left out"
    )
    drift.add_argument("--every", type=float, default=DRIFT_EVERY_S, metavar="SECONDS", help="default: 60")
    drift.add_argument(
        "--rebuild", action="store_true", help="fold every series again from its stored minutes"
    )
    compact = commands.add_parser(
        "compact", help="merge small Parquet files of the last two days, or of others"
    )
    today = SystemClock().now().date()
    compact.add_argument(
        "--first", type=date.fromisoformat, default=today - timedelta(days=1), metavar="DATE"
    )
    compact.add_argument("--last", type=date.fromisoformat, default=today, metavar="DATE")
    for command in (run, drift, compact):
        add_until_stdin_ends(command)
    return parser


def _tell(replaced: Replaced) -> None:
    logger.info("compacted", extra={"folder": replaced.folder, "files": replaced.files})


if __name__ == "__main__":
    main()
