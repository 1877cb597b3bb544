"""DynamoDB calls that are tried again for whatever may pass, so many at a time: for jobs, which may wait.

Who cannot wait, the ledger's sink say, calls `DynamoDb` itself and keeps what was not taken.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import aiohttp

from llmplatform.aws.dynamodb import DynamoDb, DynamoDbFault
from llmplatform.errors import TelemetryFault
from llmplatform.redaction import describe_fault

_Answer = TypeVar("_Answer")

# Waits of at most 50, 100, 200 and 400 ms, and so on.
ATTEMPTS: Final = 5
FIRST_PAUSE_S: Final = 0.05

# What no repetition changes. A missing table or permission may come.
FINAL: Final = frozenset({"ConditionalCheckFailedException", "SerializationException", "ValidationException"})


ROWS_PER_CALL: Final = 25
"""The most that BatchWriteItem takes."""


class DynamoDbUnavailable(TelemetryFault):
    """A call did not succeed however often it was made; the same one may succeed later."""

    code = "dynamodb_unavailable"


class PatientDynamoDb:
    """The service behind an open client."""

    def __init__(
        self,
        dynamodb: DynamoDb,
        *,
        in_flight: int,
        attempts: int = ATTEMPTS,
        first_pause_s: float = FIRST_PAUSE_S,
        final: frozenset[str] = FINAL,
    ) -> None:
        """At most `in_flight` calls at once, each made at most `attempts` times; `final` errors are not."""
        self._dynamodb = dynamodb
        self._attempts = attempts
        self._first_pause_s = first_pause_s
        self._final = final
        self._in_flight = asyncio.Semaphore(in_flight)

    async def call(self, operation: str, request: Mapping[str, Any] | bytes) -> dict[str, Any]:
        """The answer to an operation.

        Raises DynamoDbFault when it was refused for good, DynamoDbUnavailable otherwise.
        """
        return await self._patiently(operation, lambda: self._dynamodb.call(operation, request))

    async def call_decoded(
        self, operation: str, request: Mapping[str, Any] | bytes, decode: Callable[[bytes], _Answer]
    ) -> _Answer:
        """The answer as `decode` reads its body; one for which that raises TelemetryFault is asked for again.

        Raises as `call` does.
        """

        async def once() -> _Answer:
            return decode(await self._dynamodb.call_undecoded(operation, request))

        return await self._patiently(operation, once)

    async def pages(self, request: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The answers to a Query, page by page to its end. Raises as `call` does."""
        start: Mapping[str, Any] | None = None
        while True:
            page = await self.call("Query", {**request, "ExclusiveStartKey": start} if start else request)
            yield page
            start = page.get("LastEvaluatedKey")
            if not start:
                return

    async def write(self, table: str, writes: Sequence[Mapping[str, Any]]) -> None:
        """Put and delete rows, `PutRequest` and `DeleteRequest` each, in batches; no two of the same row.

        Raises as `call` does, and DynamoDbUnavailable when rows are left over however often they are brought.
        """
        try:
            async with asyncio.TaskGroup() as batches:
                for at in range(0, len(writes), ROWS_PER_CALL):
                    batches.create_task(self._write_batch(table, writes[at : at + ROWS_PER_CALL]))
        except* (DynamoDbFault, DynamoDbUnavailable) as group:
            raise group.exceptions[0] from None

    async def _write_batch(self, table: str, writes: Sequence[Mapping[str, Any]]) -> None:
        left = writes
        for attempt in range(self._attempts):
            answer = await self.call("BatchWriteItem", {"RequestItems": {table: left}})
            left = answer.get("UnprocessedItems", {}).get(table, ())
            if not left:
                return
            await self.pause(attempt)
        raise DynamoDbUnavailable("DynamoDB BatchWriteItem left rows unprocessed")

    async def _patiently(self, operation: str, call: Callable[[], Awaitable[_Answer]]) -> _Answer:
        problem = ""
        for attempt in range(self._attempts):
            if attempt:
                await self.pause(attempt - 1)
            try:
                async with self._in_flight:
                    return await call()
            except DynamoDbFault as fault:
                if fault.kind in self._final:
                    raise
                problem = str(fault)
            except TelemetryFault as fault:
                problem = f"DynamoDB {operation}: {fault}"
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                problem = f"DynamoDB {operation} had no answer: {describe_fault(error)}"
        raise DynamoDbUnavailable(problem)

    async def pause(self, attempt: int) -> None:
        """Wait before the next attempt, the longer the more there were, with jitter."""
        most_s = self._first_pause_s * 2**attempt
        await asyncio.sleep(most_s * random.uniform(0.5, 1.0))  # noqa: S311  # jitter
