"""`llm-platform evals replay`: has samples of the past evaluated, by the worker's own loop in this process.

The core is `evalworker.replay`. Metrics of what is scored anew go to the CloudWatch agent that the
environment names, at the time of the requests; without one they go nowhere, and the stores alone are filled.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

import aioboto3
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from evalworker.bootstrap import assembled
from evalworker.judging.judge import JudgeConfig, judge_of
from evalworker.judging.rubric import load_rubric
from evalworker.records import StreamRecord
from evalworker.replay import Preview, Replayed, Scope, from_history, from_stream, replay
from evalworker.settings import EnvironmentSettings, EvalSettings, read_settings
from llmplatform.aws.sessions import aws_session
from llmplatform.aws.tables import EVAL_RESULTS, EVAL_STREAM
from llmplatform.clock import SystemClock
from llmplatform.evaluations import Judge, ResultKey
from llmplatform.ids import TenantId
from llmplatform.judges import load_judge_models
from llmplatform.tenants import Tenants
from operator_cli.console import ERR, OUT, CommandFailed
from operator_cli.evals_account import open_history
from operator_cli.evals_times import When, minute

Source = Literal["stream", "history"]
_RETENTION: Final = timedelta(hours=EVAL_STREAM.retention_h)
_KEYS_PER_GET: Final = 100  # the most that BatchGetItem takes
_CONSERVED: Final = "read = scored + scored before + skipped + parked + unfinished"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be replayed."""

    start: When
    end: When | None
    tenant: TenantId | None
    source: Source
    dry_run: bool = False


def present_judge(settings: EvalSettings) -> Judge:
    """The judge of the present settings. Raises ConfigFault."""
    return judge_of(
        JudgeConfig(load_judge_models(settings.judges).named(settings.judge), load_rubric(settings.rubric))
    )


def run_replay(asked: Asked, *, region: str) -> None:
    """Replay, and tell what became of every record. Raises CommandFailed where some are unfinished."""
    settings, environment = read_settings()
    environment = environment.model_copy(update={"aws_region": region})
    scope = _scope(asked)
    judge = present_judge(settings)
    ERR.print(
        f"[dim]{minute(scope.start)} to {minute(scope.end)} from the {asked.source}, judge {judge.identity} "
        f"({judge.model_id}, rubric {judge.rubric_id} {judge.rubric_version})[/dim]"
    )
    if asked.dry_run:
        _show_preview(asyncio.run(_preview(asked, scope, judge, settings, region)))
        return
    replayed = asyncio.run(_replay(asked, scope, settings, environment))
    _show(replayed)
    if replayed.unfinished:
        raise CommandFailed(
            f"unfinished: {replayed.unfinished}, and what comes after was not read: a judge, a key or a "
            "store did not answer (`llm-platform doctor`). Give the command again: what is scored is free"
        )
    if not replayed.conserved:
        raise CommandFailed("the counts do not add up: a fault of the platform's own")


def _scope(asked: Asked) -> Scope:
    now = SystemClock().now()
    start, end = asked.start.moment(now), now if asked.end is None else min(asked.end.moment(now), now)
    if start >= end:
        raise CommandFailed(f"--from {minute(start)} is not before --to {minute(end)}")
    if asked.source == "stream" and start < now - _RETENTION:
        if end <= now - _RETENTION:
            raise CommandFailed(
                f"the stream holds {_RETENTION.days} days, since {minute(now - _RETENTION)}: "
                "try --source history"
            )
        ERR.print(f"[yellow]the stream holds {_RETENTION.days} days: earlier samples are not read[/yellow]")
    return Scope(start, end, asked.tenant)


async def _replay(
    asked: Asked, scope: Scope, settings: EvalSettings, environment: EnvironmentSettings
) -> Replayed:
    session = aws_session(environment.aws_region)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        async with (
            assembled(settings, environment, lines_fd=nowhere) as worker,
            _records(asked, scope, session, settings) as records,
        ):
            with _progress() as show:
                replayed = await replay(
                    worker.evaluator,
                    records,
                    batch_records=settings.batch_records,
                    progress=lambda so_far: show(_line(so_far)),
                )
            worker.scores.flush()
            return replayed
    finally:
        os.close(nowhere)


async def _preview(asked: Asked, scope: Scope, judge: Judge, settings: EvalSettings, region: str) -> Preview:
    session = aws_session(region)
    async with session.client("ssm") as ssm, session.client("dynamodb") as dynamodb:
        policies = {one.tenant_id: one.policy for one in await Tenants(ssm, SystemClock()).list()}

        async def known(keys: Sequence[ResultKey]) -> Collection[ResultKey]:
            return await _known(dynamodb, keys)

        preview = Preview(lambda tenant: policies.get(TenantId(tenant)), known, judge.identity)
        async with _records(asked, scope, session, settings) as records:
            with _progress() as show:
                batch: list[StreamRecord] = []
                async for record in records:
                    batch.append(record)
                    if len(batch) == settings.batch_records:
                        await preview.look(batch)
                        batch.clear()
                        show(f"{preview.read:,} read")
                await preview.look(batch)
        return preview


@asynccontextmanager
async def _records(
    asked: Asked, scope: Scope, session: aioboto3.Session, settings: EvalSettings
) -> AsyncIterator[AsyncIterator[StreamRecord]]:
    if asked.source == "stream":
        now = SystemClock().now()
        async with (
            session.client("kinesis") as kinesis,
            aclosing(from_stream(kinesis, scope, now=now)) as records,
        ):
            yield records
    else:
        async with (
            open_history(session, settings) as objects,
            aclosing(from_history(objects, scope)) as records,
        ):
            yield records


async def _known(dynamodb: Any, keys: Sequence[ResultKey]) -> set[ResultKey]:
    """Those of the results that are stored."""
    partition, sort = EVAL_RESULTS.partition_key.name, EVAL_RESULTS.sort_key.name
    found: set[ResultKey] = set()
    waiting = [{partition: {"S": key.tenant_id}, sort: {"S": key.result_key}} for key in keys]
    while waiting:
        some, waiting = waiting[:_KEYS_PER_GET], waiting[_KEYS_PER_GET:]
        asked = {"Keys": some, "ProjectionExpression": f"{partition}, {sort}"}
        answer = await dynamodb.batch_get_item(RequestItems={EVAL_RESULTS.name: asked})
        for item in answer["Responses"].get(EVAL_RESULTS.name, ()):
            found.add(ResultKey(item[partition]["S"], item[sort]["S"]))
        waiting += answer.get("UnprocessedKeys", {}).get(EVAL_RESULTS.name, {}).get("Keys", [])
    return found


def _show(replayed: Replayed) -> None:
    OUT.print(_line(replayed), markup=False)
    for what, reasons in (("skipped", replayed.skipped), ("parked", replayed.parked)):
        for reason, count in sorted(reasons.items()):
            OUT.print(f"  {what} {reason}: {count:,}", markup=False)
    ERR.print(f"[dim]{_CONSERVED}[/dim]")


def _line(replayed: Replayed) -> str:
    return (
        f"{replayed.read:,} read = {replayed.scored:,} scored + {replayed.known:,} scored before + "
        f"{sum(replayed.skipped.values()):,} skipped + {sum(replayed.parked.values()):,} parked + "
        f"{replayed.unfinished:,} unfinished"
    )


def _show_preview(preview: Preview) -> None:
    OUT.print(
        f"{preview.read:,} read = {preview.to_judge:,} to be judged + {preview.already:,} scored before + "
        f"{preview.skipped.total():,} skipped + {preview.parked.total():,} parked",
        markup=False,
    )
    reasons: tuple[tuple[str, Mapping[str, int]], ...] = (
        ("skipped", preview.skipped),
        ("parked", preview.parked),
    )
    for what, counts in reasons:
        for reason, count in sorted(counts.items()):
            OUT.print(f"  {what} {reason}: {count:,}", markup=False)
    ERR.print("[dim]nothing was judged or stored; a budget may leave some of them unjudged[/dim]")


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=ERR, transient=True, disable=not ERR.is_terminal) as progress:
        task = progress.add_task("reading", total=None)
        yield lambda told: progress.update(task, description=told)
