"""Every process of the platform at work before one account, and each held to its role.

Told once: tenants come, two of them with keys of their own; chats are answered, scored, priced and looked at,
the alarms are kept, the budget is asked, one tenant is erased.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from costagg.reconciliation.usage_types import load_usage_types
from evalworker.brake import LAG
from evalworker.stores.compaction import compact
from evalworker.stores.objects import Objects
from harness.aws_calls import Call
from harness.cost_lines import INPUT
from harness.cur import line_items, write_parquet
from harness.evaluation import JUDGE, verdict
from harness.lambda_runtime import serve_function
from harness.platform import eventually
from harness.under_roles import ERASURE, PROFILE, TENANTS, Stage
from llmplatform.account_budget import ACCOUNT_BUDGET
from llmplatform.aws.access import AccessStore
from llmplatform.aws.buckets import bucket_name
from llmplatform.aws.sampling_brake import BrakeParameter
from llmplatform.aws.tables import EVAL_CONSUMER, EVAL_HISTORY, EVAL_RESULTS, EVAL_STREAM
from llmplatform.bill_export import bucket_name as bill_bucket
from llmplatform.bill_export import data_prefix, export_url, manifest_key
from llmplatform.clock import SystemClock
from llmplatform.sampling import SamplingBrake
from sandbox.children import Child
from sandbox.emulator import ACCOUNT_ID, REGION, sandbox_session
from sandbox.engines.scripted import Script

_BACKENDS: Final = ("vendor.whole-v1:0", "vendor.near-v1:0", "vendor.anywhere-v1:0", PROFILE, "Llama")
_STARTS_WITHIN_S: Final = 90.0
_LEASED_WITHIN_S: Final = 240.0


async def played(on: Stage) -> Sequence[Call]:
    """The whole story; gives every call that went through, in the order in which they were made."""
    await _stands(on)
    await _tenants_come(on)
    trace = await _answered_and_scored(on)
    async with asyncio.TaskGroup() as together:
        together.create_task(_erased(on))
        together.create_task(_upkeep(on))
    await _looked_at(on, trace)
    assert not on.recorder.unknown, on.recorder.unknown
    return tuple(on.recorder.calls)


async def _stands(on: Stage) -> None:
    """What the evaluation stack makes for the worker, which may not."""
    dynamodb = on.laptop.boto3("dynamodb")
    dynamodb.create_table(
        TableName=EVAL_CONSUMER,
        AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.close()
    await on.kinesis.create_stream(EVAL_STREAM.name, 1)
    arn = on.kinesis.client.describe_stream_summary(StreamName=EVAL_STREAM.name)
    on.kinesis.client.register_stream_consumer(
        StreamARN=arn["StreamDescriptionSummary"]["StreamARN"], ConsumerName=EVAL_CONSUMER
    )


async def _tenants_come(on: Stage) -> None:
    """By the command; and what else it does for them."""
    on.keys["acme"] = on.laptop.key
    for tenant in ("bank", "leaver"):
        options = ("--content-mode", "full", "--eval-sample-rate", "1", "--own-key")
        added = await on.ran(TENANTS, "operator_cli", "tenant", "add", tenant, *options)
        on.keys[tenant] = added.split()[0]
    for more in (
        ("tenant", "update", "acme", "--max-in-flight", "50"),
        ("tenant", "rotate-key", "leaver"),
        ("tenant", "list"),
        ("access", "add-key", "billing"),
        (
            "tenant",
            "add",
            "quiet",
            "--content-mode",
            "full",
            "--eval-sample-rate",
            "1",
        ),  # whose scores are missing
    ):
        await on.ran(TENANTS, "operator_cli", *more)


async def _answered_and_scored(on: Stage) -> str:
    """Chats through the gateway until each is scored, in two rounds; gives the trace of one."""
    for model in _BACKENDS:
        on.laptop.runtime.scripts[model] = Script(text="CANARY-ANSWER it scatters the light.")
    on.laptop.runtime.scripts[JUDGE] = verdict()
    environment = await on.environment("gateway")
    told = {name: value for name, value in environment.items() if name.startswith(("AWS_", "LLM_PLATFORM_"))}
    worker = {"EVAL_BERTSCORE": "false", "EVAL_FAN_OUT": "true", "EVAL_APPLICATION_NAME": EVAL_CONSUMER}
    async with (
        on.running("evalworker", "evalworker", "run", **worker),
        on.laptop.gateway(ready=True, within_s=_STARTS_WITHIN_S, **told) as gateway,
        gateway.http() as client,
    ):
        traces = [
            await _chat(client, model, stream=stream, key=key)
            for model in ("whole", "near", "anywhere", "team", "hosted")
            for stream in (False, True)
            for key in on.keys.values()
        ]
        stranger = f"{on.keys['bank'][:-4]}0000"
        await _chat(client, "whole", stream=False, key=stranger, status=401)
        await _results(on, len(traces))
        again = [await _chat(client, "near", stream=False, key=key) for key in on.keys.values()]
        await _results(on, len(traces) + len(again))
        await eventually(lambda: any(call.operation == "PutLogEvents" for call in on.recorder.calls) or None)
    await _held_down(on, "evalworker", LAG)
    return traces[0]


async def _held_down(on: Stage, process: str, why: str) -> None:
    """What a process does about lag or a budget, done for it: neither comes when a test wants it."""
    async with sandbox_session().client("ssm", endpoint_url=await on.recorder.way(process)) as ssm:
        brake = SamplingBrake(factor=1.0, expires_at=datetime.now(UTC), writer=process)
        await BrakeParameter(ssm, why).publish(brake)


async def _chat(client: httpx.AsyncClient, model: str, *, stream: bool, key: str, status: int = 200) -> str:
    """The trace id of one."""
    said = [{"role": "user", "content": "CANARY why is the sky blue?"}]
    body = {"model": model, "messages": said, "stream": stream}
    reply = await client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})
    assert reply.status_code == status, reply.text
    return str(reply.headers["x-trace-id"])


async def _results(on: Stage, number: int) -> None:
    def stored() -> int | None:
        dynamodb = on.laptop.boto3("dynamodb")
        count: int = dynamodb.scan(TableName=EVAL_RESULTS.name, Select="COUNT")["Count"]
        dynamodb.close()
        return count if count >= number else None

    await eventually(stored, within_s=_LEASED_WITHIN_S)


async def _erased(on: Stage) -> None:
    told = await on.ran(ERASURE, "operator_cli", "tenant", "erase", "leaver", "--yes", "--json")
    assert json.loads(told)["proven"]


async def _upkeep(on: Stage) -> None:
    """All that a schedule starts."""
    await on.ran("drift", "evalworker", "drift", "--once", "--rebuild")
    await _compacted(on)
    # Twice, so that the second run takes away what the first one left; and a budget that is over at once.
    for _ in range(2):
        await on.ran(
            *("cost-job", "costagg", "run"),
            COST_CLOSE_AFTER_H="1",
            COST_LOOK_BACK_H="3",
            COST_OBSERVABILITY_DAILY_BUDGET_USD="0.000001",
        )
    await asyncio.to_thread(_deliver_bill, on)
    # The bill is of a month in which nothing was attributed: it says so, and keeps that.
    export = export_url(ACCOUNT_ID, REGION)
    await on.ran("reconcile", "costagg", "reconcile", "--last-month", export, ends_with=1)
    handler = "costagg.account_budget.lambda_handler.handler"
    environment = await on.environment("budget-handler")
    async with serve_function(on.folder, "budget-handler", handler, environment) as function:
        await function.invoke({})
    await _held_down(on, "budget-handler", ACCOUNT_BUDGET)
    await on.ran("alarms", "watch", "apply", WATCH_PUTS_PER_S="500")
    await on.ran(TENANTS, "operator_cli", "tenant", "remove", "acme", "--yes")
    await on.ran("alarms", "watch", "apply", WATCH_PUTS_PER_S="500")


async def _compacted(on: Stage) -> None:
    """As the job does it, but for files of a moment ago: they are as old as they ever get here."""
    async with sandbox_session().client("s3", endpoint_url=await on.recorder.way("compact")) as s3:
        bucket = await bucket_name(sandbox_session(), EVAL_HISTORY, endpoint_url=on.laptop.aws.url)
        today, made = datetime.now(UTC).date(), list[Any]()
        objects = Objects(s3, bucket)
        old_enough = datetime.now(UTC) + timedelta(minutes=1)
        await compact(
            objects, today - timedelta(days=1), today, written_before=old_enough, progress=made.append
        )
    assert made


def _deliver_bill(on: Stage) -> None:
    """Last month's, where AWS delivers the export to."""
    month = (datetime.now(UTC).replace(day=1) - timedelta(days=1)).date().replace(day=1)
    line = replace(INPUT, hour=datetime(month.year, month.month, 2, 12, tzinfo=UTC))
    folder = write_parquet(line_items([line], load_usage_types()), on.folder / "bill")
    s3, bucket = on.laptop.boto3("s3"), bill_bucket(ACCOUNT_ID, REGION)
    s3.create_bucket(Bucket=bucket)
    export = export_url(ACCOUNT_ID, REGION).partition(f"{bucket}/")[2]
    names = []
    for file in sorted(folder.glob("*.parquet")):
        names.append(f"{data_prefix(export, month)}{file.name}")
        s3.put_object(Bucket=bucket, Key=names[-1], Body=file.read_bytes())
    manifest = json.dumps({"dataFiles": [f"s3://{bucket}/{name}" for name in names]})
    s3.put_object(Bucket=bucket, Key=manifest_key(export, month), Body=manifest)
    s3.close()


async def _looked_at(on: Stage, trace: str) -> None:
    """Every page of the console and of the billing API, by who may see all and by a tenant."""
    async with sandbox_session().client("ssm", endpoint_url=on.laptop.aws.url) as ssm:
        operator = await AccessStore(ssm, SystemClock()).add_key("operator")
    today = datetime.now(UTC).date()
    days = f"from={today}&to={today + timedelta(days=1)}"
    async with (
        on.running("console", "watch", WATCH_PORT="0") as console,
        on.running("billing-api", "costagg", "serve", COST_API_PORT="0") as billing,
    ):
        pages = ("/", "/tenants", "/tenants/bank", "/requests", f"/traces/{trace}?log=1", "/evaluations")
        more = ("/evaluations/bank", "/cost", "/cost/bank", "/alarms", "/models", "/models/near")
        of_platform = ("/endpoints", "/endpoints/Llama", "/platform")
        said = (f"/traces/{trace}/content", "/evaluations/bank/reasons")
        await _asked(console, operator, *pages, *more, *of_platform)
        await _asked(console, operator, *said, method="POST")
        await _asked(console, operator, "/requests?score=5")
        await _asked(console, on.keys["bank"], "/tenants/bank", "/requests", "/evaluations/bank")
        unknown = f"{on.keys['bank'][:-4]}0000"
        await _asked(console, unknown, "/tenants/bank", status=303)  # to where a key is asked for
        await _asked(billing, operator, f"/v1/costs?{days}", f"/v1/hours?{days}")
        await _asked(billing, on.keys["bank"], f"/v1/tenants/bank/costs?{days}")
        await _asked(billing, unknown, f"/v1/tenants/bank/costs?{days}", status=401)


async def _asked(child: Child, key: str, *paths: str, method: str = "GET", status: int = 200) -> None:
    url = await eventually(lambda: _address(child), within_s=_STARTS_WITHIN_S)
    headers = {"authorization": f"Bearer {key}", "accept": "text/html", "origin": url}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        for path in paths:
            reply = await client.request(method, path)
            assert reply.status_code == status, f"{child.name} {path}: {reply.status_code} {reply.text[:500]}"


def _address(child: Child) -> str | None:
    if child.returncode is not None:
        raise child.failure()
    for line in child.log_file.read_text().splitlines():
        if line.startswith("{") and (url := json.loads(line).get("url")):
            return str(url)
    return None
