"""The evaluation worker on an AWS of the sandbox's: real stores over sockets, a scripted judge, no feed.

A test hands records to the evaluator as a feed would, and reads what came of them by boto3.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest

from evalworker.bootstrap import Worker, assembled
from evalworker.records import StreamRecord
from evalworker.settings import EnvironmentSettings, EvalSettings
from llmplatform import ids
from llmplatform.aws.tables import EVAL_HISTORY, EVAL_RESULTS, REQUEST_LEDGER
from llmplatform.clock import SystemClock
from llmplatform.evaluations import JUDGE_DIMENSIONS, EvalResult, decode_result
from llmplatform.ledger import LedgerRow, decode_item
from llmplatform.policy import TenantPolicy
from llmplatform.samples import SampleEvent
from llmplatform.tenants import Tenants
from llmplatform.testing import make_policy
from sandbox.emulator import ACCOUNT_ID, CREDENTIALS, REGION, Emulator, sandbox_session
from sandbox.engines.scripted import Script, ScriptedToolCall, ScriptedUsage
from sandbox.provision import provision
from sandbox.runtime import SandboxRuntime, serve_runtime

JUDGE: str = "scripted-judge"
TOOL: str = "record_scores"
JUDGES: str = f"""
default = "scripted"

[judges.scripted]
model_id = "{JUDGE}"
price_key = "sandbox/judge"
source = "a script"
retrieved_on = 2026-01-01
"""
PRICES = Path(__file__).parents[2] / "src/sandbox/prices.toml"


def verdict(score: int = 4, **scores: int) -> Script:
    """A judge that says `score` in every dimension but those named."""
    said = {
        name: {"score": scores.get(name, score), "reason": f"CANARY-REASON {name}"}
        for name in JUDGE_DIMENSIONS
    }
    return Script(
        tool_calls=(ScriptedToolCall(name=TOOL, arguments=json.dumps(said)),),
        usage=ScriptedUsage(input_tokens=1_000, output_tokens=100),
    )


def sample(number: int = 1, **fields: Any) -> SampleEvent:
    """A sampled request of tenant acme, completed a moment ago, but for `fields`."""
    now = datetime.now(UTC)
    event = SampleEvent(
        schema_version=1,
        request_id=ids.request_id(1_767_225_600_000 + number, number.to_bytes(10)),
        trace_id=ids.as_uuid(f"{number:032x}"),
        span_id=f"{number:016x}",
        tenant_id="acme",
        model_id="small",
        endpoint_type="bedrock",
        outcome="completed",
        received_at=now - timedelta(seconds=2),
        completed_at=now - timedelta(seconds=1),
        sample_rate=0.5,
        sample_reason="rate",
        content_mode="full",
        prompt="user: CANARY-PROMPT how high is the Eiffel Tower?",
        completion="CANARY-ANSWER 330 metres.",
        prompt_sha256="ab" * 32,
    )
    return msgspec.structs.replace(event, **fields)


def record(event: SampleEvent | bytes, number: int = 1) -> StreamRecord:
    """The event as a feed hands it over."""
    data = event if isinstance(event, bytes) else msgspec.json.encode(event)
    return StreamRecord("shardId-000000000000", f"{number:056d}", datetime.now(UTC), data)


@dataclass
class Account:
    """What stands in the emulator, and the judge that answers."""

    folder: Path
    aws: Emulator
    runtime: SandboxRuntime
    clients: dict[str, Any] = field(default_factory=dict)

    def boto3(self, service: str) -> Any:
        """A client of boto3's, kept."""
        if service not in self.clients:
            self.clients[service] = boto3.client(
                service,
                endpoint_url=self.aws.url,
                region_name=REGION,
                aws_access_key_id=CREDENTIALS.access_key,
                aws_secret_access_key=CREDENTIALS.secret_key,
            )
        return self.clients[service]

    @property
    def bucket(self) -> str:
        """Where history and parked records are."""
        return EVAL_HISTORY.name(ACCOUNT_ID, REGION)

    def judge(self, script: Script) -> None:
        """Have the judge answer by another script."""
        self.runtime.scripts[JUDGE] = script

    async def add(self, policy: TenantPolicy) -> None:
        """Put a tenant in the account, or its policy in the place of the one that it has."""
        async with sandbox_session().client("ssm", endpoint_url=self.aws.url) as ssm:
            tenants = Tenants(ssm, SystemClock())
            if any(stored.tenant_id == policy.tenant_id for stored in await tenants.list()):
                await tenants.put_policy(policy)
            else:
                await tenants.create(policy)

    async def results(self) -> list[EvalResult]:
        """Every stored result."""
        return [decode_result(item) for item in await self._scan(EVAL_RESULTS.name)]

    async def judge_rows(self) -> list[LedgerRow]:
        """The judge's calls in the ledger."""
        rows = [decode_item(item) for item in await self._scan(REQUEST_LEDGER.name)]
        return [row for row in rows if row.origin == "judge"]

    async def objects(self, prefix: str = "") -> Mapping[str, bytes]:
        """What is in the bucket."""
        return await asyncio.to_thread(self._objects, prefix)

    async def everything(self) -> bytes:
        """All rows and objects together, for tests that look for what must be in none of them."""
        items = [await self._scan(table) for table in self.boto3("dynamodb").list_tables()["TableNames"]]
        objects = await self.objects()
        return repr(items).encode() + b"".join(key.encode() + body for key, body in objects.items())

    @asynccontextmanager
    async def worker(self, **settings: Any) -> AsyncIterator[Worker]:
        """A worker of this account's; the environment must be the account's, see `account`."""
        judges = self.folder / "judges.toml"
        judges.write_text(JUDGES)
        evaluation = EvalSettings(judges=judges, **{"bertscore": False, **settings})
        environment = EnvironmentSettings(
            aws_region=REGION, llm_platform_prices=PRICES, aws_emf_agent_endpoint="tcp://127.0.0.1:9"
        )
        async with assembled(evaluation, environment) as worker:
            yield worker

    async def _scan(self, table: str) -> list[dict[str, Any]]:
        def scan() -> list[dict[str, Any]]:
            pages = self.boto3("dynamodb").get_paginator("scan").paginate(TableName=table)
            return [item for page in pages for item in page["Items"]]

        return await asyncio.to_thread(scan)

    def _objects(self, prefix: str) -> dict[str, bytes]:
        s3 = self.boto3("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return {key: s3.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}


@asynccontextmanager
async def running_account(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Account]:
    """An account with tenant acme in it and a judge that says 4; the environment points at it."""
    async with Emulator(folder) as aws, serve_runtime() as runtime:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", runtime.url)
        account = Account(folder, aws, runtime)
        account.judge(verdict())
        await provision(sandbox_session(), endpoint_url=aws.url)
        await account.add(make_policy("acme", content_mode="full"))
        try:
            yield account
        finally:
            for client in account.clients.values():
                client.close()
