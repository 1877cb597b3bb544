"""`llm-platform trace`: finds the requests behind an id, in the ledger and in X-Ray.

How they are shown is in `trace_view`. A trace may hold several requests, and a request id is enough to find
its row: it carries the time, and the shard follows from it.
"""

import asyncio
import dataclasses
import json
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from llmplatform import ids
from llmplatform.aws.ledger_reader import LedgerReader
from llmplatform.aws.parameters import PREFIX
from llmplatform.aws.sessions import aws_session
from llmplatform.aws.tables import REQUEST_LEDGER
from llmplatform.clock import SystemClock
from llmplatform.ledger import LedgerRow
from llmplatform.redaction import describe_fault
from llmplatform.waterfall import Bar
from operator_cli.console import ERR, CommandFailed, print_table
from operator_cli.trace_view import request_life
from watch.reading.partly import FAILURES
from watch.reading.traces import TraceReader

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_ssm import SSMClient

WAIT_S: Final = 3.0
"""A row and its spans arrive a moment after the answer; so long they are waited for."""
_LOOK_AGAIN_S: Final = 0.5
_WITHOUT_ROW: Final = timedelta(days=1)
"""So far back spans are looked for where the ledger does not tell when."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of one trace."""

    trace_id: str
    rows: tuple[LedgerRow, ...]
    bars: tuple[Bar, ...] | None
    """None where they cannot be read."""


def run_trace(any_id: str, *, region: str, as_json: bool) -> None:
    """Find the trace and print it. Raises CommandFailed that says what to check when there is nothing."""
    wanted = ids.bare(any_id)
    trace_id = ids.trace_id_of(wanted)
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
        clock = SystemClock()
        ledger, spans = LedgerReader(dynamodb), TraceReader(xray, clock)
        deadline = asyncio.get_running_loop().time() + WAIT_S
        while True:
            rows = await ledger.of_trace(trace_id)
            if not rows and ids.arrival_of(any_id) is not None:
                rows = await ledger.of_request(any_id, await _tenants(ssm))
                trace_id = rows[0].trace_id if rows else trace_id
            bars = await _told(spans.of_requests(rows))
            on_their_way = bars == () and any(row.trace_kept for row in rows)
            if (rows and not on_their_way) or asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(_LOOK_AGAIN_S)
        if not rows:
            now = clock.now()
            bars = await _told(spans.spans(trace_id, now - _WITHOUT_ROW, now))
        if not rows and bars is None:
            raise CommandFailed(f"the ledger has no row of {any_id}, and whether it has spans is unknown")
        return Found(trace_id, rows, bars) if rows or bars else None


async def _told(reading: Awaitable[tuple[Bar, ...]]) -> tuple[Bar, ...] | None:
    """Spans; where they cannot be read, the reason, on stderr: the ledger's account stands without them."""
    try:
        return await reading
    except FAILURES as error:
        ERR.print(f"X-Ray cannot be read: {describe_fault(error)}", style="yellow")
        return None


async def _tenants(ssm: "SSMClient") -> tuple[str, ...]:
    names = {ids.UNKNOWN: None}
    async for page in ssm.get_paginator("get_parameters_by_path").paginate(Path=PREFIX, Recursive=True):
        for parameter in page["Parameters"]:
            tenant = ids.tenant_id(parameter["Name"].removeprefix(f"{PREFIX}/").partition("/")[0])
            if tenant is not None:
                names[tenant] = None
    return tuple(names)


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
