"""Results in DynamoDB: one for each request and judge, whoever writes first.

Whoever writes second is handed what the first one wrote, so that everything after it (the history, a report)
says the same. What people and jobs read is in `llmplatform.aws.eval_reader`.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from evalworker.stores.faults import StoreRefused, StoreUnavailable
from llmplatform.aws.dynamodb import DynamoDb, DynamoDbFault
from llmplatform.aws.patient_dynamodb import (
    ATTEMPTS,
    FIRST_PAUSE_S,
    DynamoDbUnavailable,
    PatientDynamoDb,
)
from llmplatform.aws.tables import EVAL_RESULTS
from llmplatform.errors import TelemetryFault
from llmplatform.evaluations import EvalResult, ResultKey, decode_result, encode_result

__all__ = ["Results", "StoreRefused", "StoreUnavailable"]

# BatchGetItem takes 100 keys and answers with up to 16 MB of items, in JSON twice that where they hold many
# quotes. 25 of the largest stay under what one answer may be (`signed_http.MAX_ANSWER_BYTES`).
KEYS_PER_CALL: Final = 25
CALLS_IN_FLIGHT: Final = 16

# Limits of a key, in bytes.
_MAX_PARTITION_KEY: Final = 2_048
_MAX_SORT_KEY: Final = 1_024

_PARTITION: Final = EVAL_RESULTS.partition_key.name
_SORT: Final = EVAL_RESULTS.sort_key.name

# What DynamoDB says of a row that it will never take.
_REFUSALS: Final = frozenset({"ValidationException", "SerializationException"})


class Results:
    """The table of results behind an open client. Raises StoreUnavailable when it cannot be used now."""

    def __init__(
        self, dynamodb: DynamoDb, *, table: str = EVAL_RESULTS.name, first_pause_s: float = FIRST_PAUSE_S
    ) -> None:
        self._dynamodb = PatientDynamoDb(dynamodb, in_flight=CALLS_IN_FLIGHT, first_pause_s=first_pause_s)
        self._table = table

    async def known(self, keys: Sequence[ResultKey]) -> Mapping[ResultKey, EvalResult]:
        """Those of the results that are stored, as of now; a row that is none of ours is left out."""
        wanted = [key for key in dict.fromkeys(keys) if _can_be_stored(key)]
        chunks = [wanted[at : at + KEYS_PER_CALL] for at in range(0, len(wanted), KEYS_PER_CALL)]
        found: dict[ResultKey, EvalResult] = {}
        try:
            async with asyncio.TaskGroup() as reads:
                tasks = [reads.create_task(self._read(chunk)) for chunk in chunks]
        except* StoreUnavailable as group:
            raise StoreUnavailable(str(group.exceptions[0])) from None
        for task in tasks:
            found |= task.result()
        return found

    async def put(self, result: EvalResult) -> EvalResult:
        """Store a result, unless there is one; gives the one that is stored, this very one if it is ours.

        Raises StoreRefused when the table will not take it, or holds what is no result in its place.
        """
        item = encode_result(result)
        request = orjson.dumps(
            {
                "TableName": self._table,
                "Item": item,
                "ConditionExpression": "attribute_not_exists(#key)",
                "ExpressionAttributeNames": {"#key": _PARTITION},
            }
        )
        try:
            await self._call("PutItem", request)
        except DynamoDbFault as fault:
            if fault.kind in _REFUSALS:
                raise StoreRefused("the table does not take this result") from None
        else:
            return result
        key = ResultKey(result.tenant_id, item[_SORT]["S"])
        stored = (await self._read([key])).get(key)
        if stored is None:
            raise StoreRefused("the table holds what is no result in this one's place")
        # An attempt whose answer was lost may have been the first writer.
        return result if stored == decode_result(item) else stored

    async def _read(self, keys: Sequence[ResultKey]) -> dict[ResultKey, EvalResult]:
        """Those of a few results that are stored."""
        found: dict[ResultKey, EvalResult] = {}
        asked: Any = {"Keys": [_key_item(key) for key in keys], "ConsistentRead": True}
        for attempt in range(ATTEMPTS):
            try:
                answer = await self._call("BatchGetItem", {"RequestItems": {self._table: asked}})
            except DynamoDbFault as fault:
                raise StoreUnavailable(str(fault)) from None
            found |= _results_of(answer.get("Responses", {}).get(self._table, ()))
            asked = answer.get("UnprocessedKeys", {}).get(self._table)
            if not asked:
                return found
            await self._dynamodb.pause(attempt)
        raise StoreUnavailable("DynamoDB BatchGetItem left keys unprocessed")

    async def _call(self, operation: str, request: Mapping[str, Any] | bytes) -> dict[str, Any]:
        """The answer to an operation. Raises DynamoDbFault when refused, StoreUnavailable otherwise."""
        try:
            return await self._dynamodb.call(operation, request)
        except DynamoDbUnavailable as unavailable:
            raise StoreUnavailable(str(unavailable)) from None


def _can_be_stored(key: ResultKey) -> bool:
    """Whether the table may hold it: a key over its limits fails all that are asked for beside it."""
    tenant_bytes, sort_bytes = len(key.tenant_id.encode()), len(key.result_key.encode())
    return 0 < tenant_bytes <= _MAX_PARTITION_KEY and 0 < sort_bytes <= _MAX_SORT_KEY


def _key_item(key: ResultKey) -> dict[str, dict[str, str]]:
    return {_PARTITION: {"S": key.tenant_id}, _SORT: {"S": key.result_key}}


def _results_of(items: Iterable[Mapping[str, Mapping[str, Any]]]) -> dict[ResultKey, EvalResult]:
    found = {}
    for item in items:
        try:
            found[ResultKey(item[_PARTITION]["S"], item[_SORT]["S"])] = decode_result(item)
        except TelemetryFault:
            continue  # whoever writes in its place is told by `put`
    return found
