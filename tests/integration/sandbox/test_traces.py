import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import aiohttp
import boto3
import orjson
import pytest
from aws_xray_sdk.core import AsyncAWSXRayRecorder
from botocore.exceptions import ClientError
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from harness.platform import eventually
from sandbox.traces import Traces, serve_traces


@pytest.fixture(name="traces")
async def serving() -> AsyncIterator[Traces]:
    async with serve_traces() as traces:
        yield traces


def xray(traces: Traces) -> Any:
    return boto3.client(
        "xray",
        endpoint_url=traces.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def segment(**more: Any) -> dict[str, Any]:
    now_s = time.time()
    trace_id = f"1-{int(now_s):08x}-{uuid4().hex[:24]}"
    document = {"id": uuid4().hex[:16], "trace_id": trace_id, "name": "gateway"}
    return document | {"start_time": now_s, "end_time": now_s + 0.25} | more


def export_two_spans(url: str, compression: Compression) -> str:
    """Send a server span and its client span by the SDK's own exporter; gives the trace id."""
    provider = TracerProvider(resource=Resource.create({"service.name": "gateway"}))
    exporter = OTLPSpanExporter(endpoint=f"{url}/v1/traces", compression=compression)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("gateway")
    with tracer.start_as_current_span("POST /v1/chat/completions", kind=SpanKind.SERVER) as server:
        server.set_attribute("aws.xray.annotations", ["tenant_id"])
        server.set_attribute("tenant_id", "acme")
        server.set_attribute("http.response.status_code", 200)
        with tracer.start_as_current_span("chat m-1", kind=SpanKind.CLIENT) as client:
            client.set_attribute("gen_ai.usage.output_tokens", 12)
            client.set_status(Status(StatusCode.ERROR, "throttled"))
    assert provider.force_flush(60_000)
    provider.shutdown()
    return f"{server.get_span_context().trace_id:032x}"


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
async def test_a_span_of_the_otlp_exporter_is_read_by_id_from_xray(
    traces: Traces, compression: Compression
) -> None:
    trace_id = await asyncio.to_thread(export_two_spans, traces.url, compression)
    server, client = traces.spans(trace_id)
    assert (server.name, client.parent_id) == ("POST /v1/chat/completions", server.span_id)
    assert client.attributes["gen_ai.usage.output_tokens"] == 12

    written = f"1-{trace_id[:8]}-{trace_id[8:]}"
    found = await asyncio.to_thread(xray(traces).batch_get_traces, TraceIds=[written])
    (trace,) = found["Traces"]
    assert trace["Id"] == written
    documents = {part["Id"]: orjson.loads(part["Document"]) for part in trace["Segments"]}
    assert set(documents) == {server.span_id, client.span_id}
    assert documents[server.span_id]["annotations"] == {"tenant_id": "acme"}
    assert documents[client.span_id]["type"] == "subsegment"
    assert documents[client.span_id]["fault"] is True


async def test_otlp_in_json_is_taken_gzipped_or_not(traces: Traces) -> None:
    span = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "s", "startTimeUnixNano": "1"}
    body = orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession() as client:
        async with client.post(f"{traces.url}/v1/traces", data=body, headers=headers) as plain:
            assert (plain.status, await plain.json()) == (200, {})
        assert [found.name for found in traces.spans("ab" * 16)] == ["s"]
        packed = gzip.compress(body.replace(b"abab", b"efef", 1))
        headers["Content-Encoding"] = "gzip"
        async with client.post(f"{traces.url}/v1/traces", data=packed, headers=headers) as zipped:
            assert zipped.status == 200
    assert traces.spans("efef" + "ab" * 14)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [("application/json", 400), ("application/x-protobuf", 400), ("text/csv", 415)],
)
async def test_what_is_no_export_is_refused(traces: Traces, content_type: str, status: int) -> None:
    headers = {"Content-Type": content_type}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{traces.url}/v1/traces", data=b"\x0a\xff{", headers=headers) as response,
    ):
        assert response.status == status


async def test_segments_put_by_boto3_are_found_by_id_and_by_time(traces: Traces) -> None:
    client = xray(traces)
    good = segment(annotations={"tenant_id": "acme"}, error=True)
    put = await asyncio.to_thread(
        client.put_trace_segments,
        TraceSegmentDocuments=[orjson.dumps(good).decode(), '{"id": "' + "a" * 16 + '"}', "{"],
    )
    refused = [(one.get("Id"), one["ErrorCode"]) for one in put["UnprocessedTraceSegments"]]
    assert refused == [("a" * 16, "InvalidSegment"), (None, "InvalidSegment")]

    unknown = segment()["trace_id"]
    found = await asyncio.to_thread(client.batch_get_traces, TraceIds=[good["trace_id"], unknown])
    (trace,) = found["Traces"]
    assert orjson.loads(trace["Segments"][0]["Document"]) == good
    assert trace["Duration"] == pytest.approx(0.25, abs=0.001)

    now = datetime.now(UTC)
    wide = {"StartTime": now - timedelta(minutes=5), "EndTime": now + timedelta(minutes=5)}
    (summary,) = (await asyncio.to_thread(client.get_trace_summaries, **wide))["TraceSummaries"]
    assert (summary["Id"], summary["HasError"], summary["IsPartial"]) == (good["trace_id"], True, False)
    assert summary["Annotations"]["tenant_id"][0]["AnnotationValue"] == {"StringValue": "acme"}
    early = {"StartTime": now - timedelta(minutes=5), "EndTime": now - timedelta(minutes=4)}
    assert not (await asyncio.to_thread(client.get_trace_summaries, **early))["TraceSummaries"]
    for tenant, count in (("acme", 1), ("other", 0)):
        filtered = await asyncio.to_thread(
            client.get_trace_summaries, **wide, FilterExpression=f'annotation.tenant_id = "{tenant}"'
        )
        assert len(filtered["TraceSummaries"]) == count


async def test_summaries_come_in_pages_and_all_of_them(traces: Traces) -> None:
    documents = [segment() for _ in range(230)]
    for document in documents:
        traces.store.add_segment(orjson.dumps(document))
    now = datetime.now(UTC)
    paginator = xray(traces).get_paginator("get_trace_summaries")
    pages = await asyncio.to_thread(
        lambda: list(paginator.paginate(StartTime=now - timedelta(hours=1), EndTime=now + timedelta(hours=1)))
    )
    ids = [summary["Id"] for page in pages for summary in page["TraceSummaries"]]
    assert [len(page["TraceSummaries"]) for page in pages] == [100, 100, 30]
    assert sorted(ids) == sorted(document["trace_id"] for document in documents)


async def test_a_trace_is_retrieved_once_it_is_found_and_within_its_time(traces: Traces) -> None:
    client, now = xray(traces), datetime.now(UTC)
    good = segment()
    traces.store.add_segment(orjson.dumps(good))

    def retrieved(start: datetime, end: datetime) -> tuple[list[str], list[str]]:
        asked = {"TraceIds": [good["trace_id"]], "StartTime": start, "EndTime": end}
        token = client.start_trace_retrieval(**asked)["RetrievalToken"]
        answers = [client.list_retrieved_traces(RetrievalToken=token) for _ in range(2)]
        assert not answers[0]["Traces"]
        spans = [span for trace in answers[1]["Traces"] for span in trace["Spans"]]
        return [one["RetrievalStatus"] for one in answers], [span["Document"] for span in spans]

    wide = now - timedelta(minutes=5), now + timedelta(minutes=5)
    early = now - timedelta(minutes=5), now - timedelta(minutes=4)
    statuses, documents = await asyncio.to_thread(retrieved, *wide)
    assert (statuses, [orjson.loads(document) for document in documents]) == (["RUNNING", "COMPLETE"], [good])
    assert await asyncio.to_thread(retrieved, *early) == (["RUNNING", "COMPLETE"], [])


async def test_a_retrieval_that_was_called_off_finds_nothing(traces: Traces) -> None:
    client, now = xray(traces), datetime.now(UTC)
    good = segment()
    traces.store.add_segment(orjson.dumps(good))
    asked = {"TraceIds": [good["trace_id"]], "StartTime": now - timedelta(hours=1), "EndTime": now}
    token = (await asyncio.to_thread(client.start_trace_retrieval, **asked))["RetrievalToken"]
    await asyncio.to_thread(client.cancel_trace_retrieval, RetrievalToken=token)
    told = await asyncio.to_thread(client.list_retrieved_traces, RetrievalToken=token)
    assert (told["RetrievalStatus"], told["Traces"]) == ("CANCELLED", [])
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        await asyncio.to_thread(client.list_retrieved_traces, RetrievalToken="another")


async def test_calls_that_xray_refuses_are_refused_by_the_same_name(traces: Traces) -> None:
    client = xray(traces)
    now = datetime.now(UTC)
    calls: list[tuple[Any, dict[str, Any]]] = [
        (client.batch_get_traces, {"TraceIds": [segment()["trace_id"] for _ in range(6)]}),
        (client.get_trace_summaries, {"StartTime": now, "EndTime": now - timedelta(hours=1)}),
        (
            client.get_trace_summaries,
            {"StartTime": now, "EndTime": now, "FilterExpression": 'edge("a", "b")'},
        ),
    ]
    calls.append((client.get_trace_summaries, {"StartTime": now, "EndTime": now, "TimeRangeType": "Month"}))
    many = [segment()["trace_id"] for _ in range(101)]
    calls.append((client.start_trace_retrieval, {"TraceIds": many, "StartTime": now, "EndTime": now}))
    for call, arguments in calls:
        with pytest.raises(ClientError) as refused:
            await asyncio.to_thread(call, **arguments)
        assert refused.value.response["Error"]["Code"] == "InvalidRequestException"


async def test_the_xray_sdk_sends_segments_to_the_daemons_port(traces: Traces) -> None:
    recorder = AsyncAWSXRayRecorder()
    recorder.configure(sampling=False, daemon_address=traces.daemon_address, context_missing="IGNORE_ERROR")
    sent = recorder.begin_segment("gateway")
    sent.put_annotation("tenant_id", "acme")
    recorder.begin_subsegment("bedrock", namespace="remote")
    recorder.end_subsegment()
    recorder.end_segment()
    recorder.emitter._socket.close()  # the SDK never closes it
    (document,) = await eventually(lambda: traces.documents(sent.trace_id) or None)
    assert document["annotations"] == {"tenant_id": "acme"}
    assert [inner["name"] for inner in document["subsegments"]] == ["bedrock"]


async def test_other_datagrams_are_dropped_and_do_no_harm(traces: Traces) -> None:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=("127.0.0.1", traces.daemon_port)
    )
    good = segment()
    header = b'{"format":"json","version":1}\n'
    for datagram in (b"", b"noise", b'{"format":"json","version":2}\n{}', header + b"{", header + b"{}"):
        transport.sendto(datagram)
    transport.sendto(header + orjson.dumps(good))
    await eventually(lambda: traces.documents(good["trace_id"]) or None)
    transport.close()
    assert len(traces.store) == 1
