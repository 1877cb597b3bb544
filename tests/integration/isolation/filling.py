"""What the tenants have, put where the product's own processes put it, by the product's own encoders.

Requests go through the gateway. Scores, minutes, standings and costs are written as the worker, the drift job
and the cost job write them, alarms as `watch apply` puts them; two of each tenant's ring.
"""

import asyncio
import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Final

import httpx

from corpus.eval_results import JUDGE, make_event, make_result
from harness.billing import a_line
from harness.cost_lines import cost_table
from harness.platform import CATALOGUE as SHARED_MODELS
from harness.platform import Laptop
from harness.scored import heartbeat, minute, status_of
from integration.isolation.subjects import ATTACKER, BANK, CLINIC, Subject, made_trace
from llmplatform import ids
from llmplatform.aws.envelope import ContentKeys
from llmplatform.aws.tables import EVAL_DETECTOR, EVAL_MINUTES, EVAL_RESULTS
from llmplatform.clock import SystemClock
from llmplatform.costs import PLATFORM, UNUSED
from llmplatform.eval_heartbeat import READ, SCORED, encode_heartbeat
from llmplatform.eval_series import Series, encode_minute, minute_of
from llmplatform.eval_status import LOOKED, STATUS_ENTRY, STATUSES, Look, encode_look, encode_statuses
from llmplatform.evaluations import JUDGE_DIMENSIONS, EvalContent, EvalResult, encode_content, encode_result
from llmplatform.ledger import LedgerRow
from llmplatform.policy import ContentMode
from llmplatform.samples import Envelope
from llmplatform.tenants import Tenants
from llmplatform.testing import make_policy
from sandbox.emulator import ACCOUNT_ID, CREDENTIALS, REGION, sandbox_session
from sandbox.engines.scripted import Script
from watch.alarming.alarm_wire import arguments_of
from watch.alarming.definitions import AccountNames, MetricAlarm, definitions_of
from watch.limits import Limits
from watch.tables.targets import Scores, Tenant

MODEL: Final = "scripted-bedrock"
ROUTE: Final = "/v1/chat/completions"
PAGED: Final = (("granularity", "hour"), ("limit", "1"))
ATTACKERS_POLICY: Final[Mapping[str, Any]] = {
    "allowed_models": frozenset({MODEL, "scripted-openai"}),
    "display_name": "The attacker",
}
_WORDS: Final = {BANK: "heliotrope", CLINIC: "obsidian"}
"""What each speaks of, and nobody else."""
_NAMES: Final = {BANK: "Bank of Quills", CLINIC: "Vantage Clinics"}
_BUDGETS: Final = {BANK: Decimal("7319.17"), CLINIC: Decimal("4829.31")}
_TOKENS: Final = {BANK: Decimal(7_654_321), CLINIC: Decimal(8_765_432)}
_RINGING: Final = 2
_CHARGES: Final = ("input", "output")
"""An hour each, the first in the running one, which is always of this month."""


def model_of(tenant: str) -> str:
    """The model that only this tenant may use."""
    return f"tuned-for-{tenant}"


CATALOGUE: Final = SHARED_MODELS + "".join(
    f"""
[models.{model_of(tenant)}]
endpoint_type = "bedrock"
backend_model_id = "{MODEL}"
dialect = "converse"
price_key = "sandbox/scripted"
max_attempts = 1
"""
    for tenant in (BANK, CLINIC)
)


@cache
def asked_days() -> Mapping[str, str]:
    """Parameters that ask for the costs of yesterday and today; always the same, as a cursor is for them."""
    today = datetime.now(UTC).date()
    return {
        "from": (today - timedelta(days=1)).isoformat(),
        "to": (today + timedelta(days=1)).isoformat(),
    }


def address_in(log: str, message: str) -> str | None:
    """Where a process serves, as its log says."""
    for line in map(json.loads, log.splitlines()):
        if line["message"] == message:
            return str(line["url"])
    return None


async def tenant(laptop: Laptop, name: str) -> Subject:
    """One of the two, with a key, one that is revoked, and for the bank one of KMS."""
    kms_key = None
    if name == BANK:
        kms = laptop.boto3("kms")
        kms_key = (await asyncio.to_thread(kms.create_key))["KeyMetadata"]["Arn"]
        kms.close()
    policy = make_policy(
        name,
        display_name=_NAMES[name],
        content_mode=ContentMode.FULL,
        log_content=name == CLINIC,
        eval_sample_rate=1.0,
        allowed_models=frozenset({MODEL, model_of(name)}),
        daily_budget_usd=_BUDGETS[name],
        kms_key=kms_key,
    )
    async with sandbox_session().client("ssm", endpoint_url=laptop.aws.url) as ssm:
        tenants = Tenants(ssm, SystemClock())
        key = await tenants.create(policy)
        old_key = await tenants.add_key(policy.tenant_id)
        made = Subject(name, key=key, old_key=old_key, model=model_of(name), secret=_WORDS[name])
        old_hash = Subject(name, key=old_key).key_hash
        await tenants.revoke_key(policy.tenant_id, old_hash[:12])
    target = Tenant(policy)
    made.alarm = next(alarm.name for alarm in _alarms(target))
    made.said = frozenset({name, _NAMES[name], _WORDS[name], str(_BUDGETS[name]), f"{_BUDGETS[name]:,}"})
    return made


async def fill(
    laptop: Laptop, gateway: str, attacker: Subject, others: Sequence[Subject], nobody: Subject
) -> None:
    """Give all of it to all of them."""
    sent: set[str] = set()
    for one in others:
        laptop.runtime.scripts[MODEL] = Script(text=f"In jars of {_WORDS[one.tenant]}, at the back.")
        one.trace, one.request = await chat(gateway, one, trace=made_trace())
        one.shared_trace, request = await chat(gateway, one, trace=made_trace())
        one.spent_trace, another = await chat(gateway, one, trace=made_trace())
        one.said |= {one.model, one.request, request, another, *_tokens_of(one.tenant)}
        sent |= {one.request, request, another}
    laptop.runtime.scripts[MODEL] = Script(text="In the usual place.")
    attacker.model = MODEL
    attacker.trace, attacker.request = await chat(gateway, attacker, trace=made_trace())
    attacker.alarm = next(alarm.name for alarm in _alarms(Tenant(laptop.policy)))
    used = [await chat(gateway, attacker, trace=one.shared_trace) for one in (*others, nobody)]
    sent |= {attacker.request, *(request for _, request in used)}
    rows = (await laptop.rows_of(sent)).values()
    assert {row.request_id for row in rows} == sent
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_put_scores(laptop, rows))
        tasks.create_task(_put_costs(laptop))
        tasks.create_task(_put_alarms(laptop, [one.tenant for one in (*others, attacker)]))
        tasks.create_task(laptop.emf.flush())


async def chat(gateway: str, of: Subject, *, trace: str) -> tuple[str, str]:
    """A request of a tenant that is answered: its ids."""
    words = _WORDS.get(of.tenant, "plain")
    body = {"model": MODEL, "messages": [{"role": "user", "content": f"Where do we keep the {words} ink?"}]}
    headers = {"authorization": f"Bearer {of.key}", "x-trace-id": trace}
    async with httpx.AsyncClient(base_url=gateway, timeout=60) as http:
        answer = await http.post(ROUTE, json=body, headers=headers)
    assert answer.status_code == httpx.codes.OK, answer.text
    assert answer.headers["x-trace-id"] == trace
    return trace, answer.headers["x-request-id"]


async def _put_scores(laptop: Laptop, rows: Iterable[LedgerRow]) -> None:
    now = datetime.now(UTC)
    items: list[tuple[str, Mapping[str, Any]]] = []
    keys = ContentKeys(region=REGION, endpoint_url=laptop.aws.url, credentials=CREDENTIALS)
    try:
        async with sandbox_session().client("kms", endpoint_url=laptop.aws.url) as kms:
            kms_key = (await kms.list_keys())["Keys"][0]["KeyArn"]
        for row in rows:
            result = _result(row)
            if row.tenant_id == BANK:
                result = await _sealed(keys, kms_key, result)
            items.append((EVAL_RESULTS.name, encode_result(result)))
    finally:
        keys.close()
    for name in (ATTACKER, BANK, CLINIC):
        series = [Series(name, MODEL, dimension, JUDGE.identity) for dimension in JUDGE_DIMENSIONS]
        statuses = [status_of(one, now, latest=minute_of(now)) for one in series]
        for one in series:
            for back in range(1, 4):
                scores = minute(now - timedelta(minutes=back), 4, 5)
                items.append((EVAL_MINUTES.name, encode_minute(one, scores)))
        items.append(
            (
                EVAL_DETECTOR.name,
                {
                    EVAL_DETECTOR.partition_key.name: {"S": name},
                    EVAL_DETECTOR.sort_key.name: {"S": STATUS_ENTRY},
                    STATUSES: encode_statuses(statuses),
                    LOOKED: encode_look(Look(now)),
                },
            )
        )
    last = {name: {READ: now, SCORED: now} for name in (ATTACKER, BANK, CLINIC)}
    items.append((EVAL_DETECTOR.name, encode_heartbeat(heartbeat(now, last_at=last))))
    async with sandbox_session().client("dynamodb", endpoint_url=laptop.aws.url) as dynamodb:
        await asyncio.gather(
            *(dynamodb.put_item(TableName=table, Item=_native(item)) for table, item in items)
        )


def _result(row: LedgerRow) -> EvalResult:
    word = _WORDS.get(row.tenant_id, "plain")
    event = make_event(
        request_id=row.request_id,
        trace_id=ids.as_uuid(row.trace_id),
        tenant_id=row.tenant_id,
        model_id=row.model_id,
        completed_at=row.completed_at,
    )
    content = EvalContent(
        prompt=f"user: Where do we keep the {word} ink?",
        completion=f"In jars of {word}, at the back.",
        reasons={"relevance": f"It says where the {word} is."},
    )
    return make_result(event, content=content)


async def _sealed(keys: ContentKeys, kms_key: str, result: EvalResult) -> EvalResult:
    assert isinstance(result.content, EvalContent)
    ciphertext = await keys.seal(
        encode_content(result.content, 100_000),
        kms_key=kms_key,
        tenant_id=result.tenant_id,
        request_id=result.request_id,
    )
    return replace(result, content=Envelope(kms_key, base64.b64encode(ciphertext).decode()))


def _native(item: Mapping[str, Any]) -> dict[str, Any]:
    """A row of DynamoDB's JSON as an SDK takes it: bytes are bytes."""
    return {
        name: {"B": base64.b64decode(value["B"])} if "B" in value else value for name, value in item.items()
    }


def _tokens_of(name: str) -> tuple[str, str]:
    """How many tokens it was billed for, in both ways to write it."""
    return str(_TOKENS[name]), f"{_TOKENS[name]:,}"


async def _put_costs(laptop: Laptop) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    lines = [
        a_line(
            owner,
            hour - timedelta(hours=back),
            charge_class=charge,
            quantity=_TOKENS.get(owner, Decimal(1_000)) if charge == "input" else Decimal(10),
            model_id=model_of(owner) if owner in _WORDS else MODEL,
        )
        for owner in (ATTACKER, BANK, CLINIC, UNUSED, PLATFORM)
        for back, charge in enumerate(_CHARGES)
    ]
    async with cost_table(laptop.aws.url) as table:
        await table.store.begin(hour - timedelta(hours=len(_CHARGES)))
        await table.put(*lines)


async def _put_alarms(laptop: Laptop, names: Iterable[str]) -> None:
    async with sandbox_session().client("cloudwatch", endpoint_url=laptop.aws.url) as cloudwatch:
        for name in names:
            policy = make_policy(name, daily_budget_usd=_BUDGETS.get(name))
            alarms = [*_alarms(Tenant(policy)), *_alarms(Scores(name, MODEL, "relevance"))]
            for alarm in alarms:
                await cloudwatch.put_metric_alarm(**arguments_of(alarm))
                await cloudwatch.set_alarm_state(
                    AlarmName=alarm.name, StateValue="ALARM", StateReason=f"of {_WORDS.get(name, name)}"
                )


def _alarms(target: Tenant | Scores) -> list[MetricAlarm]:
    """The first metric alarms about it that stand for themselves."""
    account = AccountNames(ACCOUNT_ID, REGION)
    found = definitions_of(target, Limits.model_construct(), account, there=())
    return [alarm for alarm in found if isinstance(alarm, MetricAlarm) and alarm.told.actions][:_RINGING]
