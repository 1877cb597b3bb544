import io
from typing import Any

import pytest
from rich.console import Console

from llmplatform.invocation import Attempt, Outcome
from llmplatform.ledger import LedgerRow, decode_item, encode_item
from llmplatform.testing import TRACE, make_record
from llmplatform.usage import NO_USAGE, TokenUsage, UsageSource
from llmplatform.waterfall import Bar, bars_of_row, bars_of_segments
from operator_cli.console import print_table
from operator_cli.trace_view import request_life, waterfall


def shown(what: Any) -> str:
    out = io.StringIO()
    Console(file=out, width=200, color_system=None).print(what)
    return out.getvalue()


def row(**fields: Any) -> LedgerRow:
    return decode_item(encode_item(make_record(**fields)))


def attempt(**fields: Any) -> Attempt:
    given = {
        "endpoint_type": "bedrock",
        "model_id": "small",
        "backend_model_id": "vendor.small-v1:0",
        "endpoint_name": None,
        "price_key": "vendor.small",
        "outcome": Outcome.COMPLETED,
        "reason": "requested",
        "started_ms": 1.0,
        "duration_ms": 1_400.0,
        "first_event_ms": 250.0,
        "usage": TokenUsage(input_tokens=12, output_tokens=34),
        "usage_source": UsageSource.REPORTED,
    }
    return Attempt(**{**given, **fields})


def segment(id_: str, start: float, end: float, **more: Any) -> dict[str, Any]:
    return {"id": id_, "name": id_, "start_time": start, "end_time": end, **more}


def test_a_life_tells_gateway_route_tokens_with_source_timings_and_outcome() -> None:
    text = shown(request_life(TRACE.trace_id, [row(attempts=(attempt(),))], []))
    for fact in (
        "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
        "1-4bf92f35-77b34da6a3ce929d0e0e4736",
        "01940000-0000-7000-8000-000000000001",
        "2026-01-31 23:59:30.000Z",
        "acme",
        "small → bedrock vendor.small-v1:0",
        "completed (HTTP 200, finish reason stop)",
        "input 12 · output 34 (reported)",
        "first token 300.0 ms",
        "total 1.50 s",
        "attempt 1",
        "1.0 ms + 1.40 s",
    ):
        assert fact in text


def test_what_is_unknown_is_said_to_be_and_is_not_zero() -> None:
    unknown = row(
        usage=NO_USAGE,
        usage_source=UsageSource.UNKNOWN,
        outcome=Outcome.CLIENT_CANCELLED,
        http_status=None,
        time_to_first_token_ms=None,
        finish_reason=None,
    )
    text = shown(request_life(TRACE.trace_id, [unknown], []))
    assert "tokens      unknown" in text.replace("  tokens", "tokens")
    assert "the client left before a status" in text
    assert "first token" not in text


def test_a_failed_attempt_shows_the_backends_error_and_the_fallback_both_models() -> None:
    failed = attempt(
        outcome=Outcome.BACKEND_FAILED,
        error_code="backend_throttled",
        error_type="ThrottlingException",
        usage=NO_USAGE,
        usage_source=UsageSource.UNKNOWN,
    )
    second = attempt(model_id="large", reason="fallback", started_ms=10.0)
    text = shown(request_life(TRACE.trace_id, [row(attempts=(failed, second), model_id="large")], []))
    assert "backend_failed ThrottlingException" in text
    assert "tokens unknown" in text
    assert "large (asked for small)" in text
    assert "fallback" in text


def test_requests_of_one_trace_are_all_listed() -> None:
    rows = [row(), row(request_id="01940000-0000-7000-8000-000000000002")]
    text = shown(request_life(TRACE.trace_id, rows, []))
    assert "2 requests" in text
    assert text.count("01940000-0000-7000-8000-00000000000") == 2


def test_it_says_why_there_are_no_spans_and_no_row() -> None:
    not_kept = shown(request_life(TRACE.trace_id, [row()], []))
    assert "spans\n  not kept: those of failed, slow and evaluated requests are" in not_kept
    assert "10% by chance" in not_kept
    gone = shown(request_life(TRACE.trace_id, [row(trace_kept="head")], []))
    assert "spans\n  kept, but X-Ray has none" in gone
    assert "do not survive a restart" in gone
    assert "no row of it" in shown(request_life(TRACE.trace_id, [], [Bar("a", 0, 1)]))


def test_an_attempt_stays_in_its_column_however_narrow_the_terminal_is() -> None:
    long = attempt(
        backend_model_id="us.vendor.a-model-with-a-long-name-20250929-v1:0",
        upstream_request_id="01940000-0000-7000-8000-00000000000f",
    )
    out = io.StringIO()
    life = request_life(TRACE.trace_id, [row(attempts=(long,))], [])
    Console(file=out, width=60, color_system=None).print(life)
    lines = out.getvalue().splitlines()
    start = next(number for number, line in enumerate(lines) if "attempt 1" in line)
    column = lines[start].index("small")
    rest = lines[start + 1 : lines.index("", start)]
    assert len(rest) >= 3
    assert all(line[:column].isspace() and not line[column].isspace() for line in rest)


def test_what_is_piped_is_as_wide_as_it_is_and_no_line_ends_in_blanks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wide = attempt(backend_model_id="a" * 100)
    print_table(request_life(TRACE.trace_id, [row(attempts=(wide,))], []))
    lines = capsys.readouterr().out.splitlines()
    assert any("a" * 100 in line for line in lines)
    assert all(line == line.rstrip() for line in lines)


def test_segments_of_several_documents_become_one_tree_in_order() -> None:
    documents = [
        segment("child", 10.2, 10.5, parent_id="call"),
        segment("root", 10.0, 11.0, subsegments=[segment("late", 10.6, 10.9), segment("call", 10.1, 10.6)]),
        segment("stray", 9.0, 9.5, parent_id="unknown", fault=True),
    ]
    bars = bars_of_segments(documents)
    assert [(bar.name, bar.depth) for bar in bars] == [
        ("stray", 0),
        ("root", 0),
        ("call", 1),
        ("child", 2),
        ("late", 1),
    ]
    assert bars[0].failed


def test_a_segment_in_progress_has_no_length() -> None:
    (bar,) = bars_of_segments([{"id": "a", "name": "a", "start_time": 5.0, "in_progress": True}])
    assert bar.start_s == bar.end_s == 5.0


@pytest.mark.parametrize("span", [(0.0, 0.0), (0.999, 1.0), (0.0, 1.0), (0.5, 0.5)])
def test_every_bar_is_seen_and_none_leaves_its_column(span: tuple[float, float]) -> None:
    text = shown(waterfall([Bar("whole", 0.0, 1.0), Bar("part", *span)]))
    whole, part = (line for line in text.splitlines() if line.strip())
    assert 1 <= part.count("█") <= whole.count("█") == 30


def test_the_ledger_alone_gives_a_waterfall() -> None:
    whole, part = bars_of_row(row(attempts=(attempt(),)))
    assert whole.end_s - whole.start_s == pytest.approx(1.5, abs=1e-6)
    assert part.start_s - whole.start_s == pytest.approx(0.001, abs=1e-6)
    assert part.depth == 1
