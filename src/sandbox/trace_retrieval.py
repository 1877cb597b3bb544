"""Retrievals of traces, as X-Ray has them with Transaction Search: asked for, looked for, listed in pages.

No wire: `traces` speaks for it. A retrieval finds the spans that ended within its time, and is ready the
second time that somebody asks.
"""

import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from sandbox.spans import Document, xray_trace_id
from sandbox.trace_store import TraceStore, ended_s

MAX_TRACE_IDS: Final = 100
SPANS_PER_PAGE: Final = 100
_MAX_RETRIEVALS: Final = 1_000


class BadRetrievalError(Exception):
    """A retrieval that X-Ray would refuse, with the name that it has for that."""

    code = "InvalidRequestException"


class UnknownRetrievalError(BadRetrievalError):
    """A token that no retrieval has."""

    code = "ResourceNotFoundException"


@dataclass(slots=True)
class _Retrieval:
    trace_ids: Sequence[str]
    start_s: float
    end_s: float
    status: str = "SCHEDULED"


class TraceRetrievals:
    """Retrievals by token, over a store. Bounded: the oldest goes first."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store
        self._retrievals: OrderedDict[str, _Retrieval] = OrderedDict()

    def start(self, trace_ids: Sequence[str], start_s: float, end_s: float) -> str:
        """Begin one, within epoch seconds; its token. Raises BadRetrievalError for too many."""
        if len(trace_ids) > MAX_TRACE_IDS:
            raise BadRetrievalError(f"more than {MAX_TRACE_IDS} trace ids")
        token = str(uuid.uuid4())
        self._retrievals[token] = _Retrieval(tuple(trace_ids), start_s, end_s)
        if len(self._retrievals) > _MAX_RETRIEVALS:
            self._retrievals.popitem(last=False)
        return token

    def listed(self, token: str, next_token: str | None) -> dict[str, Any]:
        """What `ListRetrievedTraces` answers. Raises BadRetrievalError."""
        retrieval = self._of(token)
        if retrieval.status == "SCHEDULED":
            retrieval.status = "COMPLETE"
            return {"RetrievalStatus": "RUNNING", "TraceFormat": "XRAY", "Traces": []}
        if next_token is not None and not next_token.isdecimal():
            raise BadRetrievalError("NextToken is none of ours")
        found = self._found(retrieval)
        first, after = int(next_token or 0), int(next_token or 0) + SPANS_PER_PAGE
        traces: dict[str, list[dict[str, Any]]] = {}
        for trace_id, span_id, document in found[first:after]:
            span = {"Id": span_id, "Document": orjson.dumps(document).decode()}
            traces.setdefault(trace_id, []).append(span)
        answer: dict[str, Any] = {
            "RetrievalStatus": retrieval.status,
            "TraceFormat": "XRAY",
            "Traces": [
                {"Id": xray_trace_id(trace_id), "Duration": trace.duration_s, "Spans": spans}
                for trace_id, spans in traces.items()
                if (trace := self._store.get(trace_id)) is not None
            ],
        }
        return answer | ({"NextToken": str(after)} if after < len(found) else {})

    def cancel(self, token: str) -> None:
        """Call one off. Raises UnknownRetrievalError."""
        self._of(token).status = "CANCELLED"

    def _of(self, token: str) -> _Retrieval:
        if token not in self._retrievals:
            raise UnknownRetrievalError("no retrieval has this token")
        return self._retrievals[token]

    def _found(self, retrieval: _Retrieval) -> list[tuple[str, str, Document]]:
        if retrieval.status != "COMPLETE":
            return []
        return [
            (trace_id, span_id, document)
            for trace_id in retrieval.trace_ids
            if (trace := self._store.get(trace_id)) is not None
            for span_id, document in trace.documents.items()
            if retrieval.start_s <= ended_s(document) <= retrieval.end_s
        ]
