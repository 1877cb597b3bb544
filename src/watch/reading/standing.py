"""How scores stand, by tenant, as the drift job last told: one row a tenant of the detector's table.

Read for all tenants at once: as metrics it would be thousands of series, as rows it is one call. Kept for
half a minute; the job itself looks once a minute.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from llmplatform.aws.tables import EVAL_DETECTOR
from llmplatform.clock import Clock
from llmplatform.errors import TelemetryFault
from llmplatform.eval_status import LOOKED, STATUS_ENTRY, STATUSES, Look, decode_look, decode_statuses
from llmplatform.redaction import describe_fault
from watch.quality import Standing, Statuses

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_dynamodb import DynamoDBClient

logger = logging.getLogger(__name__)

KEEP: Final = timedelta(seconds=30)
STILL_SHOWN: Final = timedelta(hours=1)
WITHIN_S: Final = 4.0
MAX_KEYS: Final = 100
"""That one BatchGetItem takes."""
_MAX_ROUNDS: Final = 20
"""Of keys that DynamoDB gave back: 16 MB an answer, or fewer while it is throttled."""
_OWNER: Final = EVAL_DETECTOR.partition_key.name
_Row = tuple[Statuses | None, Look | None]
_FAILURES: Final = (ClientError, BotoCoreError, aiohttp.ClientError, OSError, asyncio.TimeoutError)


class StandingUnavailable(TelemetryFault):
    """DynamoDB does not tell now how scores stand."""

    code = "standing_unavailable"


class StandingReader:
    """Standings behind an open client."""

    def __init__(self, dynamodb: "DynamoDBClient", clock: Clock) -> None:
        self._dynamodb = dynamodb
        self._clock = clock
        self._kept: dict[str, tuple[datetime, _Row]] = {}
        self._under_way: dict[str, asyncio.Task[str]] = {}

    async def of(self, tenants: Iterable[str]) -> Standing:
        """How the scores of these tenants stand. Raises StandingUnavailable where nobody can say."""
        wanted = sorted(set(tenants))
        now = self._clock.now()
        old = [one for one in wanted if not self._is_kept(one, now, KEEP)]
        missing = [one for one in old if one not in self._under_way]
        for at in range(0, len(missing), MAX_KEYS):
            keys = missing[at : at + MAX_KEYS]
            self._under_way.update(dict.fromkeys(keys, asyncio.create_task(self._ask(keys), name="standing")))
        tasks = {self._under_way[one] for one in old}
        if tasks:
            await asyncio.wait(tasks)
        failed = next((why for task in tasks if (why := task.result())), "")
        if not all(self._is_kept(one, now, STILL_SHOWN) for one in wanted):
            raise StandingUnavailable(f"how scores stand cannot be read: {failed}")
        kept = {tenant_id: self._kept[tenant_id] for tenant_id in wanted}
        oldest = min((read_at for read_at, _ in kept.values()), default=now)
        return Standing(
            {tenant_id: statuses for tenant_id, (_, (statuses, _)) in kept.items()},
            oldest,
            failed,
            {tenant_id: look for tenant_id, (_, (_, look)) in kept.items()},
        )

    async def _ask(self, tenants: Sequence[str]) -> str:
        """Read them; why it could not be done, "" where it could."""
        try:
            async with asyncio.timeout(WITHIN_S):
                await self._read(tenants)
        except _FAILURES as failure:
            why = describe_fault(failure)
            logger.warning("standing of scores not read", extra={"reason": why})
            return why
        finally:
            for one in tenants:
                self._under_way.pop(one, None)
        return ""

    def _is_kept(self, tenant_id: str, now: datetime, age: timedelta) -> bool:
        kept = self._kept.get(tenant_id)
        return kept is not None and now - kept[0] < age

    async def _read(self, tenants: Sequence[str]) -> None:
        rows: dict[str, Mapping[str, Any]] = {}
        wanted: dict[str, Any] = {
            EVAL_DETECTOR.name: {
                "Keys": [_key(tenant_id) for tenant_id in tenants],
                "ProjectionExpression": "#owner, #statuses, #looked",
                "ExpressionAttributeNames": {"#owner": _OWNER, "#statuses": STATUSES, "#looked": LOOKED},
            }
        }
        for _ in range(_MAX_ROUNDS):
            answer = await self._dynamodb.batch_get_item(RequestItems=wanted)
            for row in answer["Responses"].get(EVAL_DETECTOR.name, ()):
                rows[row[_OWNER]["S"]] = row
            wanted = dict(answer.get("UnprocessedKeys", {}))
            if not wanted:
                break
        else:
            raise TimeoutError
        now = self._clock.now()
        self._kept.update((tenant_id, (now, row)) for tenant_id, row in _decoded(tenants, rows))


def _key(tenant_id: str) -> dict[str, Any]:
    return {_OWNER: {"S": tenant_id}, EVAL_DETECTOR.sort_key.name: {"S": STATUS_ENTRY}}


def _decoded(tenants: Sequence[str], rows: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, _Row]]:
    for tenant_id in tenants:
        if (row := rows.get(tenant_id)) is None:
            yield tenant_id, ((), None)
            continue
        try:
            yield tenant_id, (decode_statuses(row), decode_look(row))
        except TelemetryFault:
            logger.warning("a drift status that cannot be read", extra={"tenant_id": tenant_id})
            yield tenant_id, (None, None)
