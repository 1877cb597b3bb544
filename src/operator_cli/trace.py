"""`llm-platform trace`: finds the requests behind an id, in the ledger and in X-Ray.

How they are shown is in `trace_view`. A trace may hold several requests, and a request id is enough to find
its row: it carries the time, and the shard follows from it.
"""

import asyncio
import dataclasses
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from llmplatform import ids
from llmplatform.aws.parameters import PREFIX
from llmplatform.aws.sessions import aws_session
from llmplatform.aws.tables import REQUEST_LEDGER
from llmplatform.ledger import LedgerRow, decode_item, partition_key, trace_key
from operator_cli.console import CommandFailed, print_table
from operator_cli.trace_view import Bar, bars_of_segments, request_life

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_ssm import SSMClient
    from types_aiobotocore_xray import XRayClient

WAIT_S: Final = 3.0
"""A row and its spans arrive a moment after the answer; so long they are waited for."""
_LOOK_AGAIN_S: Final = 0.5
_MAX_ROWS: Final = 200
_KEYS_PER_GET: Final = 100  # the most that BatchGetItem takes
# A request completes in the hour of its arrival or in the next one: the longest total timeout is far below.
_HOURS: Final = (timedelta(), timedelta(hours=1))
_HEX = re.compile(r"[0-9a-f]{32}")
_XRAY = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})")
_ANSWER: Final = "chatcmpl-"  # before the request id, in an answer's `id`
_UUID_VERSION: Final = 14  # index of the version in a dashed UUID


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of one trace."""

    trace_id: str
    rows: tuple[LedgerRow, ...]
    bars: tuple[Bar, ...]


def bare(any_id: str) -> str:
    """The id without what an answer's own id puts before it, in lower case."""
    return any_id.strip().lower().removeprefix(_ANSWER)


def trace_id_of(text: str) -> str | None:
    """The 32 hex digits of a trace id in any of its three forms, or None."""
    lowered = text.strip().lower()
    xray = _XRAY.fullmatch(lowered)
    if xray:
        return xray[1] + xray[2]
    return lowered if _HEX.fullmatch(lowered) else ids.parse_uuid(lowered)


def arrival_of(request_id: str) -> datetime | None:
    """When a request id was made, which it says itself (UUIDv7); None for any other UUID."""
    digits = ids.parse_uuid(request_id)
    if digits is None or request_id.strip()[_UUID_VERSION] != "7":
        return None
    return datetime.fromtimestamp(int(digits[:12], 16) / 1_000, UTC)


def run_trace(any_id: str, *, region: str, as_json: bool) -> None:
    """Find the trace and print it. Raises CommandFailed that says what to check when there is nothing."""
    wanted = bare(any_id)
    trace_id = trace_id_of(wanted)
    if trace_id is None:
        raise CommandFailed(
            f"{any_id!r} is no id: give what x-trace-id or x-request-id said (a UUID), the answer's own id "
            "(chatcmpl-UUID), 32 hex digits, or X-Ray's 1-8hex-24hex"
        )
    found = asyncio.run(_look(wanted, trace_id, region))
    if found is None:
        raise CommandFailed(_nothing(any_id))
    if as_json:
        print(json.dumps(dataclasses.asdict(found), default=_plain, indent=2))
        return
    print_table(request_life(found.trace_id, found.rows, found.bars))


async def _look(any_id: str, trace_id: str, region: str) -> Found | None:
    session = aws_session(region)
    async with (
        session.client("dynamodb") as dynamodb,
        session.client("xray") as xray,
        session.client("ssm") as ssm,
    ):
        deadline = asyncio.get_running_loop().time() + WAIT_S
        while True:
            rows = await _rows_of_trace(dynamodb, trace_id)
            if not rows and arrival_of(any_id) is not None:
                rows = await row_of_request(dynamodb, await _tenants(ssm), any_id)
                trace_id = rows[0].trace_id if rows else trace_id
            bars = await _bars(xray, trace_id)
            late = asyncio.get_running_loop().time() > deadline
            # Spans without a row: the row is on its way. A kept trace without spans: they are.
            whole = rows and (bars or not any(row.trace_kept for row in rows))
            if whole or late:
                return Found(trace_id, rows, bars) if rows or bars else None
            await asyncio.sleep(_LOOK_AGAIN_S)


async def _rows_of_trace(dynamodb: "DynamoDBClient", trace_id: str) -> tuple[LedgerRow, ...]:
    index = REQUEST_LEDGER.indexes[0]
    paginator = dynamodb.get_paginator("query")
    rows: list[LedgerRow] = []
    async for page in paginator.paginate(
        TableName=REQUEST_LEDGER.name,
        IndexName=index.name,
        KeyConditionExpression="#trace = :trace",
        ExpressionAttributeNames={"#trace": index.partition_key.name},
        ExpressionAttributeValues={":trace": {"S": trace_key(trace_id)}},
        PaginationConfig={"MaxItems": _MAX_ROWS},
    ):
        rows += [decode_item(item) for item in page["Items"]]
    return tuple(sorted(rows, key=lambda row: row.received_at))


async def row_of_request(
    dynamodb: "DynamoDBClient", tenants: Iterable[str], request_id: str
) -> tuple[LedgerRow, ...]:
    """The row of a request id alone: of whichever of the tenants, in the hour that it says or the next."""
    arrival = arrival_of(request_id)
    if arrival is None:
        return ()
    keys: list[dict[str, Any]] = [
        {
            REQUEST_LEDGER.partition_key.name: {"S": partition_key(tenant, arrival + later, request_id)},
            REQUEST_LEDGER.sort_key.name: {"S": request_id},
        }
        for tenant in tenants
        for later in _HOURS
    ]
    rows: list[LedgerRow] = []
    for batch in _batches(keys):
        answer = await dynamodb.batch_get_item(RequestItems={REQUEST_LEDGER.name: {"Keys": batch}})
        rows += [decode_item(item) for item in answer["Responses"].get(REQUEST_LEDGER.name, ())]
    return tuple(rows)


async def _tenants(ssm: "SSMClient") -> tuple[str, ...]:
    names = {ids.UNKNOWN: None}
    async for page in ssm.get_paginator("get_parameters_by_path").paginate(Path=PREFIX, Recursive=True):
        for parameter in page["Parameters"]:
            tenant = ids.tenant_id(parameter["Name"].removeprefix(f"{PREFIX}/").partition("/")[0])
            if tenant is not None:
                names[tenant] = None
    return tuple(names)


async def _bars(xray: "XRayClient", trace_id: str) -> tuple[Bar, ...]:
    answer = await xray.batch_get_traces(TraceIds=[ids.as_xray(trace_id)])
    documents = [
        json.loads(segment["Document"])
        for trace in answer.get("Traces", ())
        for segment in trace.get("Segments", ())
        if "Document" in segment
    ]
    return bars_of_segments(documents)


def _batches(keys: list[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    return (keys[start : start + _KEYS_PER_GET] for start in range(0, len(keys), _KEYS_PER_GET))


def _plain(value: object) -> str:
    """How JSON spells what it has no word for: times in ISO 8601 with Z, as everywhere else."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def _nothing(any_id: str) -> str:
    return (
        f"nothing is known of {any_id}. Every request leaves a row within seconds and for "
        f"{REQUEST_LEDGER.retention_days} days, so check: is it what x-trace-id, x-request-id or the `id` "
        "of the response said; did it go to this gateway; is this the gateway's AWS account and region "
        "(`llm-platform doctor`)?"
    )
