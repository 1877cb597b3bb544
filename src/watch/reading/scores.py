"""Scores of requests: of a trace, of the rows of a page, and the low ones of a time."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Final

from llmplatform import ids
from llmplatform.aws.eval_reader import EvalReader, JudgedScores
from llmplatform.evaluations import EvalResult
from llmplatform.ledger import LedgerRow
from watch.requests.filters import LowScore

MOST_OF_TRACE: Final = 50
MOST_LOOKED_AT: Final = 2_000
"""Scores of one tenant that are looked through for low ones, the newest first."""
READS_AT_ONCE: Final = 16
_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LowScores:
    """The low ones of a time, newest first."""

    scores: tuple[JudgedScores, ...]
    stopped_at: datetime | None = None
    """How far back was looked where there were too many; None where all were."""


class ScoreReader:
    """Results of evaluations. What DynamoDB raises, passes."""

    def __init__(self, results: EvalReader) -> None:
        self._results = results

    async def of_trace(self, trace_id: str, tenant_id: str | None = None) -> tuple[EvalResult, ...]:
        """Results of the requests under a trace (32 hex digits), of one tenant or of whichever.

        In order of requests and of judges.
        """
        found: list[EvalResult] = []
        async for result in self._results.of_trace(ids.as_uuid(trace_id)):
            if tenant_id in {None, result.tenant_id}:
                found.append(result)
            if len(found) == MOST_OF_TRACE:
                break
        return tuple(sorted(found, key=lambda one: (one.event_at, one.request_id, one.judged_at)))

    async def of_rows(self, rows: Iterable[LedgerRow]) -> dict[str, JudgedScores]:
        """The latest scores of the rows that were chosen for evaluation, by request id: a query a tenant."""
        chosen = sorted((row for row in rows if row.sampled), key=attrgetter("tenant_id"))
        spans = []
        for tenant_id, group in groupby(chosen, key=attrgetter("tenant_id")):
            times = [row.completed_at for row in group]
            spans.append((tenant_id, min(times), max(times) + _TICK))
        limit = asyncio.Semaphore(READS_AT_ONCE)
        wanted = {row.request_id for row in chosen}

        async def of_tenant(tenant_id: str, start: datetime, end: datetime) -> list[JudgedScores]:
            async with limit:
                return await self.newest(tenant_id, start, end)

        found = await asyncio.gather(*(of_tenant(*span) for span in spans))
        latest: dict[str, JudgedScores] = {}
        for judged in (one for scores in found for one in scores if one.request_id in wanted):
            known = latest.get(judged.request_id)
            if known is None or known.judged_at < judged.judged_at:
                latest[judged.request_id] = judged
        return latest

    async def low(
        self, tenants: Iterable[str], start: datetime, end: datetime, wanted: LowScore
    ) -> LowScores:
        """The requests of a time with a low score, one score each."""
        limit = asyncio.Semaphore(READS_AT_ONCE)

        async def of_tenant(tenant_id: str) -> list[JudgedScores]:
            async with limit:
                return await self.newest(tenant_id, start, end)

        found = await asyncio.gather(*(of_tenant(tenant) for tenant in tenants))
        cut = [scores[-1].event_at for scores in found if len(scores) == MOST_LOOKED_AT]
        low: dict[str, JudgedScores] = {}
        for judged in (one for scores in found for one in scores if wanted.matches(one.values)):
            low.setdefault(judged.request_id, judged)
        newest_first = sorted(low.values(), key=lambda one: (one.event_at, one.request_id), reverse=True)
        return LowScores(tuple(newest_first), max(cut, default=None))

    async def whole(self, scores: Iterable[JudgedScores]) -> tuple[EvalResult | None, ...]:
        """The whole results of which these are the figures; None for one that is gone meanwhile."""
        limit = asyncio.Semaphore(READS_AT_ONCE)

        async def one(figures: JudgedScores) -> EvalResult | None:
            async with limit:
                return await self._results.whole(figures)

        return tuple(await asyncio.gather(*map(one, scores)))

    async def newest(self, tenant_id: str, start: datetime, end: datetime) -> list[JudgedScores]:
        """The newest scores of a time, newest first: at most `MOST_LOOKED_AT`."""
        found: list[JudgedScores] = []
        async for judged in self._results.scores_of_tenant(tenant_id, start, end, newest_first=True):
            found.append(judged)
            if len(found) == MOST_LOOKED_AT:
                break
        return found


def scores_by_request(results: Iterable[EvalResult]) -> Mapping[str, list[EvalResult]]:
    """Results under their requests, in the order given."""
    grouped: dict[str, list[EvalResult]] = {}
    for result in results:
        grouped.setdefault(result.request_id, []).append(result)
    return grouped
