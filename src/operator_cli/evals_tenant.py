"""`llm-platform evals TENANT`: scores over time, how they stand, and the worst answers.

Figures come from the index of what was judged, which is small; only the worst answers are read whole.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from llmplatform.aws.eval_reader import JudgedScores
from llmplatform.eval_scores import Line, Worst, epoch_in, lines_of, worst_of
from llmplatform.evaluations import BERTSCORE, Judge
from llmplatform.ids import TenantId
from operator_cli.console import CommandFailed, print_table
from operator_cli.evals_account import Account, open_account
from operator_cli.evals_times import When, minute
from operator_cli.evals_view import BadAnswer, Overview, facts_of_overview, overview

# What was judged before its request's own time, by a worker whose clock was behind.
_CLOCKS_DIFFER: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be told."""

    tenant: TenantId
    since: When
    model: str | None = None
    dimension: str | None = None
    worst: int = 10


def run_tenant(asked: Asked, *, region: str, as_json: bool) -> None:
    """Print it. Raises CommandFailed where there is no such tenant and never was a score."""
    found = asyncio.run(_look(asked, region))
    if as_json:
        print(json.dumps(facts_of_overview(found), indent=2))
    else:
        print_table(overview(found))


async def _look(asked: Asked, region: str) -> Overview:
    async with open_account(region) as account:
        end = account.clock.now()
        start = asked.since.moment(end)
        if start >= end:
            raise CommandFailed(f"--since {asked.since.text} is not in the past")
        judged = account.results.judged_since(asked.tenant, start - _CLOCKS_DIFFER)
        scored = [scores async for scores in judged if start <= scores.event_at < end]
        statuses = await account.statuses(asked.tenant)
        if not scored and not statuses and await account.policy(asked.tenant) is None:
            raise CommandFailed(
                f"there is no tenant {asked.tenant} and no score of one (`llm-platform tenant list` names "
                "them, `llm-platform evals --help` the other commands)"
            )
        chosen = [scores for scores in scored if asked.model in {None, scores.model_id}]
        if scored and not chosen:
            models = ", ".join(sorted({scores.model_id for scores in scored}))
            raise CommandFailed(
                f"no answer of model {asked.model} was scored since {minute(start)}: {models}"
            )
        lines = tuple(
            line for line in lines_of(chosen, start, end) if asked.dimension in {None, line.series.dimension}
        )
        return Overview(
            tenant_id=asked.tenant,
            start=start,
            end=end,
            answers=len({scores.request_id for scores in chosen}),
            stand_for=sum({scores.request_id: 1 / scores.sample_rate for scores in chosen}.values()),
            lines=lines,
            judges=await _judges(account, lines, chosen),
            statuses={status.key: status for status in statuses},
            worst=await _worst(account, worst_of(chosen, asked.worst, asked.dimension)),
            workers=await account.workers(),
        )


async def _worst(account: Account, worst: Iterable[Worst]) -> tuple[BadAnswer, ...]:
    async def read(one: Worst) -> BadAnswer:
        result = await account.whole(one.scores)
        return BadAnswer(one, result, None if result is None else await account.said(result))

    return tuple(await asyncio.gather(*map(read, worst)))


async def _judges(
    account: Account, lines: Iterable[Line], scored: Iterable[JudgedScores]
) -> dict[str, Judge | str | None]:
    """Who stands behind each epoch, told by one of its results."""
    last: dict[tuple[str, bool], JudgedScores] = {}
    for scores in scored:
        for dimension in scores.values:
            last[epoch_in(scores, dimension), dimension == BERTSCORE] = scores
    judges: dict[str, Judge | str | None] = {}
    for epoch, is_likeness in {(line.series.epoch, line.series.dimension == BERTSCORE) for line in lines}:
        if is_likeness:
            judges[epoch] = last[epoch, True].bertscore_identity
        else:
            result = await account.whole(last[epoch, False])
            judges[epoch] = None if result is None else result.judge
    return judges
