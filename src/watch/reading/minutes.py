"""Minutes of scores, of many series at once: a query for each day of each, all under way together."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.patient_dynamodb import PatientDynamoDb
from llmplatform.aws.tables import EVAL_MINUTES
from llmplatform.eval_series import MinuteScores, Series, decode_minutes, minute_text
from watch.evaluations.reaches import Reach

QUERIES_AT_ONCE: Final = 16
_ATTEMPTS: Final = 3
_PIECE: Final = timedelta(days=1)
"""1,440 rows of some 300 bytes: within the megabyte of one answer."""
_MINUTE: Final = timedelta(minutes=1)
_READ: Final = ("minute", "n", "weight", "weighted_sum", "weighted_sum_squares", "counts")

Minutes = Mapping[Series, tuple[MinuteScores, ...]]


class MinuteReader:
    """The table of minutes behind a client. Raises DynamoDbFault and DynamoDbUnavailable, TelemetryFaults."""

    def __init__(self, dynamodb: DynamoDb) -> None:
        self._dynamodb = PatientDynamoDb(dynamodb, in_flight=QUERIES_AT_ONCE, attempts=_ATTEMPTS)

    async def of(self, reaches: Iterable[Reach]) -> Minutes:
        """The minutes with scores of each series, rising. A row that is none raises TelemetryFault."""
        pieces = [piece for reach in reaches for piece in _pieces(reach)]
        found = await asyncio.gather(*(self._of_piece(*piece) for piece in pieces))
        by_series: dict[Series, list[MinuteScores]] = {}
        for (series, _, _), minutes in zip(pieces, found, strict=True):
            by_series.setdefault(series, []).extend(minutes)
        return {series: tuple(minutes) for series, minutes in by_series.items()}

    async def _of_piece(self, series: Series, first: datetime, end: datetime) -> list[MinuteScores]:
        names = {f"#{at}": name for at, name in enumerate(_READ)}
        request: dict[str, Any] = {
            "TableName": EVAL_MINUTES.name,
            "KeyConditionExpression": "#series = :series AND #0 BETWEEN :first AND :last",
            "ProjectionExpression": ",".join(names),
            "ExpressionAttributeNames": {**names, "#series": EVAL_MINUTES.partition_key.name},
            "ExpressionAttributeValues": {
                ":series": {"S": series.key},
                ":first": {"S": minute_text(first)},
                ":last": {"S": minute_text(end - _MINUTE)},
            },
        }
        found: list[MinuteScores] = []
        following: Mapping[str, Any] | None = None
        while True:
            asked = {**request, "ExclusiveStartKey": following} if following else request
            minutes, following = await self._dynamodb.call_decoded("Query", asked, decode_minutes)
            found += minutes
            if not following:
                return found


def _pieces(reach: Reach) -> Iterator[tuple[Series, datetime, datetime]]:
    first = reach.first
    while first < reach.end:
        yield reach.series, first, min(first + _PIECE, reach.end)
        first += _PIECE
