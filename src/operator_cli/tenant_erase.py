"""`llm-platform tenant erase`: takes a tenant out for good, and shows that its content is unreadable."""

import asyncio
import json
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import typer

from llmplatform.aws.buckets import bucket_name
from llmplatform.aws.envelope import ContentKeys, DataKeyLimits
from llmplatform.aws.erasure import NO_MEMORY, SETTLE_S, Erased, Eraser
from llmplatform.aws.sessions import aws_session
from llmplatform.aws.stored_content import StoredContent
from llmplatform.aws.tables import CONTENT_LOGS, EVAL_HISTORY, EVAL_STREAM, REQUEST_LEDGER
from llmplatform.clock import SystemClock
from llmplatform.erasure import Tombstones
from llmplatform.ids import TenantId
from llmplatform.tenants import Tenants
from operator_cli.console import ERR, OUT, CommandFailed

POINT_IN_TIME_DAYS = 35
"""How far back DynamoDB can restore a table."""
CACHED_KEY_MINUTES = DataKeyLimits().max_age_s / 60


def run_erase(
    tenant: TenantId, region: str, *, yes: bool = False, as_json: bool = False, settle_s: float = SETTLE_S
) -> None:
    """Ask, erase, and print what was checked. Raises CommandFailed where something is still readable."""
    erased = asyncio.run(_erase(tenant, region, yes=yes, settle_s=settle_s))
    if as_json:
        print(json.dumps(_facts(erased), indent=2))
    else:
        _show(erased)
    if not erased.proven:
        raise CommandFailed(
            f"content of tenant {tenant} may still be readable; "
            "see above, then give the command again: it goes on from there"
        )


async def _erase(tenant: TenantId, region: str, *, yes: bool, settle_s: float) -> Erased:
    session = aws_session(region)
    async with (
        session.client("ssm") as ssm,
        session.client("kms") as kms,
        session.client("dynamodb") as dynamodb,
        session.client("s3") as s3,
        session.client("kinesis") as kinesis,
        session.client("logs") as logs,
    ):
        eraser = Eraser(
            tenant,
            tenants=Tenants(ssm, SystemClock()),
            tombstones=Tombstones(ssm),
            kms=kms,
            stored=StoredContent(
                tenant,
                dynamodb=dynamodb,
                s3=s3,
                kinesis=kinesis,
                logs=logs,
                bucket=await bucket_name(session, EVAL_HISTORY),
            ),
            open_keys=partial(ContentKeys, region=region, limits=NO_MEMORY),
            clock=SystemClock(),
            settle_s=settle_s,
        )
        key = await eraser.key()
        if not yes:
            under = f", with its KMS key {key}" if key is not None else ""
            typer.confirm(f"Erase tenant {tenant} and all that it ever said{under}?", abort=True)
        ERR.print(f"[dim]takes {settle_s:g} s and more: until every process has noticed[/dim]")
        return await eraser.erase(key)


def _show(erased: Erased) -> None:
    def say(name: str, text: str) -> None:
        OUT.print(f"{name:14} {text}", markup=False)

    proof, stream = erased.proof, erased.stream
    say("tenant", f"{erased.tombstone.tenant_id} is erased; gateways refuse its keys within a minute")
    if erased.key is not None:
        say("key", _key_text(erased))
        say("proof", _proof_text(erased))
    say(
        "eval-results",
        f"{erased.results_cleared} cleared; now {erased.results_under_key} hold content under the key "
        f"and {erased.results_readable} content that can be read",
    )
    say("history", f"{erased.history_deleted} object versions deleted, {erased.history_left} left")
    whole = "all" if stream.to_the_end else "the oldest"
    say(
        "stream",
        f"{whole} {stream.looked_at} records read: {stream.under_key} of the tenant under the key "
        f"and {stream.readable} that can be read",
    )
    say("content log", f"{erased.content_log_events} events")
    ERR.print("[dim]What remains, and until when:[/dim]")
    for line in _remains(erased):
        ERR.print(f"[dim]- {line}[/dim]")
    if proof.opened_now:
        ERR.print(f"[red]{proof.opened_now} stored ciphertexts can still be opened[/red]")


def _key_text(erased: Erased) -> str:
    key = erased.key
    if key is None or key.deleted_at is None:
        return f"{key.arn if key is not None else ''} is gone"
    return (
        f"{key.arn} cannot be used any more; KMS deletes it on {_minute(key.deleted_at)}, and until then "
        f"`aws kms cancel-key-deletion --key-id {key.arn}` would bring everything back"
    )


def _proof_text(erased: Erased) -> str:
    proof = erased.proof
    if not proof.tried:
        return "no stored ciphertext was found to try"
    reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(proof.refused_now.items()))
    return (
        f"of {proof.tried} stored ciphertexts {proof.opened_before} could be opened before, "
        f"{proof.opened_now} can be now ({reasons or 'none refused'})"
    )


def _remains(erased: Erased) -> list[str]:
    ledger = REQUEST_LEDGER.retention_days
    lines = [
        f"ledger rows, scores and hashes of prompts, without content: until their TTL, {ledger} days",
        f"backups of eval-results that hold what was cleared: {POINT_IN_TIME_DAYS} days",
    ]
    newest = erased.stream.newest_readable_at
    if newest is not None:
        gone_at = newest + timedelta(hours=EVAL_STREAM.retention_h)
        lines.append(f"records on the stream that can be read: until {_minute(gone_at)}")
    elif not erased.stream.to_the_end:
        lines.append(f"what was not read of the stream: {EVAL_STREAM.retention_h // 24} days")
    if erased.content_log_events:
        lines.append(f"events of the content log: {CONTENT_LOGS.retention_days} days")
    if erased.key is not None:
        lines.append(f"data keys in the memory of running processes: {CACHED_KEY_MINUTES:g} minutes")
    return lines


def _facts(erased: Erased) -> dict[str, Any]:
    key, stream = erased.key, erased.stream
    return {
        **erased.tombstone.model_dump(mode="json"),
        "proven": erased.proven,
        "key": None
        if key is None
        else {"arn": key.arn, "deleted_at": key.deleted_at and key.deleted_at.isoformat()},
        "proof": {
            "tried": erased.proof.tried,
            "opened_before": erased.proof.opened_before,
            "opened_now": erased.proof.opened_now,
            "refused_now": erased.proof.refused_now,
        },
        "results": {
            "cleared": erased.results_cleared,
            "under_key": erased.results_under_key,
            "readable": erased.results_readable,
        },
        "history": {"deleted": erased.history_deleted, "left": erased.history_left},
        "stream": {
            "looked_at": stream.looked_at,
            "to_the_end": stream.to_the_end,
            "under_key": stream.under_key,
            "readable": stream.readable,
        },
        "content_log_events": erased.content_log_events,
        "remains": _remains(erased),
    }


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M %Z}"
