"""A past for a tenant that has just come: evaluation results of eight days, as the worker writes them.

The detector takes a week for a baseline, and a drill has minutes. Only this is made up: the rows go through
the product's own encoder into its own table, by the identity of the very judge that runs, and whatever is
said about them afterwards is the drift job's. The drill says so in its output.
"""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from evalworker.judging.judge import JudgeConfig, judge_of
from llmplatform import ids
from llmplatform.aws.tables import EVAL_RESULTS
from llmplatform.errors import TelemetryFault
from llmplatform.evaluations import JUDGE_DIMENSIONS, EvalResult, encode_result

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_dynamodb import DynamoDBClient

DAYS: Final = 8
"""The baseline is of the seven days that ended a day ago."""
_PER_HOUR: Final = 6
_HARD_SHARE: Final = 0.3
_SEED: Final = 1
_ROWS_PER_CALL: Final = 25
_CALLS_AT_ONCE: Final = 4
_TRIES: Final = 6

GOOD: Final = {"easy": 5, "hard": 4}
"""The scores of the past, and of the drill's good answers, by the kind of question."""


@dataclass(frozen=True, slots=True)
class Past:
    """What was put in."""

    rows: int
    first: datetime
    last: datetime


def results_of(
    tenant: str, model: str, config: JudgeConfig, now: datetime, *, days: int = DAYS
) -> Iterator[EvalResult]:
    """Results of a quiet week, the oldest first; the same for the same time."""
    chance = random.Random(_SEED)  # noqa: S311  # nothing secret
    judge = judge_of(config)
    hour = now.replace(minute=0, second=0, microsecond=0) - timedelta(days=days)
    while hour < now - timedelta(hours=1):
        # Within ten minutes of each hour: the job reads what is near in one go.
        for ms in sorted(chance.randrange(600_000) for _ in range(_PER_HOUR)):
            event_at = hour + timedelta(milliseconds=ms)
            request_id = ids.request_id(int(event_at.timestamp() * 1_000), chance.randbytes(10))
            score = GOOD["hard" if chance.random() < _HARD_SHARE else "easy"]
            yield EvalResult(
                tenant_id=tenant,
                request_id=request_id,
                trace_id=ids.as_uuid(ids.uuid4_hex(chance.randbytes(16))),
                event_at=event_at,
                judged_at=event_at + timedelta(seconds=3),
                model_id=model,
                endpoint_type="bedrock",
                sample_rate=1.0,
                sample_reason="rate",
                judge=judge,
                scores=dict.fromkeys(JUDGE_DIMENSIONS, score),
                content_truncated=False,
                judge_latency_ms=20.0,
                judge_cost_usd=Decimal("0.0015"),
            )
        hour += timedelta(hours=1)


async def put(dynamodb: "DynamoDBClient", results: Iterator[EvalResult]) -> Past:
    """Store them. Raises what the SDK raises, and TelemetryFault where DynamoDB leaves rows unwritten."""
    stored = list(results)
    places = asyncio.Semaphore(_CALLS_AT_ONCE)

    async def in_turn(batch: list[EvalResult]) -> None:
        async with places:
            await _write(dynamodb, batch)

    async with asyncio.TaskGroup() as writes:
        for at in range(0, len(stored), _ROWS_PER_CALL):
            writes.create_task(in_turn(stored[at : at + _ROWS_PER_CALL]))
    return Past(len(stored), stored[0].event_at, stored[-1].event_at)


async def _write(dynamodb: "DynamoDBClient", batch: list[EvalResult]) -> None:
    left: Any = {EVAL_RESULTS.name: [{"PutRequest": {"Item": encode_result(result)}} for result in batch]}
    for attempt in range(_TRIES):
        answer = await dynamodb.batch_write_item(RequestItems=left)
        left = answer.get("UnprocessedItems")
        if not left:
            return
        await asyncio.sleep(0.05 * 2**attempt)
    raise TelemetryFault("DynamoDB left results of the seeded history unwritten")
