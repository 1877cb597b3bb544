"""What AWS publishes by itself is found in the emulator's CloudWatch, under AWS's names."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from botocore.exceptions import ClientError, EventStreamError

from harness.platform import eventually
from harness.wall_clock import DAY, well_within
from sandbox.emulator import Emulator
from sandbox.engines.scripted import Script, ScriptedUsage
from sandbox.faults import Refuse, StreamException
from sandbox.hardware import Hardware
from sandbox.runtime import serve_runtime

MODEL = "anthropic.metered"
ENDPOINT = "metered-endpoint"
MESSAGES = [{"role": "user", "content": [{"text": "hello"}]}]
STREAM = json.dumps({"messages": [{"role": "user", "content": "hi"}], "stream": True})
CHAT = json.dumps({"messages": [{"role": "user", "content": "hi"}]})


@pytest_asyncio.fixture
async def emulator(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Emulator]:
    monkeypatch.setattr("sandbox.native_metrics.LAST_PUBLISH_WITHIN_S", 60.0)
    await well_within(DAY, left=timedelta(minutes=2))  # figures are of a day
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        yield aws


async def test_calls_and_hardware_are_published_under_awss_names(
    emulator: Emulator, make_client: Any
) -> None:
    async with serve_runtime(cloudwatch_url=emulator.url, metrics_interval_s=0.5) as runtime:
        throttle = Refuse(status=429, error_type="ThrottlingException", times=1)
        usage = ScriptedUsage(input_tokens=11, output_tokens=7)
        runtime.scripts[MODEL] = Script(usage=usage, ttft_ms=20, faults=(throttle,))
        async with aiohttp.ClientSession(runtime.url) as session:
            busy = {"gpu_count": 4, "gpu_utilization": 380.0}
            async with session.put(f"/_sandbox/hardware/{ENDPOINT}", json=busy) as put:
                assert put.status == 204

        bedrock = make_client("bedrock-runtime", runtime.url)
        sagemaker = make_client("sagemaker-runtime", runtime.url)

        def ask() -> None:
            with pytest.raises(ClientError):
                bedrock.converse(modelId=MODEL, messages=MESSAGES)
            for _ in range(2):
                list(bedrock.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"])
            sagemaker.invoke_endpoint(EndpointName=ENDPOINT, Body=CHAT)["Body"].read()

        started_s = time.monotonic()
        await asyncio.to_thread(ask)
        took_ms = 1_000 * (time.monotonic() - started_s)

    cloudwatch = make_client("cloudwatch", emulator.url)

    def figure(namespace: str, name: str, statistic: str, **dimensions: str) -> float:
        now = datetime.now(UTC)
        found = cloudwatch.get_metric_statistics(
            Namespace=namespace,
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
            StartTime=now - timedelta(minutes=10),
            EndTime=now + timedelta(minutes=1),
            Period=3600,
            Statistics=[statistic],
        )["Datapoints"]
        assert found, (namespace, name)
        return float(sum(point[statistic] for point in found) if statistic == "Sum" else found[0][statistic])

    assert figure("AWS/Bedrock", "Invocations", "Sum", ModelId=MODEL) == 2
    assert figure("AWS/Bedrock", "InvocationThrottles", "Sum", ModelId=MODEL) == 1
    assert figure("AWS/Bedrock", "InputTokenCount", "Sum", ModelId=MODEL) == 22
    assert figure("AWS/Bedrock", "OutputTokenCount", "Sum", ModelId=MODEL) == 14
    assert 20 <= figure("AWS/Bedrock", "TimeToFirstToken", "Maximum", ModelId=MODEL) < took_ms
    assert 20 <= figure("AWS/Bedrock", "InvocationLatency", "Maximum", ModelId=MODEL) < took_ms
    endpoint = {"EndpointName": ENDPOINT, "VariantName": "AllTraffic"}
    assert figure("AWS/SageMaker", "Invocations", "Sum", **endpoint) == 1
    assert figure("AWS/SageMaker", "Invocation4XXErrors", "Sum", **endpoint) == 0
    assert 100 < figure("AWS/SageMaker", "ModelLatency", "Maximum", **endpoint) < 1_000 * took_ms
    assert figure("AWS/Bedrock", "EstimatedTPMQuotaUsage", "Sum", ModelId=MODEL) == 36
    assert figure("/aws/sagemaker/Endpoints", "GPUUtilization", "Maximum", **endpoint) == 380


async def test_streams_machines_and_gpus_are_published_each_under_its_dimensions(
    emulator: Emulator, make_client: Any
) -> None:
    endpoints = {ENDPOINT: Hardware(gpu_count=2, enhanced=True)}
    async with serve_runtime(
        cloudwatch_url=emulator.url, metrics_interval_s=0.5, endpoints=endpoints
    ) as runtime:
        broken = StreamException(exception_type="ModelStreamError", after_events=3, times=1)
        runtime.scripts[ENDPOINT] = Script(ttft_ms=30, faults=(broken,))
        client = make_client("sagemaker-runtime", runtime.url)

        def ask() -> None:
            for _ in range(2):
                answer = client.invoke_endpoint_with_response_stream(EndpointName=ENDPOINT, Body=STREAM)
                with contextlib.closing(answer["Body"]), contextlib.suppress(EventStreamError):
                    list(answer["Body"])

        await asyncio.to_thread(ask)

    cloudwatch = make_client("cloudwatch", emulator.url)

    def series(namespace: str) -> dict[str, list[dict[str, str]]]:
        found: dict[str, list[dict[str, str]]] = {}
        for metric in cloudwatch.list_metrics(Namespace=namespace)["Metrics"]:
            dimensions = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
            found.setdefault(metric["MetricName"], []).append(dimensions)
        return found

    of_variant = {"EndpointName": ENDPOINT, "VariantName": "AllTraffic"}
    calls = await asyncio.to_thread(series, "AWS/SageMaker")
    assert all(dimensions == [of_variant] for dimensions in calls.values())
    assert {
        "ConcurrentRequestsPerModel",
        "FirstChunkLatency",
        "FirstChunkModelLatency",
        "FirstChunkOverheadLatency",
        "InvocationModelErrors",
        "InvocationsPerInstance",
        "MidStreamErrors",
    } <= set(calls)
    machines = await asyncio.to_thread(series, "/aws/sagemaker/Endpoints")
    levels = [set(dimensions) - set(of_variant) for dimensions in machines["GPUUtilization"]]
    of_gpu = {"InstanceId", "AcceleratorId"}
    assert sorted(levels, key=len) == [set(), {"InstanceId"}, of_gpu, of_gpu]
    assert {one.get("AcceleratorId") for one in machines["GPUUtilization"]} == {None, "0", "1"}
    assert all(len(machines[name]) == 2 for name in ("CPUUtilization", "DiskUtilization"))

    def statistics(name: str) -> dict[str, Any]:
        now = datetime.now(UTC)
        (found,) = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in of_variant.items()],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=1),
            Period=86_400,
            Statistics=["Sum", "SampleCount", "Maximum"],
        )["Datapoints"]
        return dict(found)

    broke = await asyncio.to_thread(statistics, "MidStreamErrors")
    assert (broke["Sum"], broke["SampleCount"], broke["Unit"]) == (1, 2, "None")
    first = await asyncio.to_thread(statistics, "FirstChunkModelLatency")
    assert (first["SampleCount"], first["Unit"]) == (2, "Microseconds")
    assert first["Maximum"] >= 30_000


async def test_a_script_moves_single_figures_and_is_told_what_makes_no_sense() -> None:
    endpoints = {ENDPOINT: Hardware(gpu_count=4, instances=2)}
    async with serve_runtime(endpoints=endpoints) as runtime, aiohttp.ClientSession(runtime.url) as session:
        door = f"/_sandbox/hardware/{ENDPOINT}"
        async with session.put(door, json={"gpu_utilization": 392.0, "disk_utilization": 99}) as put:
            assert put.status == 204
        async with session.put(door, json={"gpu_utilization": 401}) as put:
            assert put.status == 400
            assert "gpu_utilization is at most 400" in await put.text()
        async with session.put(door, json={"disk_utilization": None}) as put:
            assert put.status == 204
    assert runtime.hardware == {ENDPOINT: Hardware(gpu_count=4, instances=2, gpu_utilization=392.0)}


async def test_an_instance_has_one_datapoint_a_minute_however_often_is_published(
    emulator: Emulator, make_client: Any
) -> None:
    endpoints = {
        "idle": Hardware(instances=3, variant="main"),
        "scaled-to-zero": Hardware(instances=0),
    }
    async with serve_runtime(
        cloudwatch_url=emulator.url, metrics_interval_s=0.05, endpoints=endpoints
    ) as runtime:
        assert runtime.metrics is not None
        await asyncio.sleep(0.5)

    cloudwatch = make_client("cloudwatch", emulator.url)

    def counts(endpoint: str, variant: str) -> list[float]:
        now = datetime.now(UTC)
        found = cloudwatch.get_metric_statistics(
            Namespace="/aws/sagemaker/Endpoints",
            MetricName="CPUUtilization",
            Dimensions=[
                {"Name": "EndpointName", "Value": endpoint},
                {"Name": "VariantName", "Value": variant},
            ],
            StartTime=now - timedelta(minutes=10),
            EndTime=now + timedelta(minutes=1),
            Period=60,
            Statistics=["SampleCount"],
        )["Datapoints"]
        return [point["SampleCount"] for point in found]

    assert set(counts("idle", "main")) == {3}
    assert counts("scaled-to-zero", "AllTraffic") == []


async def test_without_a_cloudwatch_that_answers_nobody_notices(make_client: Any) -> None:
    async with serve_runtime(cloudwatch_url="http://127.0.0.1:9", metrics_interval_s=0.3) as runtime:
        bedrock = make_client("bedrock-runtime", runtime.url)
        await asyncio.to_thread(bedrock.converse, modelId=MODEL, messages=MESSAGES)
        assert runtime.metrics is not None
        metrics = runtime.metrics
        await eventually(lambda: metrics.dropped_values or None)
        await asyncio.to_thread(bedrock.converse, modelId=MODEL, messages=MESSAGES)
    assert [call.ended for call in runtime.calls] == ["completed", "completed"]
