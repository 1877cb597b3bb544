import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmplatform import ids
from llmplatform.tracecontext import adopt_trace

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"
OTHER = "11111111-2222-4333-8444-555555555555"
RANDOM = bytes(range(1, 25))
GOOD = f"00-{TRACE_ID}-{SPAN_ID}-01"

random24 = st.binary(min_size=24, max_size=24)
any_header = st.none() | st.text() | st.from_regex(r"[0-9a-fA-F]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.*")


@pytest.mark.parametrize(
    "traceparent",
    [
        GOOD,
        f"00-{TRACE_ID}-{SPAN_ID}-00",
        f" {GOOD} ",
        f"01-{TRACE_ID}-{SPAN_ID}-01",
        f"cc-{TRACE_ID}-{SPAN_ID}-01-what-the-future-brings",
        f"fe-{TRACE_ID}-{SPAN_ID}-01-",
    ],
)
def test_a_valid_traceparent_is_joined(traceparent: str) -> None:
    trace = adopt_trace(traceparent, OTHER, RANDOM)
    assert (trace.trace_id, trace.parent_span_id, trace.origin) == (TRACE_ID, SPAN_ID, "traceparent")
    assert trace.span_id == RANDOM[16:].hex()


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        TRACE_ID,
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        GOOD.upper(),
        f"{GOOD}-extra",
        f"{GOOD}-",
        f"{GOOD}0",
        f"01-{TRACE_ID}-{SPAN_ID}-01extra",
        f"0-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}",
        f"00-{TRACE_ID}-{SPAN_ID}-1",
        f"00-{TRACE_ID[:-1]}g-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01,{GOOD}",
        f"{GOOD}\n{GOOD}",
    ],
)
def test_a_traceparent_that_does_not_parse_counts_as_absent(traceparent: str) -> None:
    assert adopt_trace(traceparent, None, RANDOM).origin == "minted"
    trace = adopt_trace(traceparent, OTHER, RANDOM)
    assert (trace.trace_id, trace.parent_span_id, trace.origin) == (
        OTHER.replace("-", ""),
        None,
        "x-trace-id",
    )


@pytest.mark.parametrize("x_trace_id", [ids.as_uuid(TRACE_ID), ids.as_uuid(TRACE_ID).upper()])
def test_x_trace_id_is_taken_in_any_case(x_trace_id: str) -> None:
    trace = adopt_trace(None, x_trace_id, RANDOM)
    assert (trace.trace_id, trace.origin) == (TRACE_ID, "x-trace-id")


@pytest.mark.parametrize("x_trace_id", ["", "abc", TRACE_ID, ids.as_uuid("0" * 32)])
def test_an_x_trace_id_that_is_none_is_replaced(x_trace_id: str) -> None:
    trace = adopt_trace(None, x_trace_id, RANDOM)
    assert trace == adopt_trace(None, None, RANDOM)
    assert (trace.trace_id, trace.origin) == (ids.uuid4_hex(RANDOM[:16]), "minted")


def test_no_span_is_ever_all_zeroes() -> None:
    assert adopt_trace(None, None, bytes(24)).span_id == "0000000000000001"


@given(any_header, any_header, random24)
def test_no_header_fails_an_inference(traceparent: str | None, x_trace_id: str | None, random: bytes) -> None:
    trace = adopt_trace(traceparent, x_trace_id, random)
    assert re.fullmatch(r"[0-9a-f]{32}", trace.trace_id)
    assert re.fullmatch(r"[0-9a-f]{16}", trace.span_id)
    assert int(trace.trace_id, 16)
    assert int(trace.span_id, 16)
    assert (trace.parent_span_id is not None) == (trace.origin == "traceparent")
