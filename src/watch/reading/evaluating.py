"""How evaluation itself is doing: what its workers said last, and the records that were put aside."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from llmplatform.aws.eval_workers import heartbeats
from llmplatform.clock import Clock
from llmplatform.eval_heartbeat import Heartbeat
from llmplatform.eval_parked import parked_folder, parked_reason

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_s3 import S3Client

KEEP: Final = timedelta(seconds=30)
PARKED_DAYS: Final = 8
"""Of a week that the stream keeps, all days that its records can have arrived on."""
MOST_OF_DAY: Final = 1_000
"""Records of a day that are counted: one listing."""


@dataclass(frozen=True, slots=True)
class Parked:
    """Records of some reason that were put aside, of those that arrived on one day."""

    day: date
    reason: str
    records: int
    latest: datetime
    """When one was last put aside."""
    more: bool
    """Whether the day has more records, of whatever reason, than were counted."""


class EvaluatingReader:
    """The workers' rows and the bucket of the history. What AWS raises, passes; answers are kept shortly."""

    def __init__(
        self,
        dynamodb: "DynamoDBClient",
        s3: "S3Client",
        bucket: Callable[[], Awaitable[str]],
        clock: Clock,
    ) -> None:
        """`bucket` tells the bucket's name, which may take a call."""
        self._dynamodb = dynamodb
        self._s3 = s3
        self._bucket = bucket
        self._clock = clock
        self._parked: tuple[datetime, tuple[Parked, ...]] | None = None

    async def workers(self) -> tuple[Heartbeat, ...]:
        """Those that have told of themselves within two days, the latest first."""
        return await heartbeats(self._dynamodb)

    async def parked(self) -> tuple[Parked, ...]:
        """What was put aside of the records of the last days, by day and reason, the newest first."""
        now = self._clock.now()
        if self._parked is not None and now - self._parked[0] < KEEP:
            return self._parked[1]
        bucket = await self._bucket()
        days = [now.date() - timedelta(days=back) for back in range(PARKED_DAYS)]
        found = await asyncio.gather(*(self._of_day(bucket, day) for day in days))
        parked = tuple(one for of_day in found for one in of_day)
        self._parked = (now, parked)
        return parked

    async def _of_day(self, bucket: str, day: date) -> Sequence[Parked]:
        answer = await self._s3.list_objects_v2(Bucket=bucket, Prefix=parked_folder(day), MaxKeys=MOST_OF_DAY)
        counts: Counter[str] = Counter()
        latest: dict[str, datetime] = {}
        for listed in answer.get("Contents", ()):
            reason = parked_reason(listed["Key"])
            if reason is not None:
                counts[reason] += 1
                latest[reason] = max(latest.get(reason, listed["LastModified"]), listed["LastModified"])
        more = answer.get("IsTruncated", False)
        return [
            Parked(day, reason, records, latest[reason], more) for reason, records in sorted(counts.items())
        ]
