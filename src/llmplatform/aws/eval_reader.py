"""Stored results as people and jobs read them: by tenant and time, by trace, by what was judged lately.

Over an SDK's client, since these are read now and then. What has outlived its retention is not shown, though
DynamoDB takes days to delete it. Writing, and whether a result is there already, are the worker's.
"""

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from llmplatform.aws.tables import EVAL_RESULTS
from llmplatform.clock import Clock
from llmplatform.errors import TelemetryFault
from llmplatform.evaluations import BERTSCORE, EvalResult, decode_result, moment_text

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_dynamodb import DynamoDBClient

RETENTION: Final = timedelta(days=EVAL_RESULTS.retention_days)

_BY_TRACE, _BY_JUDGED = EVAL_RESULTS.indexes
_FIGURES: Final = ("tenant_id", "judged_key", *(_BY_JUDGED.projected or ()))
SCORE_ATTRIBUTES: Final = (*_FIGURES, EVAL_RESULTS.sort_key.name)
"""All that `scores_of_tenant` asks for, or asks by: a role that is for figures alone is held to them."""

_TICK: Final = timedelta(microseconds=1)

Row = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class JudgedScores:
    """The figures of one result, as far as the index of the lately judged has them."""

    tenant_id: str
    request_id: str
    event_at: datetime
    """The time that they count for."""
    judged_at: datetime
    model_id: str
    sample_rate: float
    judge_identity: str
    scores: Mapping[str, int]
    bertscore_f1: float | None = None
    bertscore_identity: str | None = None

    @property
    def values(self) -> Mapping[str, float]:
        """All figures by dimension, BERTScore among them where there is one."""
        if self.bertscore_f1 is None:
            return self.scores
        return {**self.scores, BERTSCORE: self.bertscore_f1}


class EvalReader:
    """The table of results behind an SDK's client. What DynamoDB raises, passes.

    Pages are fetched as they are needed. A row that is no result raises TelemetryFault.
    """

    def __init__(self, dynamodb: "DynamoDBClient", clock: Clock, *, table: str = EVAL_RESULTS.name) -> None:
        self._dynamodb = dynamodb
        self._clock = clock
        self._table = table

    async def of_tenant(
        self, tenant_id: str, start: datetime, end: datetime, *, newest_first: bool = False
    ) -> AsyncIterator[EvalResult]:
        """A tenant's results of requests completed from `start` until before `end`, in order of time."""
        start = max(start, self._oldest())
        if start >= end:
            return
        rows = self._query(
            KeyConditionExpression="tenant_id = :tenant AND result_key BETWEEN :start AND :end",
            ExpressionAttributeValues={
                ":tenant": {"S": tenant_id},
                ":start": {"S": moment_text(start)},
                ":end": {"S": moment_text(end)},  # a key of that moment is longer, and so greater
            },
            ScanIndexForward=not newest_first,
        )
        async for row in rows:
            yield decode_result(_as_json(row))

    async def scores_of_tenant(
        self, tenant_id: str, start: datetime, end: datetime, *, newest_first: bool = False
    ) -> AsyncIterator[JudgedScores]:
        """The figures alone of `of_tenant`, in order of their keys, with all that was stored until now."""
        names = {f"#{at}": name for at, name in enumerate(_FIGURES)}
        rows = self._query(
            KeyConditionExpression="tenant_id = :tenant AND result_key BETWEEN :start AND :end",
            ExpressionAttributeValues={
                ":tenant": {"S": tenant_id},
                ":start": {"S": moment_text(max(start, self._oldest()))},
                ":end": {"S": moment_text(end)},
            },
            ProjectionExpression=",".join(names),
            Select="SPECIFIC_ATTRIBUTES",  # said aloud for the role that may see no others
            ExpressionAttributeNames=names,
            ConsistentRead=True,
            ScanIndexForward=not newest_first,
        )
        async for row in rows:
            yield _judged_scores(row)

    async def of_trace(self, trace_id: str) -> AsyncIterator[EvalResult]:
        """Results of all requests under a trace, written like `x-trace-id`, whichever tenant's they are."""
        oldest = self._oldest()
        rows = self._query(
            IndexName=_BY_TRACE.name,
            KeyConditionExpression="trace_id = :trace",
            ExpressionAttributeValues={":trace": {"S": trace_id}},
        )
        async for row in rows:
            result = decode_result(_as_json(row))
            if result.event_at >= oldest:
                yield result

    async def whole(self, scores: JudgedScores) -> EvalResult | None:
        """The whole result of which these are the figures; None where it is gone meanwhile."""
        async for result in self.of_tenant(scores.tenant_id, scores.event_at, scores.event_at + _TICK):
            if (result.request_id, result.judge.identity) == (scores.request_id, scores.judge_identity):
                return result
        return None

    async def judged_since(self, tenant_id: str, moment: datetime) -> AsyncGenerator[JudgedScores, None]:
        """What was judged from `moment` on, in that order, whatever time it counts for.

        An index shows what is written a moment later, and workers' clocks differ: ask a little further back
        than you have read.
        """
        oldest = self._oldest()
        rows = self._query(
            IndexName=_BY_JUDGED.name,
            KeyConditionExpression="tenant_id = :tenant AND judged_key >= :moment",
            ExpressionAttributeValues={":tenant": {"S": tenant_id}, ":moment": {"S": moment_text(moment)}},
        )
        async for row in rows:
            judged = _judged_scores(row)
            if judged.event_at >= oldest:
                yield judged

    def _oldest(self) -> datetime:
        return self._clock.now() - RETENTION

    async def _query(self, **request: Any) -> AsyncIterator[Row]:
        pages = self._dynamodb.get_paginator("query").paginate(TableName=self._table, **request)
        async for page in pages:
            for item in page["Items"]:
                yield item


def _as_json(row: Row) -> Row:
    """A row as DynamoDB wrote it, where an SDK has made bytes of base64."""
    return {
        name: {"B": base64.b64encode(value["B"]).decode()} if "B" in value else value
        for name, value in row.items()
    }


def _judged_scores(row: Row) -> JudgedScores:
    try:
        judged_at, _, request_id = row["judged_key"]["S"].partition("#")
        return JudgedScores(
            tenant_id=row["tenant_id"]["S"],
            request_id=request_id,
            event_at=datetime.fromisoformat(row["event_at"]["S"]),
            judged_at=datetime.fromisoformat(judged_at),
            model_id=row["model_id"]["S"],
            sample_rate=float(row["sample_rate"]["N"]),
            judge_identity=row["judge_identity"]["S"],
            scores={name: int(score["N"]) for name, score in row["scores"]["M"].items()},
            bertscore_f1=float(row["bertscore_f1"]["N"]) if "bertscore_f1" in row else None,
            bertscore_identity=row["bertscore_identity"]["S"] if "bertscore_identity" in row else None,
        )
    except (KeyError, ValueError):
        raise TelemetryFault("not what the index of the lately judged holds") from None
