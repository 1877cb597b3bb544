"""Where a request's time went: whatever was measured, the parts add up to the total."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.ledger_table import make_call as call
from llmplatform.invocation import Attempt, Outcome
from llmplatform.ledger import LedgerRow, decode_item, encode_item
from llmplatform.testing import make_record
from watch.requests.drawing import WIDTH, drawn_parts, place_of
from watch.requests.timings import Part, timings_of


def row(*attempts: Attempt, **fields: Any) -> LedgerRow:
    return decode_item(encode_item(make_record(attempts=attempts, **fields)))


def overhead_of(parts: Sequence[Part]) -> Decimal:
    return sum((part.length_ms for part in parts if part.overhead), Decimal(0))


def test_an_answered_request_is_told_from_arrival_to_end() -> None:
    timings = timings_of(
        row(
            call(5, 40, error_code="backend_throttled", outcome=Outcome.BACKEND_FAILED),
            call(60, 440, reason="retry"),
            total_latency_ms=510.0,
            time_to_first_token_ms=160.0,
            first_token_delivered_ms=162.5,
            gateway_overhead_ms=5.5,
        )
    )
    assert [(part.name, part.kind, part.start_ms, part.length_ms) for part in timings.parts] == [
        ("Client, sending its request", "client", Decimal(0), Decimal("2.0")),
        ("Gateway, before the first call", "gateway", Decimal("2.0"), Decimal("3.0")),
        ("Call 1: failed", "failed", Decimal("5.0"), Decimal("40.0")),
        ("Gateway, between calls", "gateway", Decimal("45.0"), Decimal("15.0")),
        ("Call 2: until its first token", "waiting", Decimal("60.0"), Decimal("100.0")),
        ("Gateway, handing on the first token", "gateway", Decimal("160.0"), Decimal("2.5")),
        ("Call 2: the rest of the answer", "answering", Decimal("162.5"), Decimal("337.5")),
        ("Gateway, ending the answer", "gateway", Decimal("500.0"), Decimal("10.0")),
    ]
    assert timings.sum_ms == timings.total_ms == Decimal("510.0")
    assert overhead_of(timings.parts) == timings.overhead_ms


def test_a_refused_request_is_the_gateways_alone() -> None:
    timings = timings_of(row(outcome=Outcome.REFUSED, total_latency_ms=3.21, time_to_first_token_ms=None))
    assert [(part.kind, part.length_ms) for part in timings.parts] == [("gateway", Decimal("3.2"))]


def test_a_stream_that_is_read_on_after_its_client_left_is_no_part_of_the_request() -> None:
    timings = timings_of(row(call(1, 900), total_latency_ms=300.0, time_to_first_token_ms=100.0))
    assert timings.sum_ms == Decimal("300.0")
    assert timings.read_on_ms == Decimal("601.0")


def test_overhead_that_was_not_measured_is_not_made_up() -> None:
    timings = timings_of(row(call(4, 90), total_latency_ms=95.0, time_to_first_token_ms=None))
    assert timings.overhead_ms is None
    assert overhead_of(timings.parts) == 0


ms = st.floats(0, 100_000, allow_nan=False)
maybe = st.none() | ms


@given(
    st.lists(st.tuples(ms, ms, st.booleans()), max_size=5),
    ms,
    maybe,
    maybe,
    st.none() | st.floats(-50, 100_000),
)
def test_whatever_was_measured_the_parts_add_up_to_the_total(
    calls: list[tuple[float, float, bool]],
    total: float,
    ttft: float | None,
    delivered: float | None,
    overhead: float | None,
) -> None:
    timings = timings_of(
        row(
            *(call(start, length, error_code="x" if bad else None) for start, length, bad in calls),
            total_latency_ms=total,
            time_to_first_token_ms=ttft,
            first_token_delivered_ms=delivered,
            gateway_overhead_ms=overhead,
        )
    )
    assert timings.sum_ms == timings.total_ms
    borders = [Decimal(0), *(part.end_ms for part in timings.parts)]
    assert [part.start_ms for part in timings.parts] == borders[:-1]
    assert all(part.length_ms > 0 for part in timings.parts)
    for drawn in drawn_parts(timings):
        assert 0 <= drawn.x < drawn.x + drawn.width <= WIDTH
    place = place_of(ttft, timings)
    assert place is None or 0 <= place <= WIDTH


@given(st.floats(0, 1_000), st.floats(0, 1_000), st.floats(0, 1_000), st.floats(0, 100))
def test_the_parts_of_a_streams_overhead_are_the_overhead(
    body: float, before: float, waiting: float, handing_on: float
) -> None:
    started, ttft = body + before, body + before + waiting
    timings = timings_of(
        row(
            call(started, waiting + 1_000),
            total_latency_ms=ttft + handing_on + 2_000,
            time_to_first_token_ms=ttft,
            first_token_delivered_ms=ttft + handing_on,
            gateway_overhead_ms=before + handing_on,
        )
    )
    assert timings.overhead_ms is not None
    # Each of four borders is rounded to a tenth, and the measured figure once more.
    assert abs(overhead_of(timings.parts) - timings.overhead_ms) <= Decimal("0.3")
