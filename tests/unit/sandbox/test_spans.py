from dataclasses import replace
from typing import Any

import orjson
import pytest

from sandbox.spans import (
    MalformedExportError,
    Span,
    SpanEvent,
    hex_trace_id,
    segment_document,
    spans_of_json,
    spans_of_protobuf,
    xray_trace_id,
)

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"

SPAN = Span(
    trace_id=TRACE_ID,
    span_id="b7ad6b7169203331",
    parent_id=None,
    name="chat m-1",
    kind="SERVER",
    start_ns=1_795_000_000_250_000_000,
    end_ns=1_795_000_001_000_000_000,
    status="UNSET",
    status_message="",
    attributes={"gen_ai.request.model": "m-1", "http.response.status_code": 200},
    events=(),
    resource={"service.name": "gateway"},
    scope="gateway",
)


def test_trace_ids_are_written_both_ways_and_back() -> None:
    written = "1-0af76519-16cd43dd8448eb211c80319c"
    assert xray_trace_id(TRACE_ID) == written
    assert xray_trace_id(written) == written
    assert hex_trace_id(written) == hex_trace_id(TRACE_ID) == TRACE_ID


def test_a_root_span_becomes_a_segment() -> None:
    assert segment_document(SPAN) == {
        "id": "b7ad6b7169203331",
        "trace_id": "1-0af76519-16cd43dd8448eb211c80319c",
        "name": "chat m-1",
        "start_time": 1_795_000_000.25,
        "end_time": 1_795_000_001.0,
        "metadata": {"default": dict(SPAN.attributes), "resource": {"service.name": "gateway"}},
        "http": {"response": {"status": 200}},
    }


@pytest.mark.parametrize(
    ("kind", "parent_id", "expected"),
    [
        ("SERVER", "00f067aa0ba902b7", {"parent_id": "00f067aa0ba902b7"}),
        ("INTERNAL", "00f067aa0ba902b7", {"parent_id": "00f067aa0ba902b7", "type": "subsegment"}),
        (
            "CLIENT",
            "00f067aa0ba902b7",
            {"parent_id": "00f067aa0ba902b7", "type": "subsegment", "namespace": "remote"},
        ),
        ("CLIENT", None, {"namespace": "remote"}),
    ],
)
def test_what_is_below_another_span_in_its_process_is_a_subsegment(
    kind: str, parent_id: str | None, expected: dict[str, str]
) -> None:
    document = segment_document(replace(SPAN, kind=kind, parent_id=parent_id))
    assert {
        name: document[name] for name in ("parent_id", "type", "namespace") if name in document
    } == expected


@pytest.mark.parametrize(
    ("status_code", "status", "expected"),
    [
        (200, "UNSET", {}),
        (404, "ERROR", {"error": True}),
        (429, "ERROR", {"error": True, "throttle": True}),
        (503, "UNSET", {"fault": True}),
        (None, "ERROR", {"fault": True}),
        (None, "OK", {}),
    ],
)
def test_whose_fault_it_was_is_told(status_code: int | None, status: str, expected: dict[str, bool]) -> None:
    attributes = {} if status_code is None else {"http.response.status_code": status_code}
    document = segment_document(replace(SPAN, status=status, attributes=attributes))
    assert {name: document[name] for name in ("error", "throttle", "fault") if name in document} == expected


def test_exceptions_become_the_cause() -> None:
    event = SpanEvent("exception", 1, {"exception.type": "BackendTimedOut", "exception.message": "idle"})
    document = segment_document(replace(SPAN, status="ERROR", attributes={}, events=(event,)))
    ((told),) = document["cause"]["exceptions"]
    assert (told["type"], told["message"]) == ("BackendTimedOut", "idle")


def test_only_named_attributes_are_indexed() -> None:
    attributes: dict[str, Any] = {
        "aws.xray.annotations": ["tenant_id", "gen_ai.x-y", "absent", "listed"],
        "tenant_id": "acme",
        "gen_ai.x-y": 3,
        "listed": ["no"],
        "other": "o",
    }
    document = segment_document(replace(SPAN, attributes=attributes))
    assert document["annotations"] == {"tenant_id": "acme", "gen_ai.x_y": 3}
    assert document["metadata"]["default"]["other"] == "o"


def test_names_are_ones_that_xray_accepts() -> None:
    assert segment_document(replace(SPAN, name="POST <é>\u2192 /v1"))["name"] == "POST  /v1"
    assert segment_document(replace(SPAN, name="\u2192"))["name"] == "span"
    assert len(segment_document(replace(SPAN, name="n" * 300))["name"]) == 200


def test_bytes_become_readable() -> None:
    document = segment_document(replace(SPAN, attributes={"raw": b"\x00\x01"}))
    assert orjson.loads(orjson.dumps(document))["metadata"]["default"]["raw"] == "AAE="


def test_json_has_hex_ids_and_numbers_as_text() -> None:
    span = {
        "traceId": TRACE_ID.upper(),
        "spanId": "b7ad6b7169203331",
        "name": "s",
        "kind": 2,
        "startTimeUnixNano": "1795000000250000000",
        "endTimeUnixNano": "1795000001000000000",
        "attributes": [
            {"key": "n", "value": {"intValue": "7"}},
            {"key": "l", "value": {"arrayValue": {"values": [{"stringValue": "a"}, {"boolValue": True}]}}},
            {"key": "d", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"doubleValue": 0.5}}]}}},
            {"key": "none", "value": {}},
        ],
        "links": [{"traceId": TRACE_ID, "spanId": "b7ad6b7169203331"}],
        "notInThisVersion": 1,
    }
    body = orjson.dumps({"resourceSpans": [{"scopeSpans": [{"scope": {"name": "lib"}, "spans": [span]}]}]})
    (read,) = spans_of_json(body)
    assert (read.trace_id, read.span_id, read.parent_id) == (TRACE_ID, "b7ad6b7169203331", None)
    assert (read.kind, read.status, read.scope, read.start_ns) == ("SERVER", "UNSET", "lib", SPAN.start_ns)
    assert read.attributes == {"n": 7, "l": ["a", True], "d": {"k": 0.5}, "none": None}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}'],
)
def test_what_is_no_export_in_json_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedExportError):
        spans_of_json(body)


def test_what_is_no_export_in_protobuf_is_refused() -> None:
    with pytest.raises(MalformedExportError):
        spans_of_protobuf(b"\x0a\xff")


def test_an_empty_export_has_no_spans() -> None:
    empty: list[Any] = []
    assert spans_of_protobuf(b"") == spans_of_json(b"{}") == empty
