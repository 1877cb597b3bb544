"""What the watchdog goes by: the ledger's rows of a tenant, and the workers' heartbeats."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from evalworker.drift.watchdog import Traffic
from llmplatform.aws.eval_workers import heartbeats
from llmplatform.aws.tables import REQUEST_LEDGER
from llmplatform.eval_heartbeat import Heartbeat
from llmplatform.invocation import Outcome
from llmplatform.ledger import partition_keys
from llmplatform.sampling import evaluation_chosen

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_dynamodb import DynamoDBClient

ROWS_PER_PARTITION: Final = 200
"""The newest of each: request ids rise with time. Enough to tell, and one call whatever the traffic."""
_FIELDS: Final = ("request_id", "origin", "outcome", "completed_at", "sampled", "sampled_rate")


class TrafficReader:
    """Reads over an SDK's client. What DynamoDB raises, passes."""

    def __init__(self, dynamodb: "DynamoDBClient") -> None:
        self._dynamodb = dynamodb

    async def traffic(self, tenant_id: str, start: datetime, end: datetime) -> Traffic:
        """A tenant's completed requests of [start, end), of a busy tenant the newest of them."""
        hours = {
            start.replace(minute=0, second=0, microsecond=0),
            end.replace(minute=0, second=0, microsecond=0),
        }
        keys = [key for hour in sorted(hours) for key in partition_keys(tenant_id, hour)]
        found = await asyncio.gather(*(self._of_partition(key, start, end) for key in keys))
        return sum(found, Traffic())

    async def workers(self, now: datetime, *, within: timedelta) -> tuple[Heartbeat, ...]:
        """Workers that were heard of lately."""
        heard = await heartbeats(self._dynamodb)
        return tuple(worker for worker in heard if now - worker.at <= within)

    async def _of_partition(self, key: str, start: datetime, end: datetime) -> Traffic:
        names = {f"#{at}": name for at, name in enumerate(_FIELDS)}
        answer = await self._dynamodb.query(
            TableName=REQUEST_LEDGER.name,
            KeyConditionExpression="#key = :key",
            ExpressionAttributeNames={**names, "#key": REQUEST_LEDGER.partition_key.name},
            ExpressionAttributeValues={":key": {"S": key}},
            ProjectionExpression=",".join(names),
            ScanIndexForward=False,
            Limit=ROWS_PER_PARTITION,
        )
        return sum((_traffic_of(item, start, end) for item in answer["Items"]), Traffic())


def _traffic_of(item: Mapping[str, Any], start: datetime, end: datetime) -> Traffic:
    """What one row adds."""
    try:
        ours = item["origin"]["S"] == "client" and item["outcome"]["S"] == Outcome.COMPLETED.value
        if not ours or not start <= datetime.fromisoformat(item["completed_at"]["S"]) < end:
            return Traffic()
        if item["sampled"]["BOOL"]:
            return Traffic(completed=1, sampled=1)
        chosen = evaluation_chosen(item["request_id"]["S"], float(item["sampled_rate"]["N"]))
        return Traffic(completed=1, opted_out=int(chosen))
    except (KeyError, ValueError):
        return Traffic()  # no row of ours
