"""What the commands of `evals` read from: results, tenants, drift, workers, the bucket of the history."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import aioboto3

from evalworker.settings import EvalSettings, read_settings
from evalworker.stores.objects import Objects
from llmplatform import ids
from llmplatform.aws.buckets import bucket_name
from llmplatform.aws.envelope import ContentKeys
from llmplatform.aws.eval_content import ContentReader, Said
from llmplatform.aws.eval_reader import EvalReader, JudgedScores
from llmplatform.aws.eval_workers import heartbeats
from llmplatform.aws.ledger_reader import LedgerReader
from llmplatform.aws.sessions import aws_session
from llmplatform.aws.tables import EVAL_DETECTOR, EVAL_HISTORY
from llmplatform.clock import Clock, SystemClock
from llmplatform.eval_heartbeat import Heartbeat
from llmplatform.eval_status import STATUS_ENTRY, SeriesStatus, decode_statuses
from llmplatform.evaluations import EvalResult
from llmplatform.ids import TenantId
from llmplatform.ledger import LedgerRow
from llmplatform.policy import TenantPolicy
from llmplatform.tenants import TenantFault, Tenants

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_dynamodb import DynamoDBClient

READS_AT_ONCE: Final = 8


@dataclass(slots=True)
class Account:
    """One account, through open clients."""

    session: aioboto3.Session
    dynamodb: "DynamoDBClient"
    tenants: Tenants
    results: EvalReader
    content: ContentReader
    clock: Clock
    _policies: dict[str, TenantPolicy | None] = field(default_factory=dict)
    _listed: tuple[str, ...] = ()
    _listing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _reads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READS_AT_ONCE))

    async def policy(self, tenant_id: str) -> TenantPolicy | None:
        """A tenant's present policy; None where the tenant is gone, or the policy does not parse."""
        if tenant_id not in self._policies:
            try:
                self._policies[tenant_id] = (await self.tenants.get(TenantId(tenant_id))).policy
            except TenantFault:
                self._policies[tenant_id] = None
        return self._policies[tenant_id]

    async def said(self, result: EvalResult) -> Said:
        """What was said, where the tenant's present policy and our permissions let it be shown."""
        return await self.content.said(result, await self.policy(result.tenant_id))

    async def whole(self, scores: JudgedScores) -> EvalResult | None:
        """The whole result of which these are the figures; None where it is gone meanwhile."""
        async with self._reads:
            return await self.results.whole(scores)

    async def of_trace(self, trace_id: str) -> list[EvalResult]:
        """All results of the requests under a trace (32 hex digits)."""
        async with self._reads:
            return [result async for result in self.results.of_trace(ids.as_uuid(trace_id))]

    async def ledger_row(self, request_id: str) -> LedgerRow | None:
        """The row of a request, whichever tenant's it is."""
        async with self._listing:
            self._listed = self._listed or (
                ids.UNKNOWN,
                *[one.tenant_id for one in await self.tenants.list()],
            )
        async with self._reads:
            rows = await LedgerReader(self.dynamodb).of_request(request_id, self._listed)
        return rows[0] if rows else None

    async def statuses(self, tenant_id: str) -> tuple[SeriesStatus, ...]:
        """How the tenant's series stand; none where the drift job never looked."""
        answer = await self.dynamodb.get_item(
            TableName=EVAL_DETECTOR.name,
            Key={
                EVAL_DETECTOR.partition_key.name: {"S": tenant_id},
                EVAL_DETECTOR.sort_key.name: {"S": STATUS_ENTRY},
            },
        )
        return decode_statuses(answer["Item"]) if "Item" in answer else ()

    async def workers(self) -> tuple[Heartbeat, ...]:
        """Workers that have lately told of themselves, the latest first; what cannot be read is left out."""
        return await heartbeats(self.dynamodb)


@asynccontextmanager
async def open_account(region: str) -> AsyncIterator[Account]:
    """The account that the environment names."""
    session, clock = aws_session(region), SystemClock()
    async with AsyncExitStack() as stack:
        dynamodb = await stack.enter_async_context(session.client("dynamodb"))
        ssm = await stack.enter_async_context(session.client("ssm"))
        content = stack.enter_context(closing(ContentReader(partial(ContentKeys, region=region))))
        yield Account(session, dynamodb, Tenants(ssm, clock), EvalReader(dynamodb, clock), content, clock)


@asynccontextmanager
async def open_history(session: aioboto3.Session, settings: EvalSettings) -> AsyncIterator[Objects]:
    """The bucket of the history: the one that the settings name, else the account's own."""
    async with session.client("s3") as s3:
        yield Objects(s3, settings.history_bucket or await bucket_name(session, EVAL_HISTORY))


def eval_settings() -> EvalSettings:
    """The worker's settings as this environment has them. Raises ConfigFault."""
    return read_settings()[0]
