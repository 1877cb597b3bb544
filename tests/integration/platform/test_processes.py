"""The gateway as a process: what comes out the other side, and how it ends and outlives its AWS."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio

from harness.held import hold
from harness.platform import TENANT, GatewayProcess, Laptop, eventually, running_laptop, until
from llmplatform import ids
from llmplatform.aws.tables import CONTENT_LOGS, GATEWAY_LOGS, REQUEST_LEDGER
from llmplatform.invocation import Outcome
from llmplatform.ledger import decode_item
from llmplatform.samples import decode_sample
from sandbox.engines.scripted import Script
from sandbox.faults import Refuse

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEDROCK, OPENAI = "scripted-bedrock", "scripted-openai"
ROUTE = "/v1/chat/completions"


def body(model: str, *, stream: bool, text: str = "hello") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="laptop")
async def shared_laptop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Laptop]:
    async with running_laptop(tmp_path_factory.mktemp("state")) as laptop:
        yield laptop


@pytest.fixture(autouse=True)
def no_scripts(laptop: Laptop) -> None:
    laptop.runtime.scripts.clear()


@dataclass
class Load:
    """Clients that ask, one request after the other, until told to stop."""

    gateway: GatewayProcess
    ids: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    stopping: bool = False

    async def run(self, client: httpx.AsyncClient, clients: int = 6) -> None:
        await asyncio.gather(*(self._ask(client, number) for number in range(clients)))

    async def _ask(self, client: httpx.AsyncClient, number: int) -> None:
        while not self.stopping:
            asked = body((BEDROCK, OPENAI)[number % 2], stream=number % 3 != 0)
            reply = await client.post(ROUTE, json=asked)
            self.ids.add(reply.headers["x-request-id"])
            if reply.status_code != 200 or (asked["stream"] and not reply.text.endswith("[DONE]\n\n")):
                self.failures.append(reply.text[-300:])
            await asyncio.sleep(0.02)

    def take(self) -> set[str]:
        """The requests since the last time."""
        taken, self.ids = self.ids, set()
        return taken


async def test_every_signal_of_a_request_comes_out_the_other_side(tmp_path: Path) -> None:
    async with (
        running_laptop(tmp_path, log_content=True) as laptop,  # its own: metrics are counted
        laptop.gateway() as gateway,
        gateway.http() as client,
    ):
        laptop.runtime.scripts[BEDROCK] = Script(text="the completion of it", interval_ms=2)
        replies = await asyncio.gather(
            *(
                client.post(ROUTE, json=body(model, stream=stream, text="the prompt of it"))
                for model in (BEDROCK, OPENAI)
                for stream in (False, True)
                for _ in range(5)
            )
        )
        assert {reply.status_code for reply in replies} == {200}
        refused = [
            await client.post(ROUTE, json=body("gone", stream=False)),
            await client.post(ROUTE, json=body(BEDROCK, stream=False), headers={"authorization": "x"}),
            await client.post(ROUTE, content=b"{"),
        ]
        laptop.runtime.scripts[OPENAI] = Script(
            faults=(Refuse(status=429, error_type="ThrottlingException"),)
        )
        failed = await client.post(ROUTE, json=body(OPENAI, stream=True))
        assert failed.status_code == 429
        everything = [*replies, *refused, failed]
        sent = {reply.headers["x-request-id"] for reply in everything}

        rows = await laptop.rows_of(sent)
        assert set(rows) == sent
        assert sum(row.outcome is Outcome.COMPLETED for row in rows.values()) == 20
        one = replies[0].headers
        await asyncio.to_thread(_check_trace_index, laptop, one["x-trace-id"], one["x-request-id"])
        await _check_samples(laptop, rows)
        await _check_traces(laptop, failed.headers)

        await _check_logs(laptop, sent)
        await laptop.emf.flush()  # the figures of the last lines, too
        assert not laptop.emf.rejected
        await asyncio.to_thread(_check_metrics, laptop)


def _check_trace_index(laptop: Laptop, trace_id: str, request_id: str) -> None:
    dynamodb = laptop.boto3("dynamodb")
    found = dynamodb.query(
        TableName=REQUEST_LEDGER.name,
        IndexName=REQUEST_LEDGER.indexes[0].name,
        KeyConditionExpression="trace_id = :it",
        ExpressionAttributeValues={":it": {"S": trace_id}},
    )["Items"]
    dynamodb.close()
    assert [decode_item(item).request_id for item in found] == [request_id]


async def _check_samples(laptop: Laptop, rows: Any) -> None:
    chosen = {one for one, row in rows.items() if row.sampled}
    assert len(chosen) == 21
    async with asyncio.timeout(60):
        while True:
            events = [decode_sample(data) for data in await laptop.samples()]
            if chosen <= {event.request_id for event in events}:
                break
            await asyncio.sleep(0.2)
    answered = [event for event in events if event.outcome == "completed" and event.request_id in chosen]
    assert {event.prompt for event in answered} == {"user: the prompt of it"}
    assert "the completion of it" in {event.completion for event in answered}


async def _check_traces(laptop: Laptop, headers: httpx.Headers) -> None:
    trace_id = ids.parse_uuid(headers["x-trace-id"])
    assert trace_id is not None
    await eventually(lambda: laptop.traces.spans(trace_id) or None)
    xray = laptop.boto3("xray", laptop.traces.url)
    (trace,) = (await asyncio.to_thread(xray.batch_get_traces, TraceIds=[ids.as_xray(trace_id)]))["Traces"]
    xray.close()
    documents = [json.loads(segment["Document"]) for segment in trace["Segments"]]
    assert headers["x-request-id"] in json.dumps(documents)
    assert any(document.get("fault") or document.get("throttle") for document in documents)


def _check_metrics(laptop: Laptop) -> None:
    cloudwatch = laptop.boto3("cloudwatch")
    now = datetime.now(UTC)

    def total(name: str, statistic: str, **dimensions: str) -> float:
        points = cloudwatch.get_metric_statistics(
            Namespace="LLMPlatform/Inference",
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=5),
            Period=7_200,
            Statistics=[statistic],
        )["Datapoints"]
        return float(sum(point[statistic] for point in points))

    by_model = {"tenant_id": TENANT, "model_id": BEDROCK, "endpoint_type": "bedrock"}
    assert total("input_token_count", "SampleCount", **by_model) == 10
    assert total("output_token_count", "Sum", **by_model) == 40
    assert total("time_to_first_token", "SampleCount", **by_model) == 10
    assert total("total_latency", "SampleCount", tenant_id=TENANT) == 20
    assert total("request_failed", "Sum", tenant_id=TENANT) == 1
    assert total("total_latency", "SampleCount", endpoint_name=OPENAI) == 10
    cloudwatch.close()


async def _check_logs(laptop: Laptop, sent: set[str]) -> None:
    """A line of each request, whose figures then count; and what was said where its tenant opted in."""
    logs = laptop.boto3("logs")

    def events(group: str) -> list[str]:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        return [event["message"] for page in pages for event in page["events"]]

    def said(events: list[str]) -> int:
        return sum("the prompt of it" in event and "the completion of it" in event for event in events)

    async with asyncio.timeout(60):
        while True:
            await laptop.emf.flush()
            lines = await asyncio.to_thread(events, GATEWAY_LOGS.name)
            content = await asyncio.to_thread(events, CONTENT_LOGS.name)
            if sent <= {json.loads(line).get("request_id") for line in lines} and said(content) >= 10:
                break
            await asyncio.sleep(0.2)
    logs.close()
    assert all("of it" not in line for line in lines)
    assert said(content) == 10


@dataclass
class Stream:
    """A stream of the gateway's, and all that came of it so far."""

    request_id: str = ""
    got: str = ""

    async def read(self, client: httpx.AsyncClient, model: str) -> None:
        """Ask for it, and take it to its end."""
        async with client.stream("POST", ROUTE, json=body(model, stream=True)) as reply:
            assert reply.status_code == 200
            self.request_id = reply.headers["x-request-id"]
            async for piece in reply.aiter_text():
                self.got += piece


@asynccontextmanager
async def begun(client: httpx.AsyncClient, of_each: int) -> AsyncIterator[list[Stream]]:
    """So many streams of each model, of which each has brought something; at their end in the end."""
    models = [model for model in (BEDROCK, OPENAI) for _ in range(of_each)]
    streams = [Stream() for _ in models]
    async with asyncio.TaskGroup() as reading:
        for stream, model in zip(streams, models, strict=True):
            reading.create_task(stream.read(client, model))
        await eventually(lambda: all(stream.got for stream in streams) or None)
        yield streams


def _refuses(url: str) -> bool:
    """Whether nobody listens any more."""
    address = httpx.URL(url)
    try:
        socket.create_connection((address.host, address.port or 0), 60).close()
    except ConnectionRefusedError:
        return True
    return False


async def _ends_in_order(gateway: GatewayProcess) -> None:
    async with asyncio.timeout(60):  # a longer grace is for streams, of which there are none any more
        assert await gateway.child.ended == 0
    flushed = [line for line in gateway.logged() if line["message"] == "telemetry is flushed"]
    assert len(flushed) == 1
    assert {name: n for name, n in flushed[0].items() if name.startswith("dropped_") and n} == {}
    assert all("exception" not in line for line in gateway.logged())


async def test_sigterm_under_load_lets_streams_finish_and_loses_nothing(laptop: Laptop) -> None:
    script = Script(token_count=40, interval_ms=1)
    holds = [hold(laptop.runtime, model, script, pieces=10) for model in (BEDROCK, OPENAI)]
    async with (
        laptop.gateway(GATEWAY_SHUTDOWN_GRACE_S="120", GATEWAY_FLUSH_S="60") as gateway,
        gateway.http() as client,
    ):
        before = await laptop.rows()
        async with begun(client, 15) as streams:
            os.kill(gateway.child.pid, signal.SIGTERM)
            await eventually(lambda: _refuses(gateway.url) or None)
            for go_on in holds:
                go_on.set()
        assert all(stream.got.endswith("data: [DONE]\n\n") for stream in streams)
        with pytest.raises(httpx.TransportError):
            await client.post(ROUTE, json=body(BEDROCK, stream=False))
        await _ends_in_order(gateway)
        sent = {stream.request_id for stream in streams}
        assert len(sent) == 30
        rows = {one: row for one, row in (await laptop.rows()).items() if one not in before}
        assert set(rows) == sent
        assert {row.outcome for row in rows.values()} == {Outcome.COMPLETED}


async def test_sigterm_ends_streams_that_are_longer_than_the_grace_with_an_error(laptop: Laptop) -> None:
    for model in (BEDROCK, OPENAI):
        hold(laptop.runtime, model, Script(token_count=40, interval_ms=1), pieces=10)
    async with (
        laptop.gateway(GATEWAY_SHUTDOWN_GRACE_S="0.5", GATEWAY_FLUSH_S="60") as gateway,
        gateway.http() as client,
    ):
        before = await laptop.rows()
        sdk = gateway.openai()
        long: Any = await sdk.chat.completions.create(**body(BEDROCK, stream=True))
        assert (await anext(long)).choices
        async with begun(client, 5) as streams:
            os.kill(gateway.child.pid, signal.SIGTERM)
            with pytest.raises(openai.APIError) as cut:
                async for _ in long:
                    pass
            await sdk.close()
        assert cut.value.code == "gateway_overloaded"
        for text in (stream.got for stream in streams):
            assert "[DONE]" not in text
            error = json.loads(text.rstrip().rsplit("data: ", 1)[-1])["error"]
            assert error["code"] == "gateway_overloaded"
        await _ends_in_order(gateway)
        rows = [row for one, row in (await laptop.rows()).items() if one not in before]
        assert len(rows) == 11
        assert {row.outcome for row in rows} == {Outcome.BACKEND_FAILED}
        assert all((row.usage.input_tokens or 0) > 0 for row in rows)
        assert all((row.usage.output_tokens or 0) > 0 for row in rows)
        await eventually(lambda: laptop.runtime.calls_in_flight == 0 or None)


async def test_a_dead_aws_fails_and_slows_nobody_and_rows_come_again(tmp_path: Path) -> None:
    async with (
        running_laptop(tmp_path) as laptop,
        laptop.gateway(GATEWAY_POLICY_REFRESH_S="1") as gateway,
        gateway.http() as client,
    ):
        load = Load(gateway)
        asking = asyncio.create_task(load.run(client))
        await eventually(lambda: len(load.ids) > 20 or None)
        load.take()
        assert laptop.aws.pid is not None
        os.kill(laptop.aws.pid, signal.SIGSTOP)  # it takes connections, and answers nothing
        # Six clients that wait 5 s each, as the SDK does for an AWS that says nothing, would come to 72.
        await eventually(lambda: len(load.ids) > 100 or None, within_s=60)
        await laptop.aws.kill()
        await eventually(lambda: len(load.ids) > 200 or None)
        load.stopping = True
        await asking
        in_outage = load.take()
        assert load.failures == []

        await laptop.aws.start()
        await laptop.furnish()
        # The policies of the store that came back empty may have been read meanwhile.
        await until(client.post, ROUTE, json=body(BEDROCK, stream=False))
        load.take()
        load.stopping = False
        asking = asyncio.create_task(load.run(client))
        await eventually(lambda: len(load.ids) > 20 or None)
        load.stopping = True
        await asking
        afterwards = load.take()
        assert load.failures == []
        rows = await laptop.rows_of(in_outage | afterwards)
        os.kill(gateway.child.pid, signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await gateway.child.ended == 0
        (flushed,) = [line for line in gateway.logged() if line["message"] == "telemetry is flushed"]
        assert afterwards <= set(rows)
        assert len(rows) + flushed["dropped_ledger"] >= len(in_outage | afterwards)
        assert any("sink ledger" in line["message"] for line in gateway.logged())
