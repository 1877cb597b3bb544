"""The evaluation worker on an AWS of the sandbox's: real stores over sockets, a scripted judge, no feed.

A test hands records to the evaluator as a feed would, and reads what came of them by boto3.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pyarrow.parquet as pq
import pytest
from yarl import URL

from evalworker.bootstrap import Worker, assembled
from evalworker.loop import Evaluator
from evalworker.records import StreamRecord
from evalworker.settings import EnvironmentSettings, EvalSettings
from evalworker.stores.history_reader import read_events
from evalworker.stores.objects import Objects
from harness.cuttable import Cuttable
from harness.platform import eventually
from llmplatform import ids, samples
from llmplatform.aws.envelope import ContentKeys, DataKeyLimits
from llmplatform.aws.tables import EVAL_HISTORY, EVAL_RESULTS, REQUEST_LEDGER
from llmplatform.clock import SystemClock
from llmplatform.evaluations import JUDGE_DIMENSIONS, EvalResult, decode_result
from llmplatform.ids import TenantId
from llmplatform.ledger import LedgerRow, decode_item
from llmplatform.policy import TenantPolicy
from llmplatform.samples import Envelope, SampleEvent
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
SERVICES = ("bedrock-runtime", "dynamodb", "kms", "s3", "ssm")
"""What the worker needs; a test may cut the way to each."""
PRICES = Path(__file__).parents[2] / "src/sandbox/prices.toml"
_BOUNDS = (
    "evalworker.bootstrap.DYNAMODB_TIMEOUT_S",
    "evalworker.bootstrap.FLUSH_S",
    "llmplatform.aws.envelope.CONNECT_TIMEOUT_S",
    "llmplatform.aws.envelope.READ_TIMEOUT_S",
    "llmplatform.aws.sessions.CONNECT_TIMEOUT_S",
    "llmplatform.aws.sessions.READ_TIMEOUT_S",
    "llmplatform.aws.signed_http.CONNECT_TIMEOUT_S",
)
"""How long the product waits for what answers at once here, unless the machine is busy."""


def verdict(score: int = 4, *, reason: str = "CANARY-REASON", **scores: int) -> Script:
    """A judge that says `score` in every dimension but those named, each for `reason`."""
    said = {
        name: {"score": scores.get(name, score), "reason": f"{reason} {name}"} for name in JUDGE_DIMENSIONS
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


def record(event: SampleEvent | bytes, number: int = 1, *, arrived_ago_s: float = 60.0) -> StreamRecord:
    """The event as a feed hands it over; by default it arrived before a worker that a test has just begun."""
    data = event if isinstance(event, bytes) else msgspec.json.encode(event)
    arrived_at = datetime.now(UTC) - timedelta(seconds=arrived_ago_s)
    return StreamRecord("shardId-000000000000", f"{number:056d}", arrived_at, data)


async def brought(
    evaluator: Evaluator, records: Sequence[StreamRecord], *, pause_s: float = 0.1, within_s: float = 120.0
) -> None:
    """Bring records as a feed does: the unfinished ones again, until there are none. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while unfinished := await evaluator.process(records):
            records = [one for one in records if one.sequence_number in unfinished]
            await asyncio.sleep(pause_s)


@dataclass
class Account:
    """What stands in the emulator, and the judge that answers."""

    folder: Path
    aws: Emulator
    runtime: SandboxRuntime
    ways: Mapping[str, Cuttable]
    """To each of the worker's services."""
    lines: "Lines"
    keys: ContentKeys
    """The gateway's, with a data key for each text."""
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

    async def remove(self, tenant_id: str) -> None:
        """Take a tenant out of the account."""
        async with sandbox_session().client("ssm", endpoint_url=self.aws.url) as ssm:
            await Tenants(ssm, SystemClock()).remove(TenantId(tenant_id))

    async def key(self) -> str:
        """A new key in KMS, by its ARN."""
        told = await asyncio.to_thread(self.boto3("kms").create_key)
        return str(told["KeyMetadata"]["Arn"])

    async def sealed(self, event: SampleEvent, kms_key: str) -> SampleEvent:
        """The event as a gateway writes it for a tenant with a key of its own."""
        bare, content = samples.split_content(event)
        ciphertext = await self.keys.seal(
            samples.encode_content(content),
            kms_key=kms_key,
            tenant_id=event.tenant_id,
            request_id=event.request_id,
        )
        return msgspec.structs.replace(bare, enc=Envelope(kms_key, base64.b64encode(ciphertext).decode()))

    async def history(self) -> list[SampleEvent]:
        """What a reader of the history finds: the samples of yesterday and today."""
        today = datetime.now(UTC).date()
        async with sandbox_session().client("s3", endpoint_url=self.aws.url) as s3:
            objects = Objects(s3, self.bucket)
            return [event async for event in read_events(objects, today - timedelta(days=1), today)]

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

    async def everything(self) -> str:
        """All rows and objects together, for tests that look for what must be in none of them."""
        tables = self.boto3("dynamodb").list_tables()["TableNames"]
        found: list[Any] = [await self._scan(table) for table in tables]
        for key, body in (await self.objects()).items():
            found += [key, pq.read_table(BytesIO(body)).to_pylist() if key.endswith(".parquet") else body]
        return repr(found)

    @asynccontextmanager
    async def worker(self, **settings: Any) -> AsyncIterator[Worker]:
        """A worker of this account's; the environment must be the account's, see `account`."""
        judges = self.folder / "judges.toml"
        judges.write_text(JUDGES)
        evaluation = EvalSettings(judges=judges, **{"bertscore": False, **settings})
        environment = EnvironmentSettings(
            aws_region=REGION, llm_platform_prices=PRICES, aws_emf_agent_endpoint=self.lines.address
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


class Lines:
    """A CloudWatch agent's intake that keeps the lines."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection's lines."""
        async for line in reader:
            self.taken.append(json.loads(line))
        writer.close()

    async def told(self, name: str, count: int = 1) -> list[Any]:
        """A metric's readings, once there are so many: they are on their way through a socket."""
        await eventually(lambda: len(self.figures(name)) >= count or None)
        return self.figures(name)

    def figures(self, name: str) -> list[Any]:
        """A metric's readings, in the order in which they came."""
        return [line[name] for line in self.taken if name in line]


@asynccontextmanager
async def running_account(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Account]:
    """An account with tenant acme in it and a judge that says 4; the environment points at it."""
    for bound in _BOUNDS:
        monkeypatch.setattr(bound, 120.0)
    async with AsyncExitStack() as stack:
        aws = await stack.enter_async_context(Emulator(folder))
        runtime = await stack.enter_async_context(serve_runtime())
        lines = Lines()
        intake = await stack.enter_async_context(await asyncio.start_server(lines.serve, "127.0.0.1", 0))
        lines.address = f"tcp://127.0.0.1:{intake.sockets[0].getsockname()[1]}"
        ways = {}
        for service in SERVICES:
            upstream = URL(runtime.url if service == "bedrock-runtime" else aws.url)
            ways[service] = await stack.enter_async_context(Cuttable(upstream.port or 0))
            name = service.upper().replace("-", "_")
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{name}", ways[service].url)
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        once = DataKeyLimits(max_messages=1)
        keys = ContentKeys(region=REGION, endpoint_url=aws.url, credentials=CREDENTIALS, limits=once)
        stack.callback(keys.close)
        account = Account(folder, aws, runtime, ways, lines, keys)
        account.judge(verdict())
        await provision(sandbox_session(), endpoint_url=aws.url)
        await account.add(make_policy("acme", content_mode="full"))
        try:
            yield account
        finally:
            for client in account.clients.values():
                client.close()
