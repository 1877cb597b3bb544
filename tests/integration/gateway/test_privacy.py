"""Nobody's words in what is not meant to hold them: canaries in every place where content can enter.

Under `hash_only` they are to be found nowhere, whatever fails and however much the tenant opted in; under
the other modes only where the policy lets content go.
"""

import asyncio
import base64
import json
import logging
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.resources import Resource

from gateway.sinks.spans import spans_of
from gateway.sinks.xray_daemon import segment_of
from harness.gateway import GatewayUnderTest, running_gateway
from llmplatform import ledger
from llmplatform.policy import ContentMode
from llmplatform.process.logging import JsonFormatter
from llmplatform.samples import decode_sample
from sandbox.engines.scripted import Script, ScriptedToolCall
from sandbox.faults import ContainerError, CorruptChecksum, Cut, Refuse, StreamException

ROUTE = "/v1/chat/completions"
BEDROCK, OPENAI, LMI, TGI = "scripted-bedrock", "scripted-openai", "scripted-lmi", "scripted-tgi"
CANARY = "kanarienvogel"
PIXEL = b"\x89PNG\r\n\x1a\n" + b"\x00" * 8 + f"{CANARY}-image".encode()


class Captured(logging.Handler):
    """Every log record of the process, as the product writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(JsonFormatter("gateway"))

    def emit(self, record: logging.LogRecord) -> None:
        # The test's own client is no part of the product.
        if record.name.partition(".")[0] not in {"httpx", "httpcore"}:
            self.lines.append(self.format(record))


@pytest.fixture
def logged() -> Iterator[Captured]:
    captured = Captured()
    root = logging.getLogger()
    level, root.level = root.level, logging.INFO
    root.addHandler(captured)
    yield captured
    root.removeHandler(captured)
    root.level = level


def canary(place: str) -> str:
    return f"{CANARY}-{place}"


def full_body(model: str, *, stream: bool) -> dict[str, Any]:
    """A request with a canary wherever one can be put."""
    rich = model in {BEDROCK, OPENAI}
    image = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"
    user: list[Any] = [{"type": "text", "text": canary("user")}]
    if rich:
        user.append({"type": "image_url", "image_url": {"url": image}})
    messages: list[Any] = [{"role": "system", "content": canary("system")}]
    body: dict[str, Any] = {
        "model": model,
        "stream": stream,
        "user": canary("label"),
        "metadata": {canary("name"): canary("value")},
        "stop": [canary("stop")],
        "x_evaluation": {"reference": canary("reference"), "contexts": [canary("context")]},
    }
    if rich:
        function = {"name": "look", "description": canary("described"), "parameters": {"type": "object"}}
        body["tools"] = [{"type": "function", "function": function}]
        arguments = json.dumps({"q": canary("arguments")})
        call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": arguments}}
        messages += [
            {"role": "user", "content": canary("earlier")},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": canary("result")},
        ]
    return {**body, "messages": [*messages, {"role": "user", "content": user}]}


SAYS = Script(
    reasoning=(canary("thought"),),
    pieces=("so: ", canary("completion"), " end"),
    interval_ms=1,
)
SAYS_PLAINLY = Script(pieces=("so: ", canary("completion"), " end"), interval_ms=1)
CALLS = Script(tool_calls=(ScriptedToolCall(name="look", arguments=json.dumps({"q": canary("call")})),))


def everything_out(gateway: GatewayUnderTest, logged: Captured) -> str:
    """All that left the request path about all requests, in every form that it can take."""
    records = gateway.records.items
    resource = Resource.create({})
    return "\n".join(
        [
            *(line.decode() for line in gateway.lines.items),
            *(repr(record) for record in records),
            *(json.dumps(ledger.encode_item(record)) for record in records),
            *(span.to_json() for record in records for span in spans_of(record, resource)),
            *(segment_of(record).serialize() for record in records),
            *(sample.data.decode() for sample in gateway.samples.items),
            *(repr(sample) for sample in gateway.samples.items),
            *(repr(sample) for sample in gateway.sealing.items),
            *(sample.without_key().decode() for sample in gateway.sealing.items),
            *(event.message for event in gateway.content.items),
            *logged.lines,
        ]
    )


@asynccontextmanager
async def tenant_of(
    mode: ContentMode, **policy: Any
) -> AsyncIterator[tuple[GatewayUnderTest, httpx.AsyncClient]]:
    options = {"content_mode": mode, "eval_sample_rate": 1.0, **policy}
    async with (
        running_gateway(settings={"trace_sample_rate": 1.0}, **options) as gateway,
        gateway.http() as client,
    ):
        yield gateway, client


def check_nowhere(gateway: GatewayUnderTest, logged: Captured, requests: int) -> None:
    assert len(gateway.records.items) == len(gateway.lines.items) == len(gateway.spans.items) == requests
    assert gateway.content.items == []
    out = everything_out(gateway, logged)
    assert CANARY not in out
    assert base64.b64encode(PIXEL).decode() not in out
    assert base64.b64encode(CANARY.encode()).decode()[:-4] not in out


@pytest.mark.parametrize("log_content", [False, True])
async def test_under_hash_only_an_answered_request_leaves_no_word(
    logged: Captured,
    log_content: bool,  # noqa: FBT001
) -> None:
    async with tenant_of(ContentMode.HASH_ONLY, log_content=log_content) as (gateway, client):
        number = 0
        for model in (BEDROCK, OPENAI, LMI, TGI):
            for stream in (False, True):
                scripts = (SAYS, CALLS) if model in {BEDROCK, OPENAI} else (SAYS_PLAINLY,)
                for script in scripts:
                    gateway.runtime.scripts[model] = script
                    reply = await client.post(ROUTE, json=full_body(model, stream=stream))
                    assert reply.status_code == 200
                    assert canary("completion") in reply.text or script is CALLS
                    number += 1
        await gateway.record(number)
        check_nowhere(gateway, logged, number)
        samples = [decode_sample(sample.data) for sample in gateway.samples.items]
        assert len(samples) == number
        for sample in samples:
            assert sample.content_withheld == "hash_only"
            assert sample.prompt is sample.completion is sample.reference is None
            assert sample.contexts == ()
            assert len(sample.prompt_sha256 or "") == 64


QUOTING = [
    Refuse(status=400, error_type="ValidationException", message=f"bad prompt: {canary('quoted')}"),
    # A name is kept if it looks like one; what a prompt says seldom does.
    Refuse(status=400, error_type=f"because {canary('type')}", message=canary("quoted")),
    Refuse(
        status=424,
        error_type="ModelErrorException",
        message=canary("quoted"),
        fields={"originalStatusCode": 422, "OriginalMessage": canary("original")},
    ),
    Refuse(status=500, error_type="InternalServerException", message=canary("quoted")),
    StreamException(exception_type="validationException", message=canary("quoted")),
    StreamException(exception_type="modelStreamErrorException", message=canary("quoted"), after_events=4),
    CorruptChecksum(frame=3),
    Cut(after_bytes=400),
    Cut(after_bytes=400, reset=True),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [BEDROCK, OPENAI])
async def test_under_hash_only_a_failure_leaves_no_word(
    logged: Captured,
    model: str,
    stream: bool,  # noqa: FBT001
) -> None:
    async with tenant_of(ContentMode.HASH_ONLY, log_content=True) as (gateway, client):
        faults: list[Any] = [*QUOTING]
        if model == OPENAI:
            for after in (0, 4):
                error_type = f"because {canary('type')}" if after else "generation"
                faults.append(
                    ContainerError(after_events=after, message=canary("quoted"), error_type=error_type)
                )
        for fault in faults:
            gateway.runtime.scripts[model] = Script(
                pieces=SAYS_PLAINLY.pieces * 3, interval_ms=1, faults=(fault,)
            )
            await client.post(ROUTE, json=full_body(model, stream=stream))
        await gateway.record(len(faults))
        check_nowhere(gateway, logged, len(faults))


def broken_bodies() -> list[bytes]:
    """Bodies with canaries that no one can read, or no one will."""
    good = full_body(BEDROCK, stream=False)
    wrong: list[Any] = [
        {**good, "temperature": canary("temperature")},
        {**good, "n": [canary("n")]},
        {**good, canary("field"): 1},
        {**good, "model": canary("model")},
        {**good, "tool_choice": canary("choice")},
        {**good, "response_format": {"type": canary("format")}},
        {**good, "metadata": {"k" * 65: canary("long")}},
        {**good, "messages": [{"role": canary("role"), "content": canary("content")}]},
        {**good, "messages": [{"role": "user", "content": [{"type": canary("part")}]}]},
        {**good, "messages": [{"role": "tool", "tool_call_id": canary("call"), "content": "x"}]},
        {**good, "messages": canary("messages")},
        {**good, "x_evaluation": {canary("hint"): canary("hint")}},
        {**good, "tools": [{"type": "function", "function": {"name": canary("bad name!")}}]},
    ]
    image = {"type": "image_url", "image_url": {"url": f"https://example.com/{canary('url')}"}}
    wrong.append({**good, "messages": [{"role": "user", "content": [image]}]})
    whole = json.dumps(good).encode()
    return [
        *(json.dumps(one).encode() for one in wrong),
        whole[:-1],
        whole[: len(whole) // 2],
        whole + canary("rest").encode(),
        whole.replace(b"system", b"\xff\xfe"),
        canary("no json").encode(),
        b"[" * 100_000 + canary("deep").encode(),
    ]


@pytest.mark.parametrize("mode", list(ContentMode))
async def test_what_cannot_be_read_leaves_no_word(logged: Captured, mode: ContentMode) -> None:
    async with tenant_of(mode, log_content=True) as (gateway, client):
        bodies = broken_bodies()
        for body in bodies:
            reply = await client.post(
                ROUTE, content=body, headers={"traceparent": canary("t"), "x-trace-id": canary("x")}
            )
            assert 400 <= reply.status_code < 500
            # Not even to the client itself, but for the name of a field that it made up.
            assert reply.text.replace(canary("field"), "").replace(canary("hint"), "").count(CANARY) == 0
        await gateway.record(len(bodies))
        out = everything_out(gateway, logged)
        assert CANARY not in out
        assert {record.requested_model_id for record in gateway.records.items} <= {None, BEDROCK, "_unknown"}


async def test_a_stranger_leaves_no_word(logged: Captured) -> None:
    async with tenant_of(ContentMode.FULL, log_content=True) as (gateway, client):
        for headers in (
            {"authorization": f"Bearer {canary('key')}"},
            {"authorization": f"Bearer llmp_{canary('tenant')}_{'a' * 43}"},
            {"x-tenant-id": canary("tenant")},
        ):
            await client.post(ROUTE, json=full_body(BEDROCK, stream=True), headers=headers)
        await gateway.record(3)
        assert CANARY not in everything_out(gateway, logged)
        assert gateway.samples.items == []


async def test_a_client_that_leaves_leaves_no_word_behind(logged: Captured) -> None:
    async with tenant_of(ContentMode.HASH_ONLY, log_content=True) as (gateway, client):
        for model in (BEDROCK, OPENAI):
            gateway.runtime.scripts[model] = Script(pieces=(canary("completion"),) * 30, interval_ms=20)
            async with client.stream("POST", ROUTE, json=full_body(model, stream=True)) as reply:
                await anext(reply.aiter_raw())
        await gateway.record(2)
        await asyncio.sleep(0.05)
        check_nowhere(gateway, logged, 2)


@pytest.mark.parametrize("log_content", [False, True])
@pytest.mark.parametrize("fails", [False, True])
async def test_truncated_content_is_in_the_sample_within_its_limits(
    logged: Captured,
    log_content: bool,  # noqa: FBT001
    fails: bool,  # noqa: FBT001
) -> None:
    limits = {"max_prompt_chars": 200, "max_completion_chars": 30}
    async with tenant_of(ContentMode.TRUNCATED, log_content=log_content, **limits) as (gateway, client):
        faults = (Cut(after_events=25),) if fails else ()
        gateway.runtime.scripts[BEDROCK] = Script(
            pieces=(canary("completion"), *"0123456789" * 3), interval_ms=1, faults=faults
        )
        body = full_body(BEDROCK, stream=True)
        body["messages"][-1]["content"][0]["text"] = canary("user") + "x" * 500 + canary("beyond")
        body["x_evaluation"]["reference"] = "r" * 40 + canary("beyond")
        await client.post(ROUTE, json=body)
        await gateway.record()
        (sample,) = [decode_sample(one.data) for one in gateway.samples.items]
        assert sample.prompt_truncated
        assert sample.completion_truncated
        assert sample.reference_truncated
        assert canary("user") in (sample.prompt or "")
        assert (sample.completion or "").startswith(canary("completion"))
        assert len(sample.prompt or "") <= 200
        assert len(sample.completion or "") <= 30
        assert len(sample.reference or "") <= 30
        assert sum(map(len, sample.contexts)) <= 30
        assert canary("beyond") not in everything_out(gateway, logged)
        events = [json.loads(event.message) for event in gateway.content.items]
        assert len(events) == int(log_content)
        for event in events:
            assert len(event["prompt"]) <= 200
            assert len(event["completion"]) <= 30
        gateway.samples.items.clear()
        gateway.content.items.clear()
        assert CANARY not in everything_out(gateway, logged)


async def test_content_is_logged_only_for_who_opted_in(logged: Captured) -> None:
    async with tenant_of(ContentMode.FULL, eval_sample_rate=0.0, log_content=True) as (gateway, client):
        quiet = gateway.add_tenant("quiet", content_mode=ContentMode.FULL, eval_sample_rate=0.0)
        sealed = gateway.add_tenant(
            "sealed",
            content_mode=ContentMode.FULL,
            eval_sample_rate=1.0,
            log_content=True,
            kms_key="alias/sealed",
        )
        gateway.runtime.scripts[BEDROCK] = SAYS
        for key in (gateway.key, quiet, sealed):
            headers = {"authorization": f"Bearer {key}"}
            await client.post(ROUTE, json=full_body(BEDROCK, stream=True), headers=headers)
        await gateway.record(3)
        (event,) = [json.loads(event.message) for event in gateway.content.items]
        assert event["tenant_id"] == "acme"
        assert canary("user") in event["prompt"]
        assert canary("completion") in event["completion"]
        # Under a key of its own a tenant's content goes nowhere in the clear: only to be encrypted.
        assert gateway.samples.items == []
        (unsealed,) = gateway.sealing.items
        assert unsealed.event.tenant_id == "sealed"
        assert canary("user") in unsealed.content.decode()
        gateway.content.items.clear()
        assert CANARY not in everything_out(gateway, logged)


async def test_two_tenants_at_once_never_see_one_another(logged: Captured) -> None:
    dice = random.Random(7)
    async with tenant_of(ContentMode.FULL, log_content=True) as (gateway, client):
        secret = gateway.add_tenant("secret", content_mode=ContentMode.HASH_ONLY, eval_sample_rate=1.0)
        gateway.runtime.scripts[BEDROCK] = Script(text="fine", interval_ms=1)

        async def ask(number: int) -> None:
            hidden = dice.random() < 0.5
            word = canary("hidden") if hidden else f"open-{number}"
            key = secret if hidden else gateway.key
            body = {
                "model": BEDROCK,
                "messages": [{"role": "user", "content": word}],
                "stream": dice.random() < 0.5,
            }
            await client.post(ROUTE, json=body, headers={"authorization": f"Bearer {key}"})

        await asyncio.gather(*(ask(number) for number in range(40)))
        await gateway.record(40)
        out = everything_out(gateway, logged)
        assert CANARY not in out
        assert "open-" in out
