"""Traces in memory, found by id or by time, and X-Ray's summaries of them.

No wire and no clock: `traces` speaks for it. Bounded: the traces that were touched longest ago go first.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from sandbox.spans import Document, Span, hex_trace_id, segment_document, xray_trace_id
from sandbox.trace_filter import summary_filter

TimeRange = Literal["TraceId", "Event", "Service"]
TIME_RANGES: Final[tuple[TimeRange, ...]] = ("TraceId", "Event", "Service")

MAX_TRACES: Final = 50_000
MAX_SEGMENTS_PER_TRACE: Final = 10_000
MAX_DOCUMENT_BYTES: Final = 64 * 1024

_TRACE_ID: Final = re.compile(r"1-[0-9a-f]{8}-[0-9a-f]{24}")
_SEGMENT_ID: Final = re.compile(r"[0-9a-f]{16}")


class BadSegmentError(Exception):
    """A segment document that X-Ray would not process. `segment_id` is None where it has none."""

    def __init__(self, message: str, segment_id: str | None) -> None:
        super().__init__(message)
        self.segment_id = segment_id


@dataclass(slots=True)
class StoredTrace:
    """What is known of one trace; `documents` by segment id, so a repetition replaces."""

    spans: dict[str, Span] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)

    @property
    def start_s(self) -> float:
        """Epoch seconds of the earliest segment."""
        return float(min(document["start_time"] for document in self.documents.values()))

    @property
    def duration_s(self) -> float:
        """From the earliest start to the latest end that is known."""
        return max(ended_s(document) for document in self.documents.values()) - self.start_s


class TraceStore:
    """Traces by id. `dropped_traces` and `dropped_segments` count what the bounds cost."""

    def __init__(
        self, *, max_traces: int = MAX_TRACES, max_segments_per_trace: int = MAX_SEGMENTS_PER_TRACE
    ) -> None:
        self.dropped_traces = 0
        self.dropped_segments = 0
        self._max_traces = max_traces
        self._max_segments_per_trace = max_segments_per_trace
        self._traces: OrderedDict[str, StoredTrace] = OrderedDict()

    def __len__(self) -> int:
        """Count the traces."""
        return len(self._traces)

    def add_span(self, span: Span) -> None:
        """Store a span and the segment document that it becomes."""
        trace = self._room_for(span.trace_id, span.span_id)
        if trace is not None:
            trace.spans[span.span_id] = span
            trace.documents[span.span_id] = segment_document(span)

    def add_segment(self, text: str | bytes) -> None:
        """Store a segment document as it came. Raises BadSegmentError."""
        document = _checked_segment(text)
        trace = self._room_for(hex_trace_id(document["trace_id"]), document["id"])
        if trace is not None:
            trace.documents[document["id"]] = document

    def get(self, trace_id: str) -> StoredTrace | None:
        """Find a trace by its id, as hex or as X-Ray writes it."""
        return self._traces.get(hex_trace_id(trace_id))

    def summaries(
        self, start_s: float, end_s: float, expression: str | None, *, by: TimeRange = "TraceId"
    ) -> list[dict[str, Any]]:
        """Summarise the traces of a range of epoch seconds, latest first.

        By `TraceId` they began in it; by `Event` or `Service` they ended in it, as far as they have.
        Raises BadFilterError.
        """
        wanted = summary_filter(expression) if expression else None
        found = [
            _summary(trace_id, trace)
            for trace_id, trace in self._traces.items()
            if start_s <= trace.start_s + (0 if by == "TraceId" else trace.duration_s) <= end_s
        ]
        found = [summary for summary in found if wanted is None or wanted(summary)]
        return sorted(found, key=lambda summary: float(summary["StartTime"]), reverse=True)

    def _room_for(self, trace_id: str, segment_id: str) -> StoredTrace | None:
        trace = self._traces.setdefault(trace_id, StoredTrace())
        self._traces.move_to_end(trace_id)
        if len(self._traces) > self._max_traces:
            self._traces.popitem(last=False)
            self.dropped_traces += 1
        if segment_id not in trace.documents and len(trace.documents) >= self._max_segments_per_trace:
            self.dropped_segments += 1
            return None
        return trace


def _checked_segment(text: str | bytes) -> Document:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadSegmentError("not JSON", None) from error
    if not isinstance(document, dict):
        raise BadSegmentError("not an object", None)
    segment_id = document.get("id")
    if not isinstance(segment_id, str) or not _SEGMENT_ID.fullmatch(segment_id):
        raise BadSegmentError("id is not 16 hex digits", None)
    trace_id = document.get("trace_id")
    if not isinstance(trace_id, str) or not _TRACE_ID.fullmatch(trace_id):
        raise BadSegmentError("trace_id is not 1-8hex-24hex", segment_id)
    if not isinstance(document.get("name"), str):
        raise BadSegmentError("name is missing", segment_id)
    if not isinstance(document.get("start_time"), int | float):
        raise BadSegmentError("start_time is missing", segment_id)
    if not document.get("in_progress") and not isinstance(document.get("end_time"), int | float):
        raise BadSegmentError("neither end_time nor in_progress", segment_id)
    if len(text) > MAX_DOCUMENT_BYTES:
        raise BadSegmentError("over 64 KB", segment_id)
    return document


def ended_s(document: Document) -> float:
    """Epoch seconds of a segment's end; of its start while it is in progress."""
    return float(document["end_time"] if "end_time" in document else document["start_time"])


def _nested(documents: Iterable[Document]) -> Iterator[Document]:
    """Every document and the subsegments within it."""
    for document in documents:
        yield document
        yield from _nested(document.get("subsegments", ()))


def _annotations(trace: StoredTrace) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for document in _nested(trace.documents.values()):
        for name, value in document.get("annotations", {}).items():
            if value not in found.setdefault(name, []):
                found[name].append(value)
    return found


def _summary(trace_id: str, trace: StoredTrace) -> dict[str, Any]:
    """A TraceSummary as GetTraceSummaries has it."""
    documents = list(_nested(trace.documents.values()))
    roots = [document for document in trace.documents.values() if "parent_id" not in document]
    root = min(roots or documents, key=lambda document: float(document["start_time"]))
    request, response = (root.get("http", {}).get(part, {}) for part in ("request", "response"))
    http = {
        "HttpURL": request.get("url"),
        "HttpMethod": request.get("method"),
        "UserAgent": request.get("user_agent"),
        "ClientIp": request.get("client_ip"),
        "HttpStatus": response.get("status"),
    }
    service = {"Name": root["name"]}
    return {
        "Id": xray_trace_id(trace_id),
        "StartTime": trace.start_s,
        "Duration": trace.duration_s,
        "ResponseTime": ended_s(root) - root["start_time"],
        "HasFault": any(document.get("fault") for document in documents),
        "HasError": any(document.get("error") for document in documents),
        "HasThrottle": any(document.get("throttle") for document in documents),
        "IsPartial": not roots or any(document.get("in_progress") for document in documents),
        "Http": {name: value for name, value in http.items() if value is not None},
        "Annotations": {
            name: [{"AnnotationValue": _annotation_value(value), "ServiceIds": [service]} for value in values]
            for name, values in _annotations(trace).items()
        },
        "ServiceIds": [
            {"Name": name} for name in dict.fromkeys(one["name"] for one in trace.documents.values())
        ],
        "EntryPoint": service,
    }


def _annotation_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"BooleanValue": value}
    return {"NumberValue": value} if isinstance(value, int | float) else {"StringValue": str(value)}
