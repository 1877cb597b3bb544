"""One trace id everywhere: reply, record and what the backend is told, whichever header brought it."""

import json
import re
from typing import Any

import pytest

from harness.gateway import GatewayUnderTest, running_gateway
from llmplatform import ids
from llmplatform.invocation import InvocationRecord
from llmplatform.tracecontext import attempt_span_id
from sandbox.engines.scripted import Script
from sandbox.faults import Refuse, StreamException

ROUTE = "/v1/chat/completions"
BEDROCK, OPENAI, LMI, TGI = "scripted-bedrock", "scripted-openai", "scripted-lmi", "scripted-tgi"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OTHER = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
XRAY = {"x-amzn-trace-id": f"Root=1-{OTHER[:8]}-{OTHER[8:]};Sampled=1"}

HEADERS: dict[str, tuple[dict[str, str], str | None, str]] = {
    "none": ({}, None, "minted"),
    "traceparent": ({"traceparent": PARENT}, TRACE, "traceparent"),
    "x-trace-id": ({"x-trace-id": ids.as_uuid(TRACE)}, TRACE, "x-trace-id"),
    "both": ({"traceparent": PARENT, "x-trace-id": ids.as_uuid(OTHER)}, TRACE, "traceparent"),
    "garbage": ({"traceparent": "00-xyz", "x-trace-id": "'; drop table"}, None, "minted"),
    "garbage and good": ({"traceparent": "garbage", "x-trace-id": ids.as_uuid(TRACE)}, TRACE, "x-trace-id"),
    "zero": ({"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"}, None, "minted"),
    "x-ray alone": (XRAY, None, "minted"),
    "x-ray beside": ({"traceparent": PARENT, **XRAY}, TRACE, "traceparent"),
}


def body(model: str, *, stream: bool = False) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hello"}], "stream": stream}


def check_what_the_backend_was_told(gateway: GatewayUnderTest, record: InvocationRecord) -> None:
    call = gateway.runtime.calls[-1]
    trace_id = record.trace.trace_id
    assert "traceparent" not in call.headers
    assert "x-amzn-trace-id" not in call.headers
    assert "x-trace-id" not in call.headers
    if call.service == "bedrock":
        assert call.request_metadata == {
            "trace_id": trace_id,
            "tenant_id": "acme",
            "request_id": record.request_id,
        }
        return
    assert call.headers["x-amzn-sagemaker-inference-id"] == trace_id
    told = dict(pair.split("=", 1) for pair in call.headers["x-amzn-sagemaker-custom-attributes"].split(";"))
    assert (told["tenant_id"], told["request_id"]) == ("acme", record.request_id)
    match = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}", told["traceparent"])
    assert match is not None
    assert match[1] == trace_id
    # The parent of the container's spans is our span of the attempt.
    assert match[2] == attempt_span_id(record.request_id, len(record.attempts) - 1)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [BEDROCK, OPENAI, LMI, TGI])
async def test_the_id_is_the_same_everywhere(acme: GatewayUnderTest, model: str, stream: bool) -> None:  # noqa: FBT001
    seen = set()
    async with acme.http() as client:
        for number, (headers, expected, origin) in enumerate(HEADERS.values(), 1):
            reply = await client.post(ROUTE, json=body(model, stream=stream), headers=headers)
            assert reply.status_code == 200
            record = await acme.record(number)
            trace_id = record.trace.trace_id
            assert reply.headers["x-trace-id"] == ids.as_uuid(trace_id)
            assert reply.headers["x-request-id"] == record.request_id
            assert record.trace.origin == origin
            assert record.trace.parent_span_id == ("00f067aa0ba902b7" if origin == "traceparent" else None)
            assert trace_id not in {OTHER, "0" * 32}
            assert trace_id == expected or (expected is None and trace_id not in seen)
            assert json.loads(acme.lines.items[-1])["trace_id"] == ids.as_uuid(trace_id)
            check_what_the_backend_was_told(acme, record)
            seen.add(trace_id)


async def test_ordinary_routes_have_a_trace_too(acme: GatewayUnderTest) -> None:
    async with acme.http() as client:
        for path in ("/v1/models", "/v1/models/none", "/healthz", "/readyz", "/nothing", "/openapi.json"):
            for headers, expected, _ in HEADERS.values():
                reply = await client.get(path, headers=headers)
                told = reply.headers["x-trace-id"]
                assert ids.parse_uuid(told) == expected or (
                    expected is None and ids.parse_uuid(told) not in {TRACE, OTHER}
                )
                if reply.status_code >= 400:
                    assert reply.json()["error"]["trace_id"] == told
    assert acme.records.items == []


@pytest.mark.parametrize("case", ["unauthenticated", "malformed", "unknown model", "refused", "mid-stream"])
@pytest.mark.parametrize("header", ["none", "traceparent", "x-trace-id", "garbage"])
async def test_an_error_has_it_in_header_body_and_record(
    acme: GatewayUnderTest, case: str, header: str
) -> None:
    sent, expected, _ = HEADERS[header]
    acme.runtime.scripts[BEDROCK] = Script(faults=(Refuse(status=500, error_type="InternalServerException"),))
    acme.runtime.scripts[OPENAI] = Script(
        interval_ms=1, faults=(StreamException(exception_type="ModelStreamError", after_events=4),)
    )
    cases: dict[str, Any] = {
        "unauthenticated": {"json": body(BEDROCK), "headers": {"authorization": "Bearer no"}},
        "malformed": {"content": b"{"},
        "unknown model": {"json": body("gone")},
        "refused": {"json": body(BEDROCK)},
        "mid-stream": {"json": body(OPENAI, stream=True)},
    }
    options = cases[case]
    async with acme.http() as client:
        reply = await client.post(ROUTE, **{**options, "headers": {**sent, **options.get("headers", {})}})
    record = await acme.record()
    told = ids.as_uuid(record.trace.trace_id)
    assert reply.headers["x-trace-id"] == told
    assert json.loads(reply.text.rstrip().rsplit("data: ", 1)[-1])["error"]["trace_id"] == told
    assert record.trace.trace_id == expected or expected is None
    if case in {"refused", "mid-stream"}:
        check_what_the_backend_was_told(acme, record)


async def test_each_attempt_has_a_span_of_its_own(acme: GatewayUnderTest) -> None:
    async with acme.http() as client:
        spans = set()
        for number in range(1, 6):
            await client.post(ROUTE, json=body(OPENAI), headers={"traceparent": PARENT})
            await acme.record(number)
            attributes = acme.runtime.calls[-1].headers["x-amzn-sagemaker-custom-attributes"]
            spans.add(attributes.split("-")[2])
    assert len(spans) == 5
    # The client's five requests are one trace of its own.
    assert {record.trace.trace_id for record in acme.records.items} == {TRACE}
    assert len({record.request_id for record in acme.records.items}) == 5


@pytest.mark.parametrize(
    ("policy", "rate", "script", "kept"),
    [
        ({"eval_sample_rate": 0.0}, 0.0, Script(), None),
        ({"eval_sample_rate": 1.0}, 0.0, Script(), "evaluated"),
        ({"eval_sample_rate": 0.0}, 1.0, Script(), "head"),
        (
            {"eval_sample_rate": 0.0},
            0.0,
            Script(faults=(StreamException(exception_type="modelStreamErrorException"),)),
            "failed",
        ),
        (
            {"eval_sample_rate": 0.0, "objectives": {"ttft_p50_ms": 1, "ttft_p99_ms": 20}},
            0.0,
            Script(ttft_ms=60),
            "slow",
        ),
        (
            {"eval_sample_rate": 0.0, "objectives": {"total_latency_p99_ms": 30}},
            0.0,
            Script(token_count=10, interval_ms=10),
            "slow",
        ),
    ],
    ids=["none", "evaluated", "head", "failed", "slow first token", "slow in all"],
)
async def test_a_trace_is_kept_for_a_reason_or_not_at_all(
    policy: dict[str, Any], rate: float, script: Script, kept: str | None
) -> None:
    never_slow = {"ttft_p99_ms": 600_000, "total_latency_p99_ms": 600_000}
    async with (
        running_gateway(
            settings={"trace_sample_rate": rate}, **{"objectives": never_slow, **policy}
        ) as gateway,
        gateway.http() as client,
    ):
        gateway.runtime.scripts[BEDROCK] = script
        # The client's own wish to be sampled is no reason.
        await client.post(ROUTE, json=body(BEDROCK, stream=True), headers={"traceparent": PARENT})
        record = await gateway.record()
        assert record.trace_kept == kept
        assert gateway.spans.items == ([record] if kept else [])


async def test_what_the_client_did_wrong_keeps_no_trace() -> None:
    async with (
        running_gateway(settings={"trace_sample_rate": 0.0}, eval_sample_rate=1.0) as gateway,
        gateway.http() as client,
    ):
        await client.post(ROUTE, json=body("gone"))
        await client.post(ROUTE, content=b"{")
        await gateway.record(2)
        assert gateway.spans.items == []
