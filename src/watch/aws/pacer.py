"""Calls of CloudWatch's alarm operations at the pace that their quotas allow; throttled ones are tried again.

Which pace is in `watch.alarming.pacing`. The SDK's own retries come first: they are for a second or two.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from botocore.exceptions import ClientError

from llmplatform.aws.refusals import error_code
from llmplatform.clock import Clock
from watch.alarming.pacing import QUOTA_PER_S, SHARE, Bucket, Operation, bucket_of

ResultT = TypeVar("ResultT")
Pause = Callable[[float], Awaitable[None]]

THROTTLED: Final = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
    }
)
MAX_TRIES: Final = 6
FIRST_PAUSE_S: Final = 1.0
"""Doubled each time: half a minute in all, for somebody else's deployment to be through."""


class Pacer:
    """Makes calls no faster than their quotas allow. One for all that a process does."""

    def __init__(
        self, clock: Clock, *, puts_per_s: float = QUOTA_PER_S["PutMetricAlarm"], pause: Pause = asyncio.sleep
    ) -> None:
        self._clock = clock
        self._pause = pause
        self._buckets: dict[Operation, Bucket] = {
            "PutMetricAlarm": Bucket(puts_per_s * SHARE),
            "PutCompositeAlarm": Bucket(puts_per_s * SHARE),
        }
        self.throttled = 0

    async def call(self, operation: Operation, make: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """What `make` answers, as soon as it may be called. Raises what it raises, throttling at last too."""
        bucket = self._buckets.setdefault(operation, bucket_of(operation))
        for attempt in range(MAX_TRIES):
            wait_s = bucket.take(self._clock.monotonic_ns() / 1e9)
            if wait_s > 0:
                await self._pause(wait_s)
            try:
                return await make()
            except ClientError as error:
                if error_code(error) not in THROTTLED or attempt == MAX_TRIES - 1:
                    raise
                self.throttled += 1
                await self._pause(FIRST_PAUSE_S * 2**attempt)
        raise AssertionError("unreachable: the last try returns or raises")
