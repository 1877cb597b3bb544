"""Gateway, worker and cost job at work on what the data stack's template made, and on nothing else.

Two tenants come with keys of their own. What they say is answered, found by its trace, scored and priced;
then one of them is erased, and the other has lost nothing.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from harness.cost_account import read_bill
from harness.cost_job import ran
from harness.deployed import deploy_data
from harness.evaluation import JUDGE, PRICES, verdict
from harness.evalworker_process import LEASED_WITHIN_S, worker_process
from harness.platform import GatewayProcess, Laptop, isolated, running_laptop
from llmplatform.aws.tables import EVAL_CONSUMER, EVAL_RESULTS, LOG_GROUPS, STREAMS, TABLES
from llmplatform.evaluations import EvalResult, decode_result
from llmplatform.ids import TenantId
from llmplatform.ledger import hour_of
from llmplatform.samples import Envelope
from operator_cli.tenant_erase import run_erase
from sandbox.emulator import REGION
from sandbox.engines.scripted import Script, ScriptedUsage

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "scripted-bedrock"
ANSWER = "CANARY-ANSWER it scatters the light."
TENANTS = ("bank", "clinic")
CHATS = 3
INPUT_TOKENS, OUTPUT_TOKENS = 1_000, 200


@dataclass
class World:
    """What the processes left behind."""

    laptop: Laptop
    keys: dict[str, str] = field(default_factory=dict)
    traces: dict[str, list[str]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Of processes beside gateway and worker."""
        ours = {
            "AWS_ENDPOINT_URL_SAGEMAKER": self.laptop.runtime.url,
            "AWS_ENDPOINT_URL_XRAY": self.laptop.traces.url,
            "LLM_PLATFORM_PRICES": str(PRICES),
        }
        return isolated(self.laptop.environment(ours))

    async def command(self, *arguments: str) -> str:
        """What `llm-platform` with these arguments printed."""
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "operator_cli", *arguments),
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await child.communicate()
        assert child.returncode == 0, err.decode()
        return out.decode()

    async def said(self, tenant: str) -> list[dict[str, Any]]:
        """What a reader is shown of each of a tenant's chats."""
        shown = []
        for trace in self.traces[tenant]:
            shown += json.loads(await self.command("evals", "show", trace, "--content", "--json"))
        return shown

    async def results(self) -> list[EvalResult]:
        """Every stored result."""

        def scan() -> list[EvalResult]:
            dynamodb = self.laptop.boto3("dynamodb")
            pages = dynamodb.get_paginator("scan").paginate(TableName=EVAL_RESULTS.name)
            found = [decode_result(item) for page in pages for item in page["Items"]]
            dynamodb.close()
            return found

        return await asyncio.to_thread(scan)


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="world")
async def a_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder: Path = tmp_path_factory.mktemp("state")
    async with AsyncExitStack() as stack:
        laptop = await stack.enter_async_context(running_laptop(folder, made_by=deploy_data))
        usage = ScriptedUsage(input_tokens=INPUT_TOKENS, output_tokens=OUTPUT_TOKENS)
        laptop.runtime.scripts[MODEL] = Script(text=ANSWER, usage=usage)
        laptop.runtime.scripts[JUDGE] = verdict()
        world = World(laptop)
        for tenant in TENANTS:
            options = ("--content-mode", "full", "--eval-sample-rate", "1", "--own-key")
            world.keys[tenant] = (await world.command("tenant", "add", tenant, *options)).split()[0]
        gateway = await stack.enter_async_context(laptop.gateway())
        await stack.enter_async_context(worker_process(laptop, "worker"))
        for tenant in TENANTS:
            world.traces[tenant] = [await chat(gateway, world.keys[tenant]) for _ in range(CHATS)]
        async with asyncio.timeout(LEASED_WITHIN_S):
            while len(await world.results()) < CHATS * len(TENANTS):  # noqa: ASYNC110  # another process puts them
                await asyncio.sleep(0.5)
        requests = {result.request_id for result in await world.results()}
        assert set(await laptop.rows_of(requests)) == requests
        ended = await ran(folder, "run", environment=world.environment)
        assert ended.status == 0, ended.told
        yield world


async def chat(gateway: GatewayProcess, key: str) -> str:
    """The trace of an answer that was streamed."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "CANARY why?"}], "stream": True}
    async with gateway.http() as client:
        headers = {"authorization": f"Bearer {key}"}
        reply = await client.post("/v1/chat/completions", json=body, headers=headers)
    assert reply.status_code == 200
    assert reply.text.rstrip().endswith("data: [DONE]")
    return reply.headers["x-trace-id"]


async def test_an_answer_is_found_by_its_trace(world: World) -> None:
    for tenant in TENANTS:
        for trace in world.traces[tenant]:
            told = json.loads(await world.command("trace", trace, "--json"))
            assert {row["tenant_id"] for row in told["rows"]} == {tenant}


async def test_every_answer_is_scored_under_its_tenants_key(world: World) -> None:
    results = await world.results()
    assert sorted(result.tenant_id for result in results) == ["bank"] * CHATS + ["clinic"] * CHATS
    assert {frozenset(result.scores.values()) for result in results} == {frozenset({4})}
    kms = world.laptop.boto3("kms")
    for result in results:
        alias = f"alias/llm-platform/tenant/{result.tenant_id}"
        assert isinstance(result.content, Envelope)
        assert result.content.kms_key == kms.describe_key(KeyId=alias)["KeyMetadata"]["Arn"]
    kms.close()


async def test_every_answer_is_billed_to_its_tenant(world: World) -> None:
    rows = (await world.laptop.rows()).values()
    hours = {hour_of(row.completed_at) for row in rows if row.origin == "client"}
    assert hours
    bill = await read_bill(world.laptop.aws.url)
    for tenant in TENANTS:
        lines = [
            line
            for of_hour in bill.lines.values()
            for line in of_hour
            if (line.tenant_id, line.layer) == (tenant, "inference")
        ]
        billed = {
            charge: sum(
                (line.quantity or Decimal(0) for line in lines if line.charge_class == charge), Decimal(0)
            )
            for charge in ("input", "output")
        }
        assert billed == {"input": CHATS * INPUT_TOKENS, "output": CHATS * OUTPUT_TOKENS}
        amount = sum((line.amount_usd or Decimal(0) for line in lines), Decimal(0))
        assert amount == CHATS * (Decimal(INPUT_TOKENS) * 1 + Decimal(OUTPUT_TOKENS) * 5) / 1_000_000


async def test_no_process_made_a_table_or_stream_or_group_of_its_own_but_the_workers_leases(
    world: World,
) -> None:
    dynamodb, kinesis, logs = (world.laptop.boto3(name) for name in ("dynamodb", "kinesis", "logs"))
    tables = set(dynamodb.list_tables()["TableNames"])
    assert tables - {table.name for table in TABLES} == {EVAL_CONSUMER}
    assert kinesis.list_streams()["StreamNames"] == [stream.name for stream in STREAMS]
    groups = {group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]}
    ours = {group.name for group in LOG_GROUPS}
    assert ours <= groups
    assert all(name.startswith("/llm-platform/log-archive/") for name in groups - ours)
    for one in (dynamodb, kinesis, logs):
        one.close()


async def test_one_tenant_is_erased_and_the_other_has_lost_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = await world.said("bank") + await world.said("clinic")
    assert len(before) == CHATS * len(TENANTS)
    assert all(ANSWER in json.dumps(one) for one in before)
    for name, value in world.laptop.aws.environment().items():
        monkeypatch.setenv(name, value)
    await asyncio.to_thread(run_erase, TenantId("bank"), REGION, yes=True, as_json=True, settle_s=0.0)
    facts = json.loads(capsys.readouterr().out)
    assert facts["proven"]
    assert (
        facts["proof"]["opened_before"] == facts["proof"]["tried"] == 2 * CHATS
    )  # results, and the stream's
    assert facts["proof"]["refused_now"] == {"KMSInvalidStateException": 2 * CHATS}
    assert ANSWER not in json.dumps(await world.said("bank"))
    kept = await world.said("clinic")
    assert len(kept) == CHATS
    assert all(ANSWER in json.dumps(one) for one in kept)
    # Its bill is owed all the same.
    bill = await read_bill(world.laptop.aws.url)
    assert "bank" in {line.tenant_id for of_hour in bill.lines.values() for line in of_hour}
