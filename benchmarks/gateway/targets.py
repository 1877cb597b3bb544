"""What is measured: how each proxy is started on the same scripted backend, and how it is spoken to."""

import asyncio
import contextlib
import itertools
import json
import os
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aioboto3
from backend import SCRIPTS
from load import Wire
from processes import NotReady, free_port, running

from llmplatform.clock import SystemClock
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy
from llmplatform.tenants import Tenants

HERE = Path(__file__).parent
_PROMPT_NUMBERS = itertools.count()
LITELLM = Path(sys.prefix) / "litellm" / "bin" / "litellm"
SYSTEM = "You are a careful assistant. Answer in plain words, and say so when you do not know. " * 3
QUESTION = (
    "Which of the following orders arrived late, and by how many days did each of them miss its date? " * 10
)
_LITELLM_KEY = "sk-benchmark"
_SIGNED = (
    "AWS4-HMAC-SHA256 Credential=sandbox/20260101/us-east-1/bedrock/aws4_request, "
    f"SignedHeaders=host, Signature={'0' * 64}"
)


@dataclass(frozen=True, slots=True)
class Target:
    """A server that answers, by the OpenAI interface or, for the floor, by Bedrock's own."""

    name: str
    port: int
    authorization: str = field(repr=False)
    openai: bool
    pid: int | None = None

    @property
    def wire(self) -> Wire:
        """How to read its streams."""
        if self.openai:
            return Wire("127.0.0.1", self.port, b'"content":"the ', b"data: [DONE]")
        return Wire("127.0.0.1", self.port, b"contentBlockDelta", b"latencyMs")

    def requests(self, model: str, *, stream: bool) -> Iterator[bytes]:
        """Requests without end, no two prompts alike, so that nothing is answered from a cache."""
        path, body = self._request(model, stream=stream)
        before, _, after = json.dumps(body).encode().partition(b"########")
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\ncontent-type: application/json\r\n"
            f"authorization: {self.authorization}\r\ncontent-length: {len(before) + 8 + len(after)}\r\n\r\n"
        ).encode()
        return (b"%b%b%08d%b" % (head, before, number, after) for number in _PROMPT_NUMBERS)

    def check(self) -> None:
        """Raise NotReady unless it answers right, whole and streamed."""
        expected = "".join(SCRIPTS["burst"].answer_pieces())
        if not self.openai:
            return
        whole = json.loads(self._ask("whole", stream=False))
        usage = whole["usage"]
        if (
            whole["choices"][0]["message"]["content"].strip() != expected.strip()
            or usage["completion_tokens"] != SCRIPTS["whole"].token_count
        ):
            raise NotReady(f"{self.name} answers wrongly: {whole}")
        lines = self._ask("burst", stream=True).decode().split("\n\n")
        chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
        text = "".join(
            choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
        )
        if text.strip() != expected.strip() or "data: [DONE]" not in lines:
            raise NotReady(f"{self.name} streams wrongly: {text[:200]!r}")
        reported = [chunk["usage"]["completion_tokens"] for chunk in chunks if chunk.get("usage")]
        if reported != [SCRIPTS["burst"].token_count]:
            raise NotReady(f"{self.name} reports usage {reported}")

    def _ask(self, model: str, *, stream: bool) -> bytes:
        head, _, body = next(self.requests(model, stream=stream)).partition(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        headers = {"content-type": "application/json", "authorization": self.authorization}
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as reply:
            return bytes(reply.read())

    def _request(self, model: str, *, stream: bool) -> tuple[str, Mapping[str, object]]:
        question = "########" + QUESTION
        if self.openai:
            messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
            body: dict[str, object] = {"model": model, "max_tokens": 512, "messages": messages}
            if stream:
                body |= {"stream": True, "stream_options": {"include_usage": True}}
            return "/v1/chat/completions", body
        return f"/model/{model}/converse{'-stream' * stream}", {
            "system": [{"text": SYSTEM}],
            "messages": [{"role": "user", "content": [{"text": question}]}],
            "inferenceConfig": {"maxTokens": 512},
        }


@contextlib.asynccontextmanager
async def direct(logs: Path) -> AsyncIterator[Target]:
    """The scripted backend itself."""
    port = free_port()
    command = [sys.executable, str(HERE / "backend.py"), str(port)]
    url = f"http://127.0.0.1:{port}/_sandbox/health"
    async with running("backend", command, environment=os.environ, logs=logs, ready_url=url) as process:
        yield Target("backend", port, _SIGNED, openai=False, pid=process.pid)


@contextlib.asynccontextmanager
async def pass_through(backend: Target, logs: Path) -> AsyncIterator[Target]:
    """The floor."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--app-dir",
        str(HERE),
        "--port",
        str(port),
        "--loop",
        "uvloop",
    ]
    command += ["--http", "httptools", "--no-access-log", "--log-level", "warning", "floor:app"]
    environment = {**os.environ, "PASS_THROUGH_TO": f"http://127.0.0.1:{backend.port}"}
    url = f"http://127.0.0.1:{port}/"
    async with running("floor", command, environment=environment, logs=logs, ready_url=url) as process:
        yield Target("pass-through", port, _SIGNED, openai=False, pid=process.pid)


@contextlib.asynccontextmanager
async def litellm(backend: Target, logs: Path) -> AsyncIterator[Target]:
    """LiteLLM's proxy as it comes: one worker, no database, its own logging."""
    port = free_port()
    config = logs / "litellm.yaml"
    model_list = [
        {
            "model_name": name,
            "litellm_params": {
                "model": f"bedrock/converse/{name}",
                "aws_region_name": "us-east-1",
                "aws_access_key_id": "sandbox",
                "aws_secret_access_key": "sandbox",
                "aws_bedrock_runtime_endpoint": f"http://127.0.0.1:{backend.port}",
            },
        }
        for name in SCRIPTS
    ]
    general = {"master_key": _LITELLM_KEY}
    config.write_text(json.dumps({"model_list": model_list, "general_settings": general}))  # YAML too
    command = [str(LITELLM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    # It would fetch its price list from the network, and send statistics there.
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    url = f"http://127.0.0.1:{port}/health/liveliness"
    async with running(
        "litellm", [*command, "--telemetry", "False"], environment=environment, logs=logs, ready_url=url
    ) as process:
        yield Target("LiteLLM", port, f"Bearer {_LITELLM_KEY}", openai=True, pid=process.pid)


@contextlib.asynccontextmanager
async def gateway(backend: Target, logs: Path) -> AsyncIterator[Target]:
    """This gateway with all its sinks on: ledger, EMF, samples and spans go to a sandbox of its own."""
    state = {**os.environ, "LLM_PLATFORM_STATE": str(logs / "state")}
    command = [sys.executable, "-m", "sandbox", "--until-stdin-ends"]
    async with running("sandbox", command, environment=state, logs=logs, ready_url=None) as sandbox:
        told = await asyncio.wait_for(_ready_line(sandbox), 120)
        aws: dict[str, str] = told["environment"]
        key = await _tenant(aws)
        port = free_port()
        environment = {
            **state,
            **aws,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": f"http://127.0.0.1:{backend.port}",
            "AWS_EMF_AGENT_ENDPOINT": told["emf_address"],
            "OTEL_EXPORTER_OTLP_ENDPOINT": told["otlp_url"],
            "LLM_PLATFORM_CATALOGUE": str(_catalogue(logs)),
            "GATEWAY_PORT": str(port),
        }
        command = [sys.executable, "-m", "gateway"]
        url = f"http://127.0.0.1:{port}/readyz"
        async with running("gateway", command, environment=environment, logs=logs, ready_url=url) as process:
            yield Target("this gateway", port, f"Bearer {key}", openai=True, pid=process.pid)


async def _ready_line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        told = json.loads(line)
        if "ready" in told:
            return dict(told["ready"])
    raise NotReady("the sandbox ended; see sandbox.log")


async def _tenant(aws: Mapping[str, str]) -> str:
    """A tenant with the ordinary policy, but for how many requests it may have under way."""
    session = aioboto3.Session(
        aws["AWS_ACCESS_KEY_ID"], aws["AWS_SECRET_ACCESS_KEY"], region_name=aws["AWS_REGION"]
    )
    policy = TenantPolicy(tenant_id=TenantId("benchmark"), max_in_flight=1_000)
    async with session.client("ssm", endpoint_url=aws["AWS_ENDPOINT_URL"]) as ssm:
        return await Tenants(ssm, SystemClock()).create(policy)


def _catalogue(folder: Path) -> Path:
    tables = (
        f'[models.{name}]\nendpoint_type = "bedrock"\nbackend_model_id = "{name}"\ndialect = "converse"\n'
        'price_key = "benchmark"\ntokenizer = { kind = "tiktoken", name = "o200k_base" }\n'
        for name in SCRIPTS
    )
    path = folder / "models.toml"
    path.write_text("\n".join(tables))
    return path
