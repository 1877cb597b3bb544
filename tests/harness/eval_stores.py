"""The stores of evaluation as a worker has them, before whatever listens at an address."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from evalworker.stores.results import Results
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.aws.tables import EVAL_RESULTS
from llmplatform.clock import SystemClock
from sandbox.emulator import CREDENTIALS, REGION


@asynccontextmanager
async def results_at(
    url: str, table: str = EVAL_RESULTS.name, *, timeout_s: float = 60.0
) -> AsyncIterator[Results]:
    """The store of results at an address."""
    http = SignedHttp(
        service="dynamodb",
        url=url,
        region=REGION,
        credentials=lambda: CREDENTIALS,
        clock=SystemClock(),
        connections=16,
        timeout_s=timeout_s,
    )
    async with http:
        yield Results(DynamoDb(http), table=table, first_pause_s=0.001)
