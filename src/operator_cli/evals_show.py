"""`llm-platform evals show`: everything about the evaluation of a request, by its trace or its own id."""

import asyncio
import json
from datetime import datetime

from llmplatform import ids
from llmplatform.evaluations import EvalResult
from llmplatform.ledger import LedgerRow
from operator_cli.console import CommandFailed, print_table
from operator_cli.evals_account import Account, open_account
from operator_cli.evals_show_view import Shown, evaluations, facts_of_shown


def run_show(any_id: str, *, region: str, content: bool, as_json: bool) -> None:
    """Print it. Raises CommandFailed that says why there is nothing, as far as the ledger tells."""
    wanted = ids.bare(any_id)
    trace_id = ids.trace_id_of(wanted)
    if trace_id is None:
        raise CommandFailed(
            f"{any_id!r} is no id: give what x-trace-id or x-request-id said (a UUID), the answer's own id "
            "(chatcmpl-UUID), 32 hex digits, or X-Ray's 1-8hex-24hex"
        )
    shown = asyncio.run(_look(wanted, trace_id, region))
    if as_json:
        print(json.dumps([facts_of_shown(one, content=content) for one in shown], indent=2))
    else:
        print_table(evaluations(shown, content=content))


async def _look(wanted: str, trace_id: str, region: str) -> list[Shown]:
    async with open_account(region) as account:
        results = await account.of_trace(trace_id)
        if not results:
            results = await _of_request(account, wanted)
        results.sort(key=lambda result: (result.event_at, result.request_id, result.judged_at))
        return [Shown(result, await account.said(result)) for result in results]


async def _of_request(account: Account, request_id: str) -> list[EvalResult]:
    row = None if ids.arrival_of(request_id) is None else await account.ledger_row(request_id)
    if row is None:
        raise CommandFailed(
            f"no evaluation of {request_id}, and no row of such a request in the ledger; for a trace id "
            f"`llm-platform trace {request_id}` shows its requests, and whether they were chosen"
        )
    found = [one for one in await account.of_trace(row.trace_id) if one.request_id == row.request_id]
    if not found:
        raise CommandFailed(why_none(row, account.clock.now()))
    return found


def why_none(row: LedgerRow, now: datetime) -> str:
    """Why a request of the ledger has no evaluation, as far as its row tells."""
    trace = ids.as_uuid(row.trace_id)
    if not row.sampled:
        rate = "unknown" if row.sampled_rate is None else f"{row.sampled_rate:g}"
        return f"request {row.request_id} was not chosen for evaluation (rate {rate})"
    age_s = (now - row.completed_at).total_seconds()
    return (
        f"request {row.request_id} (trace {trace}) was chosen {age_s:.0f} s ago and has no result: it waits "
        "for a worker, was skipped, or was put aside (`llm-platform evals parked`, `llm-platform doctor`)"
    )
