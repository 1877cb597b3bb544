from typing import Any

import orjson
import pytest

from sandbox.spans import Span
from sandbox.trace_store import BadSegmentError, TraceStore


def segment(trace: int, segment_id: int = 1, **more: Any) -> str:
    document = {
        "id": f"{segment_id:016x}",
        "trace_id": f"1-{trace:08x}-{0:024x}",
        "name": "gateway",
        "start_time": float(trace),
        "end_time": trace + 0.5,
    }
    document |= more
    return orjson.dumps({name: value for name, value in document.items() if value is not None}).decode()


def test_traces_are_found_by_either_form_of_their_id() -> None:
    store = TraceStore()
    store.add_segment(segment(7))
    assert store.get(f"1-00000007-{0:024x}") is store.get(f"{7:08x}{0:024x}") is not None
    assert store.get("unknown") is None


def test_the_trace_that_was_touched_longest_ago_goes_first() -> None:
    store = TraceStore(max_traces=2)
    for trace in (1, 2, 1, 3):
        store.add_segment(segment(trace))
    assert [summary["StartTime"] for summary in store.summaries(0, 10, None)] == [3, 1]
    assert (len(store), store.dropped_traces) == (2, 1)


def test_a_trace_holds_so_many_segments_and_no_more() -> None:
    store = TraceStore(max_segments_per_trace=2)
    for segment_id in (1, 2, 3, 2):
        store.add_segment(segment(1, segment_id, name=f"s{segment_id}"))
    trace = store.get(f"{1:08x}{0:024x}")
    assert trace is not None
    assert [document["name"] for document in trace.documents.values()] == ["s1", "s2"]
    assert store.dropped_segments == 1


def test_a_segment_sent_again_replaces_itself() -> None:
    store = TraceStore()
    store.add_segment(segment(1, end_time=None, in_progress=True))
    assert store.summaries(0, 10, None)[0]["IsPartial"]
    store.add_segment(segment(1))
    (summary,) = store.summaries(0, 10, None)
    assert (summary["IsPartial"], summary["Duration"]) == (False, 0.5)


def test_a_span_sent_again_is_stored_once() -> None:
    store = TraceStore()
    span = Span("a" * 32, "b" * 16, None, "s", "SERVER", 1, 2, "OK", "", {}, (), {}, "")
    store.add_span(span)
    store.add_span(span)
    trace = store.get("a" * 32)
    assert trace is not None
    assert (list(trace.spans.values()), len(trace.documents)) == ([span], 1)


def test_a_summary_looks_into_every_segment_and_subsegment() -> None:
    store = TraceStore()
    inner = {"id": "f" * 16, "name": "call", "fault": True, "annotations": {"model": "m"}}
    request = {"method": "POST", "url": "/v1/chat/completions"}
    http = {"request": request, "response": {"status": 200}}
    store.add_segment(segment(5, annotations={"tenant": "acme"}, http=http, subsegments=[inner]))
    store.add_segment(segment(5, 2, parent_id=f"{1:016x}", start_time=5.2, end_time=9.0, throttle=True))
    (summary,) = store.summaries(5, 5, None)
    assert (summary["Duration"], summary["ResponseTime"]) == (4.0, 0.5)
    assert (summary["HasFault"], summary["HasError"], summary["HasThrottle"]) == (True, False, True)
    assert summary["Http"] == {"HttpURL": request["url"], "HttpMethod": "POST", "HttpStatus": 200}
    assert set(summary["Annotations"]) == {"tenant", "model"}


def test_a_trace_without_its_root_is_partial() -> None:
    store = TraceStore()
    store.add_segment(segment(5, parent_id="e" * 16))
    assert store.summaries(0, 10, None)[0]["IsPartial"]


def test_a_range_is_of_beginnings_or_of_ends() -> None:
    store = TraceStore()
    store.add_segment(segment(7, end_time=9.0))
    assert store.summaries(6, 8, None)
    assert not store.summaries(6, 8, None, by="Event")
    assert store.summaries(8, 10, None, by="Service")
    assert not store.summaries(8, 10, None)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        segment(1, id=None),
        segment(1, id="xyz"),
        segment(1, trace_id="0" * 32),
        segment(1, name=None),
        segment(1, start_time=None),
        segment(1, end_time=None),
        segment(1, metadata={"default": {"x": "x" * 65_536}}),
    ],
)
def test_what_is_no_segment_is_refused(text: str) -> None:
    store = TraceStore()
    with pytest.raises(BadSegmentError):
        store.add_segment(text)
    assert len(store) == 0
