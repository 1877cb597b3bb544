"""The gateway as a process: what comes out the other side, and how it ends and outlives its AWS."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio

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
    latencies_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stopping: bool = False

    async def run(self, client: httpx.AsyncClient, clients: int = 6) -> None:
        await asyncio.gather(*(self._ask(client, number) for number in range(clients)))

    async def _ask(self, client: httpx.AsyncClient, number: int) -> None:
        while not self.stopping:
            started = time.monotonic()
            asked = body((BEDROCK, OPENAI)[number % 2], stream=number % 3 != 0)
            reply = await client.post(ROUTE, json=asked)
            self.latencies_s.append(time.monotonic() - started)
            self.ids.add(reply.headers["x-request-id"])
            if reply.status_code != 200 or (asked["stream"] and not reply.text.endswith("[DONE]\n\n")):
                self.failures.append(reply.text[-300:])
            await asyncio.sleep(0.02)

    def take(self) -> tuple[set[str], list[float]]:
        """What there is since the last time."""
        taken = self.ids, self.latencies_s
        self.ids, self.latencies_s = set(), []
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

        await eventually(lambda: laptop.emf.lines >= len(sent) or None)
        await asyncio.sleep(1.2)  # content lingers for a second
        await laptop.emf.flush()
        assert not laptop.emf.rejected
        await asyncio.to_thread(_check_metrics, laptop)
        await _check_logs(laptop, sent)


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
    async with asyncio.timeout(10):
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
    logs = laptop.boto3("logs")

    def events(group: str) -> list[str]:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        return [event["message"] for page in pages for event in page["events"]]

    lines = await asyncio.to_thread(events, GATEWAY_LOGS.name)
    assert sent <= {json.loads(line).get("request_id") for line in lines}
    assert all("of it" not in line for line in lines)
    content = await asyncio.to_thread(events, CONTENT_LOGS.name)
    logs.close()
    assert sum("the prompt of it" in event and "the completion of it" in event for event in content) == 10


async def _stream(client: httpx.AsyncClient, model: str) -> tuple[str, str]:
    """A stream's request id, and all that came of it."""
    got = ""
    async with client.stream("POST", ROUTE, json=body(model, stream=True)) as reply:
        assert reply.status_code == 200
        async for piece in reply.aiter_text():
            got += piece
    return reply.headers["x-request-id"], got


async def _ends_in_order(gateway: GatewayProcess) -> None:
    async with asyncio.timeout(30):  # a grace of a minute is for streams, of which there are none any more
        assert await gateway.child.ended == 0
    flushed = [line for line in gateway.logged() if line["message"] == "telemetry is flushed"]
    assert len(flushed) == 1
    assert {name: n for name, n in flushed[0].items() if name.startswith("dropped_") and n} == {}
    assert all("exception" not in line for line in gateway.logged())


async def test_sigterm_under_load_lets_streams_finish_and_loses_nothing(laptop: Laptop) -> None:
    laptop.runtime.scripts[BEDROCK] = laptop.runtime.scripts[OPENAI] = Script(token_count=40, interval_ms=40)
    async with laptop.gateway(GATEWAY_SHUTDOWN_GRACE_S="60") as gateway, gateway.http() as client:
        before = await laptop.rows()
        streams = [
            asyncio.create_task(_stream(client, model)) for model in (BEDROCK, OPENAI) for _ in range(15)
        ]
        await eventually(lambda: laptop.runtime.calls_in_flight >= 30 or None)
        await asyncio.sleep(0.3)
        os.kill(gateway.child.pid, signal.SIGTERM)
        ended = await asyncio.gather(*streams)
        assert all(text.endswith("data: [DONE]\n\n") for _, text in ended)
        with pytest.raises(httpx.TransportError):
            await client.post(ROUTE, json=body(BEDROCK, stream=False))
        await _ends_in_order(gateway)
        sent = {request_id for request_id, _ in ended}
        assert len(sent) == 30
        rows = {one: row for one, row in (await laptop.rows()).items() if one not in before}
        assert set(rows) == sent
        assert {row.outcome for row in rows.values()} == {Outcome.COMPLETED}


async def test_sigterm_ends_streams_that_are_longer_than_the_grace_with_an_error(laptop: Laptop) -> None:
    laptop.runtime.scripts[BEDROCK] = laptop.runtime.scripts[OPENAI] = Script(
        token_count=2_000, interval_ms=20
    )
    async with laptop.gateway(GATEWAY_SHUTDOWN_GRACE_S="0.5") as gateway, gateway.http() as client:
        before = await laptop.rows()
        streams = [
            asyncio.create_task(_stream(client, model)) for model in (BEDROCK, OPENAI) for _ in range(5)
        ]
        sdk = gateway.openai()
        long: Any = await sdk.chat.completions.create(**body(BEDROCK, stream=True))
        await eventually(lambda: laptop.runtime.calls_in_flight >= 11 or None)
        await asyncio.sleep(0.3)
        os.kill(gateway.child.pid, signal.SIGTERM)
        with pytest.raises(openai.APIError) as cut:
            async for _ in long:
                pass
        await sdk.close()
        assert cut.value.code == "gateway_overloaded"
        for _, text in await asyncio.gather(*streams):
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
        await asyncio.sleep(1.5)
        load.take()
        await laptop.aws.kill()
        await asyncio.sleep(3)
        in_outage, outage_s = load.take()
        load.stopping = True
        await asking
        in_outage |= load.take()[0]
        assert load.failures == []
        # A sink that waits for AWS waits for 2 s at least: nobody's request did.
        assert max(outage_s) < 2

        await laptop.aws.start()
        await laptop.furnish()
        # The policies of the store that came back empty may have been read meanwhile.
        await until(client.post, ROUTE, json=body(BEDROCK, stream=False))
        load.take()
        load.stopping = False
        asking = asyncio.create_task(load.run(client))
        await asyncio.sleep(1)
        load.stopping = True
        await asking
        afterwards, _ = load.take()
        assert load.failures == []
        rows = await laptop.rows_of(in_outage | afterwards)
        os.kill(gateway.child.pid, signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await gateway.child.ended == 0
        (flushed,) = [line for line in gateway.logged() if line["message"] == "telemetry is flushed"]
        assert afterwards <= set(rows)
        assert len(rows) + flushed["dropped_ledger"] >= len(in_outage | afterwards)
        assert any("sink ledger" in line["message"] for line in gateway.logged())
