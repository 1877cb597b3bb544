"""A real gateway on a real socket in front of the sandbox's model runtimes, in the test's own process.

Everything is the product's but the ends: tenants come from memory, and what the gateway emits is kept in
lists. Backends are reached over loopback, signed and framed as on AWS.
"""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import uvicorn
from openai import AsyncOpenAI

from gateway.backends.aws import AwsRuntime
from gateway.backends.http import open_session
from gateway.bootstrap import Gateway, build_gateway, open_backends
from gateway.emission import Sinks
from gateway.http.protocol import GatewayProtocol
from gateway.settings import GatewaySettings
from gateway.sinks.content_log import LogEvent
from gateway.sinks.kinesis import StreamRecord
from gateway.tokenizing import build_counters
from harness.served import QuietServer
from harness.sinks import KeepingSink
from llmplatform import apikeys
from llmplatform.aws.parameters import InMemoryPolicySource
from llmplatform.aws.sigv4 import Credentials
from llmplatform.catalogue import Catalogue
from llmplatform.clock import SystemClock
from llmplatform.invocation import InvocationRecord
from llmplatform.samples import UnsealedSample
from llmplatform.testing import make_model, make_policy
from sandbox.runtime import SandboxRuntime, serve_runtime

REGION = "us-east-1"


def small_catalogue(**models: dict[str, Any]) -> Catalogue:
    """One scripted model on Bedrock and one in each of SageMaker's dialects, and `models` besides."""
    entries = {
        "scripted-bedrock": {"backend_model_id": "scripted-bedrock"},
        "scripted-openai": {"endpoint_type": "sagemaker", "dialect": "openai_chat"},
        "scripted-lmi": {"endpoint_type": "sagemaker", "dialect": "lmi"},
        "scripted-tgi": {"endpoint_type": "sagemaker", "dialect": "tgi"},
        **models,
    }
    everything = ["tools", "vision", "json_schema", "reasoning", "seed", "penalties", "prompt_cache"]
    return Catalogue(
        models={
            name: make_model(
                name,
                **{
                    "backend_model_id": name,
                    "capabilities": everything,
                    "max_attempts": 1,
                    "max_output_tokens": 256,
                    "timeouts": {"connect_s": 60.0},
                    **fields,
                },
            )
            for name, fields in entries.items()
        }
    )


@dataclass
class GatewayUnderTest:
    """The gateway, its tenants and everything that came out of it."""

    url: str
    key: str
    gateway: Gateway
    runtime: SandboxRuntime
    policies: InMemoryPolicySource
    records: KeepingSink[InvocationRecord]
    lines: KeepingSink[bytes]
    spans: KeepingSink[InvocationRecord]
    samples: KeepingSink[StreamRecord]
    sealing: KeepingSink[UnsealedSample]
    content: KeepingSink[LogEvent]
    clients: list[AsyncOpenAI] = field(default_factory=list)

    def openai(self, key: str | None = None, **options: Any) -> AsyncOpenAI:
        """OpenAI's own client, connected."""
        options = {"max_retries": 0, "timeout": 60.0, **options}
        client = AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key or self.key, **options)
        self.clients.append(client)
        return client

    def http(self, **options: Any) -> httpx.AsyncClient:
        """A plain client with the tenant's key."""
        headers = {"authorization": f"Bearer {self.key}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=60.0, **options)

    def add_tenant(self, tenant: str, **policy: Any) -> str:
        """One more tenant; returns its key."""
        made = make_policy(tenant, **policy)
        key = apikeys.mint(made.tenant_id, secrets.token_bytes(32))
        self.policies.put(made, apikeys.record_of(key, datetime.now(UTC)))
        return key

    async def record(self, number: int = 1, *, within_s: float = 60.0) -> InvocationRecord:
        """The record of the `number`th request, waited for: a record is closed after the reply has gone."""
        return await self.records.nth(number, within_s=within_s)


class _Credentials:
    """Those that the sandbox knows."""

    def current(self) -> Credentials:
        return Credentials("sandbox", "sandbox")


@asynccontextmanager
async def running_gateway(
    *, catalogue: Catalogue | None = None, settings: dict[str, Any] | None = None, **policy: Any
) -> AsyncIterator[GatewayUnderTest]:
    """A gateway for one tenant, `acme`, with `policy`; `settings` are those of the gateway."""
    clock = SystemClock()
    catalogue = catalogue or small_catalogue()
    policies = InMemoryPolicySource(clock)
    kept: dict[str, KeepingSink[Any]] = {
        name: KeepingSink(name) for name in ("lines", "ledger", "spans", "samples", "sealing", "content")
    }
    async with serve_runtime() as runtime, open_session(max_connections=500) as upstream:
        here = (REGION, runtime.url, _Credentials(), clock)
        gateway = build_gateway(
            GatewaySettings(**{"drain_s": 60.0, **(settings or {})}),
            catalogue=catalogue,
            policies=policies,
            backends=open_backends(
                upstream, bedrock=AwsRuntime("bedrock", *here), sagemaker=AwsRuntime("sagemaker", *here)
            ),
            sinks=Sinks(**kept),
            counters=build_counters(catalogue),
            clock=clock,
        )
        await gateway.emission.start()
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(gateway.app, http=GatewayProtocol, ws="none", lifespan="off", log_config=None)
        server = QuietServer(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        under_test = GatewayUnderTest(
            url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            key="",
            gateway=gateway,
            runtime=runtime,
            policies=policies,
            records=kept["ledger"],
            lines=kept["lines"],
            spans=kept["spans"],
            samples=kept["samples"],
            sealing=kept["sealing"],
            content=kept["content"],
        )
        under_test.key = under_test.add_tenant("acme", **policy)
        try:
            yield under_test
        finally:
            for client in under_test.clients:
                await client.close()
            gateway.stop_admitting()
            gateway.cut_streams()
            server.should_exit = True
            await serving
            await gateway.emission.flush(1.0)
