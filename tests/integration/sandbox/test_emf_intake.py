import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from harness.platform import eventually
from llmplatform.aws.tables import GATEWAY_LOGS
from sandbox.cloudwatch_delivery import CloudWatchDelivery
from sandbox.emf_extraction import MAX_EVENT_BYTES, Datum
from sandbox.emf_intake import EmfIntake, serve_emf
from sandbox.emulator import Emulator, sandbox_session
from sandbox.runtime import serve_runtime

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="aws")
async def emulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        yield aws


@pytest_asyncio.fixture(loop_scope="module", name="intake")
async def serving(aws: Emulator) -> AsyncIterator[EmfIntake]:
    async with serve_emf(sandbox_session(), endpoint_url=aws.url) as intake:
        yield intake


@asynccontextmanager
async def client(service: Any, aws: Emulator) -> AsyncIterator[Any]:
    async with sandbox_session().client(service, endpoint_url=aws.url) as opened:
        yield opened


async def send(intake: EmfIntake, *pieces: bytes) -> None:
    """Send bytes as an agent's client does, then wait until they were taken and put."""
    expected = intake.lines + len([line for line in b"".join(pieces).split(b"\n") if line.strip()])
    _, writer = await asyncio.open_connection("127.0.0.1", intake.port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    writer.close()
    await writer.wait_closed()
    await eventually(lambda: intake.lines >= expected or None)
    await intake.flush()


def emf(tenant: str, ttft: Any, **more: Any) -> bytes:
    directive = {
        "Namespace": "LLMPlatform/Inference",
        "Dimensions": [["tenant_id"], ["tenant_id", "model_id"]],
        "Metrics": [{"Name": "time_to_first_token", "Unit": "Milliseconds", "StorageResolution": 1}],
    }
    metadata = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]} | more
    root = {"tenant_id": tenant, "model_id": "m", "time_to_first_token": ttft, "_aws": metadata}
    return orjson.dumps(root) + b"\n"


async def statistics(aws: Emulator, namespace: str, name: str, dimensions: dict[str, str]) -> dict[str, Any]:
    """All datapoints of the last and next hour as one."""
    now = datetime.now(UTC)
    async with client("cloudwatch", aws) as cloudwatch:
        found = await cloudwatch.get_metric_statistics(
            Namespace=namespace,
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
            StartTime=now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=4 * 3600,
            Statistics=["SampleCount", "Sum", "Maximum"],
        )
    (point,) = found["Datapoints"]
    return dict(point)


async def messages(aws: Emulator, group: str, **more: Any) -> list[str]:
    async with client("logs", aws) as logs:
        found = await logs.filter_log_events(logGroupName=group, **more)
    return [event["message"] for event in found["events"]]


async def test_percentiles_can_be_read_by_dimension(aws: Emulator, intake: EmfIntake) -> None:
    await send(intake, *(emf("percentile", value) for value in range(1, 201)))
    now = datetime.now(UTC)
    async with client("cloudwatch", aws) as cloudwatch:
        found = await cloudwatch.get_metric_data(
            MetricDataQueries=[
                {
                    "Id": "p99",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "LLMPlatform/Inference",
                            "MetricName": "time_to_first_token",
                            "Dimensions": [
                                {"Name": "tenant_id", "Value": "percentile"},
                                {"Name": "model_id", "Value": "m"},
                            ],
                        },
                        "Period": 4 * 3600,
                        "Stat": "p99",
                    },
                }
            ],
            StartTime=now - timedelta(hours=2),
            EndTime=now + timedelta(hours=1),
        )
    (value,) = found["MetricDataResults"][0]["Values"]
    assert 197 <= value <= 199
    point = await statistics(aws, "LLMPlatform/Inference", "time_to_first_token", {"tenant_id": "percentile"})
    assert (point["SampleCount"], point["Sum"], point["Unit"]) == (200, 20_100, "Milliseconds")


async def test_equal_values_count_as_often_as_they_came(aws: Emulator, intake: EmfIntake) -> None:
    await send(intake, emf("equal", [5, 5, 5, 7]), emf("equal", 5))
    point = await statistics(aws, "LLMPlatform/Inference", "time_to_first_token", {"tenant_id": "equal"})
    assert (point["SampleCount"], point["Sum"], point["Maximum"]) == (5, 27, 7)


async def test_lines_are_found_in_the_group_whether_they_carry_metrics_or_not(
    aws: Emulator, intake: EmfIntake
) -> None:
    line = emf("lines", 3)
    await send(intake, b"a plain line, caf\xc3\xa9\n" + line[:10], line[10:] + b"the last one has no newline")
    found = await messages(aws, GATEWAY_LOGS.name)
    assert {"a plain line, café", line.decode().rstrip(), "the last one has no newline"} <= set(found)
    assert await messages(aws, GATEWAY_LOGS.name, filterPattern="plain") == ["a plain line, café"]


async def test_a_line_may_name_its_group_and_stream(aws: Emulator, intake: EmfIntake) -> None:
    await send(intake, emf("own-group", 3, LogGroupName="/own/group", LogStreamName="s"))
    (found,) = await messages(aws, "/own/group", logStreamNames=["s"])
    assert "own-group" in found


async def test_lines_of_a_process_are_taken_without_a_socket(aws: Emulator, intake: EmfIntake) -> None:
    intake.accept_line(emf("stdout", 9))
    await intake.flush()
    point = await statistics(aws, "LLMPlatform/Inference", "time_to_first_token", {"tenant_id": "stdout"})
    assert point["Sum"] == 9


async def test_what_cloudwatch_would_reject_is_kept_and_becomes_its_metric(aws: Emulator) -> None:
    group = "/rejecting"
    async with serve_emf(sandbox_session(), endpoint_url=aws.url, group=group) as intake:
        await send(intake, emf("rejected", "secret text"), emf("rejected", 1)[:-5] + b"\n", emf("fine", 1))
        assert [rejection.reason for rejection in intake.rejections] == [
            "value is not a number",
            "not valid JSON",
        ]
        assert intake.rejected == {"validation": 1, "parsing": 1}
        assert "secret text" not in repr(intake.rejections)
    for name in ("EMFValidationErrors", "EMFParsingErrors"):
        assert (await statistics(aws, "AWS/Logs", name, {"LogGroupName": group}))["Sum"] == 1


async def test_a_line_over_the_limit_is_rejected_and_the_next_one_is_read(
    aws: Emulator, intake: EmfIntake
) -> None:
    await send(intake, b"x" * (3 * MAX_EVENT_BYTES), b"\n", emf("after", 4))
    assert [rejection.reason for rejection in intake.rejections] == ["event too large"]
    point = await statistics(aws, "LLMPlatform/Inference", "time_to_first_token", {"tenant_id": "after"})
    assert point["SampleCount"] == 1


async def test_what_came_while_cloudwatch_was_away_is_put_when_it_is_back(aws: Emulator) -> None:
    async with serve_emf(sandbox_session(), endpoint_url=aws.url) as intake:
        await send(intake, b"before\n")
        await aws.kill()
        intake.accept_line(emf("outage", 2))
        intake.accept_line(b"during")
        await asyncio.sleep(0.3)
        await aws.start()
        async with asyncio.timeout(120):
            while True:
                try:
                    await intake.flush()
                    break
                except Exception:  # noqa: BLE001  # whatever the client says while nobody listens
                    await asyncio.sleep(0.1)
    assert "during" in await messages(aws, GATEWAY_LOGS.name)
    point = await statistics(aws, "LLMPlatform/Inference", "time_to_first_token", {"tenant_id": "outage"})
    assert point["Sum"] == 2


async def test_what_does_not_fit_while_nothing_is_put_is_dropped_and_counted(aws: Emulator) -> None:
    async with client("cloudwatch", aws) as cloudwatch, client("logs", aws) as logs:
        delivery = CloudWatchDelivery(cloudwatch, logs, max_waiting_line_bytes=1_000, max_waiting_datums=10)
        now_ms = int(time.time() * 1000)
        for n in range(30):
            delivery.add_datum(Datum("Bounded", "m", (), "Count", 60, now_ms, (float(n),)))
            delivery.add_line("/bounded", "s", now_ms, b"x" * 74)
        assert (delivery.dropped_datums, delivery.dropped_events) == (20, 20)
        await delivery.flush()
        delivery.add_line("/bounded", "s", now_ms, b"room again")
        await delivery.flush()
    assert len(await messages(aws, "/bounded")) == 11
    assert (await statistics(aws, "Bounded", "m", {}))["SampleCount"] == 10


async def test_a_batch_that_is_refused_for_good_does_not_stand_in_the_way() -> None:
    kept = []

    async def answer(request: web.Request) -> web.Response:
        """Refuse lines as Logs does; the emulator itself refuses none."""
        body = orjson.loads(await request.read())
        for event in body.get("logEvents", []):
            if event["message"] == "refused":
                refusal = {"__type": "InvalidParameterException", "message": "no"}
                return web.json_response(refusal, status=400, content_type="application/x-amz-json-1.1")
            kept.append(event["message"])
        return web.json_response({}, content_type="application/x-amz-json-1.1")

    app = web.Application()
    app.router.add_post("/", answer)
    async with (
        TestServer(app) as server,
        sandbox_session().client("logs", endpoint_url=str(server.make_url("/"))) as logs,
        sandbox_session().client("cloudwatch") as cloudwatch,
    ):
        delivery = CloudWatchDelivery(cloudwatch, logs)
        delivery.add_line("/bad", "s", 1, b"refused")
        delivery.add_line("/good", "s", 1, b"kept")
        await delivery.flush()
    assert delivery.dropped_events == 1
    assert kept == ["kept"]


async def test_an_intake_that_is_switched_off_cuts_its_clients_off_and_comes_back_where_it_was(
    intake: EmfIntake,
) -> None:
    async with serve_runtime(intake=intake) as runtime, aiohttp.ClientSession(runtime.url) as session:
        reader, writer = await asyncio.open_connection("127.0.0.1", intake.port)
        writer.write(emf("switched", 1.0))
        await writer.drain()
        async with session.put("/_sandbox/intake", json={"listening": False}) as answer:
            assert answer.status == 204
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await asyncio.open_connection("127.0.0.1", intake.port)
        async with session.put("/_sandbox/intake", json={"listening": True}) as answer:
            assert answer.status == 204
        async with session.get("/_sandbox/intake") as answer:
            assert await answer.json() == {"listening": True}
        lines = intake.lines
        await send(intake, emf("switched", 2.0))
        assert intake.lines == lines + 1
