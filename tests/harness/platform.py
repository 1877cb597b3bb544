"""The platform as it runs: the gateway as a process of its own before an AWS of the sandbox's.

Emulator and gateway are child processes, the model runtimes and the intakes answer from the test's own
loop, so that a test can arrange them. What came out is read by boto3, as any reader of the account would.
"""

import asyncio
import contextlib
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import boto3
import httpx
from botocore.config import Config
from openai import AsyncOpenAI

from llmplatform import apikeys
from llmplatform.aws.tables import EVAL_STREAM, REQUEST_LEDGER
from llmplatform.clock import SystemClock
from llmplatform.ledger import LedgerRow, decode_item
from llmplatform.policy import ContentMode, TenantPolicy
from llmplatform.tenants import Tenants
from llmplatform.testing import make_policy
from sandbox import ports
from sandbox.children import Child
from sandbox.emf_intake import EmfIntake, serve_emf
from sandbox.emulator import CREDENTIALS, REGION, Emulator, sandbox_session
from sandbox.provision import provision
from sandbox.runtime import SandboxRuntime, serve_runtime
from sandbox.traces import Traces, serve_traces
from sandbox.up import child_environment

TENANT: Final = "acme"
CATALOGUE: Final = """
[models.scripted-bedrock]
endpoint_type = "bedrock"
backend_model_id = "scripted-bedrock"
dialect = "converse"
price_key = "sandbox/scripted"
max_attempts = 1

[models.scripted-openai]
endpoint_type = "sagemaker"
backend_model_id = "scripted-openai"
dialect = "openai_chat"
price_key = "sandbox/scripted"
max_attempts = 1
"""

ResultT = TypeVar("ResultT")
MadeBy = Callable[[str], Awaitable[None]]
"""Makes what stands in the account at this address."""


async def provisioned(url: str) -> None:
    """As the sandbox makes it."""
    await provision(sandbox_session(), endpoint_url=url)


@dataclass
class GatewayProcess:
    """A running `python -m gateway`."""

    child: Child
    url: str
    key: str

    def http(self, *, connections: int = 200) -> httpx.AsyncClient:
        """A client with the tenant's key."""
        return httpx.AsyncClient(
            base_url=self.url,
            headers={"authorization": f"Bearer {self.key}"},
            timeout=30.0,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        )

    def openai(self) -> AsyncOpenAI:
        """OpenAI's own client."""
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=self.key, max_retries=0, timeout=30.0)

    def logged(self) -> list[dict[str, Any]]:
        """What the process logged."""
        return [json.loads(line) for line in self.child.log_file.read_text().splitlines()]


@dataclass
class Laptop:
    """An AWS with one tenant in it, and what starts gateways before it."""

    folder: Path
    aws: Emulator
    runtime: SandboxRuntime
    emf: EmfIntake
    traces: Traces
    policy: TenantPolicy
    key: str
    made_by: MadeBy = provisioned

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """What the gateway is told."""
        catalogue = self.folder / "models.toml"
        catalogue.write_text(CATALOGUE)
        ours = {
            **self.aws.environment(),
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.runtime.url,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": self.runtime.url,
            "AWS_EMF_AGENT_ENDPOINT": self.emf.address,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.traces.url,
            "LLM_PLATFORM_CATALOGUE": str(catalogue),
            "GATEWAY_PORT": "0",
        }
        return isolated({**ours, **more})

    async def furnish(self) -> None:
        """Put in the account what stands there, and the tenant with its key."""
        await self.made_by(self.aws.url)
        async with sandbox_session().client("ssm", endpoint_url=self.aws.url) as ssm:
            await Tenants(ssm, SystemClock()).create(self.policy, key=self.key)

    @asynccontextmanager
    async def gateway(
        self, *, ready: bool = True, within_s: float = 60, **more: str
    ) -> AsyncIterator[GatewayProcess]:
        """A gateway with `more` in its environment, up `within_s`, killed at the end if it still runs."""
        log_file = self.folder / f"gateway-{secrets.token_hex(4)}.log"
        child = await Child.start("gateway", "gateway", environment=self.environment(more), log_file=log_file)
        try:
            port = await eventually(lambda: _port_of(child), within_s=within_s)
            process = GatewayProcess(child, f"http://127.0.0.1:{port}", self.key)
            if ready:
                async with process.http() as client:
                    await until(client.get, "/readyz", within_s=within_s)
            yield process
        finally:
            child.kill()
            await child.ended

    async def rows(self) -> dict[str, LedgerRow]:
        """The whole ledger by request id, read by boto3."""
        return await asyncio.to_thread(self._scan)

    async def rows_of(self, ids: set[str], *, within_s: float = 60.0) -> dict[str, LedgerRow]:
        """Those rows, waited for, without any that is not among `ids`."""
        deadline = time.monotonic() + within_s
        while True:
            found = {one: row for one, row in (await self.rows()).items() if one in ids}
            if len(found) == len(ids) or time.monotonic() > deadline:
                return found
            await asyncio.sleep(0.2)

    async def samples(self) -> list[bytes]:
        """The records of the evaluation stream, read by boto3."""
        return await asyncio.to_thread(self._read_stream)

    def boto3(self, service: str, url: str | None = None) -> Any:
        """A client of boto3's, by default of the emulator."""
        return aws_client(service, url or self.aws.url)

    def _scan(self) -> dict[str, LedgerRow]:
        dynamodb = self.boto3("dynamodb")
        try:
            pages = dynamodb.get_paginator("scan").paginate(TableName=REQUEST_LEDGER.name)
            rows = [decode_item(item) for page in pages for item in page["Items"]]
        finally:
            dynamodb.close()
        return {row.request_id: row for row in rows}

    def _read_stream(self) -> list[bytes]:
        kinesis = self.boto3("kinesis")
        try:
            read: list[bytes] = []
            for shard in kinesis.list_shards(StreamName=EVAL_STREAM.name)["Shards"]:
                iterator = kinesis.get_shard_iterator(
                    StreamName=EVAL_STREAM.name,
                    ShardId=shard["ShardId"],
                    ShardIteratorType="TRIM_HORIZON",
                )["ShardIterator"]
                while records := (page := kinesis.get_records(ShardIterator=iterator))["Records"]:
                    read += [record["Data"] for record in records]
                    iterator = page["NextShardIterator"]
        finally:
            kinesis.close()
        return read


@asynccontextmanager
async def running_laptop(
    folder: Path,
    *,
    started: bool = True,
    metered: bool = False,
    made_by: MadeBy = provisioned,
    **policy: Any,
) -> AsyncIterator[Laptop]:
    """An AWS for one tenant; its emulator only if `started`, else at an address where nothing listens yet.

    `metered`, the runtimes publish what AWS publishes of itself.
    """
    async with AsyncExitStack() as stack:
        aws = Emulator(folder, port=free_port())
        stack.push_async_callback(aws.stop)
        if started:
            await aws.start()
        laptop = Laptop(
            folder=folder,
            aws=aws,
            runtime=await stack.enter_async_context(
                serve_runtime(cloudwatch_url=aws.url if metered else None)
            ),
            emf=await stack.enter_async_context(serve_emf(sandbox_session(), endpoint_url=aws.url)),
            traces=await stack.enter_async_context(serve_traces()),
            policy=make_policy(
                TENANT,
                **{
                    "content_mode": ContentMode.FULL,
                    "eval_sample_rate": 1.0,
                    "max_in_flight": 1_000,
                    **policy,
                },
            ),
            key=apikeys.mint(make_policy(TENANT).tenant_id, secrets.token_bytes(32)),
            made_by=made_by,
        )
        if started:
            await laptop.furnish()
        yield laptop


def aws_client(service: str, url: str) -> Any:
    """A client of boto3's that is told everything."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS.access_key,
        aws_secret_access_key=CREDENTIALS.secret_key,
        config=Config(retries={"total_max_attempts": 1}),
    )


def isolated(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that knows of no account and no settings but `more`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return child_environment(inherited, more)


def free_port() -> int:
    """A port for a server that is started later, or is away for a while."""
    port = ports.free_port("127.0.0.1")
    assert port is not None
    return port


async def eventually(look: Callable[[], ResultT | None], *, within_s: float = 60.0) -> ResultT:
    """What `look` finds, as soon as it finds something. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while True:
            if (found := look()) is not None:
                return found
            await asyncio.sleep(0.05)


async def until(
    ask: Callable[..., Awaitable[httpx.Response]], path: str, *, within_s: float = 60.0, **options: Any
) -> httpx.Response:
    """The first good reply to a request that is repeated. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (reply := await ask(path, **options)).is_success:
                    return reply
            await asyncio.sleep(0.1)


def _port_of(child: Child) -> int | None:
    if child.returncode is not None:
        raise child.failure()
    for line in child.log_file.read_text().splitlines():
        if '"gateway is listening"' in line:
            return int(json.loads(line)["port"])
    return None
