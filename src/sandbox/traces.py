"""The collector and X-Ray of the sandbox: OTLP in, X-Ray segments in, X-Ray's API out.

The emulator has no X-Ray. boto3's own client is served, as far as a trace is put, found by id, retrieved or
listed by time; so is the X-Ray SDK, which sends datagrams to a daemon. What a span becomes is `spans`', what
is kept is `trace_store`'s. `BatchGetTraces` finds every trace here; in an account with Transaction Search it
finds none, says its reference.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

import orjson
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from sandbox.spans import (
    Document,
    MalformedExportError,
    Span,
    hex_trace_id,
    spans_of_json,
    spans_of_protobuf,
    xray_trace_id,
)
from sandbox.trace_filter import BadFilterError
from sandbox.trace_retrieval import BadRetrievalError, TraceRetrievals
from sandbox.trace_store import TIME_RANGES, BadSegmentError, TraceStore

logger = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
SUMMARIES_PER_PAGE: Final = 100
TRACES_PER_PAGE: Final = 5  # as X-Ray: more ids than that are an error of the caller

_Held = TypeVar("_Held", TraceStore, TraceRetrievals)


class Traces:
    """A running server: where it is, and what it holds. `serve_traces` makes one."""

    def __init__(self, store: TraceStore) -> None:
        self.store = store
        self.port = 0
        self.daemon_port = 0

    @property
    def url(self) -> str:
        """Base address: `OTEL_EXPORTER_OTLP_ENDPOINT`, and `AWS_ENDPOINT_URL_XRAY`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def daemon_address(self) -> str:
        """Where the X-Ray SDK sends to: `AWS_XRAY_DAEMON_ADDRESS`."""
        return f"127.0.0.1:{self.daemon_port}"

    def spans(self, trace_id: str) -> tuple[Span, ...]:
        """Spans of a trace in order of their start; none if it is unknown. Ids as hex or X-Ray's."""
        trace = self.store.get(trace_id)
        return () if trace is None else tuple(sorted(trace.spans.values(), key=lambda span: span.start_ns))

    def documents(self, trace_id: str) -> tuple[Document, ...]:
        """X-Ray segment documents of a trace, whichever way they came."""
        trace = self.store.get(trace_id)
        return () if trace is None else tuple(trace.documents.values())


class _RefusedError(Exception):
    """A call that X-Ray answers with an exception of the name `code`."""

    code = "InvalidRequestException"


def _otlp(store: TraceStore) -> Callable[[web.Request], Awaitable[web.Response]]:
    """OTLP over HTTP; aiohttp has undone gzip already."""

    async def handle(request: web.Request) -> web.Response:
        return await _export(store, request)

    return handle


async def _export(store: TraceStore, request: web.Request) -> web.Response:
    body = await request.read()
    as_json = request.content_type == "application/json"
    if not as_json and request.content_type != "application/x-protobuf":
        return web.Response(status=415)
    try:
        spans = spans_of_json(body) if as_json else spans_of_protobuf(body)
    except MalformedExportError as error:
        return web.json_response({"code": 3, "message": str(error)}, status=400)
    for span in spans:
        store.add_span(span)
    if as_json:
        return web.json_response({})
    answer = ExportTraceServiceResponse().SerializeToString()
    return web.Response(body=answer, content_type="application/x-protobuf")


async def _put_trace_segments(store: TraceStore, call: Document) -> Document:
    unprocessed = []
    for text in _list_of_text(call, "TraceSegmentDocuments"):
        try:
            store.add_segment(text)
        except BadSegmentError as error:
            unprocessed.append({"Id": error.segment_id, "ErrorCode": "InvalidSegment", "Message": str(error)})
    return {"UnprocessedTraceSegments": unprocessed}


async def _batch_get_traces(store: TraceStore, call: Document) -> Document:
    """Unknown ids are left out, as X-Ray leaves them."""
    ids = _list_of_text(call, "TraceIds")
    if len(ids) > TRACES_PER_PAGE:
        raise _RefusedError(f"more than {TRACES_PER_PAGE} trace ids")
    found = {hex_trace_id(one): trace for one in ids if (trace := store.get(one)) is not None}
    return {
        "Traces": [
            {
                "Id": xray_trace_id(trace_id),
                "Duration": trace.duration_s,
                "LimitExceeded": False,
                "Segments": [
                    {"Id": segment_id, "Document": orjson.dumps(document).decode()}
                    for segment_id, document in trace.documents.items()
                ],
            }
            for trace_id, trace in found.items()
        ],
        "UnprocessedTraceIds": [],
    }


async def _get_trace_summaries(store: TraceStore, call: Document) -> Document:
    start_s, end_s = _range(call)
    token = call.get("NextToken") or "0"
    if not str(token).isdecimal():
        raise _RefusedError("NextToken is none of ours")
    by = next((one for one in TIME_RANGES if one == call.get("TimeRangeType", "TraceId")), None)
    if by is None:
        raise _RefusedError("TimeRangeType is none of TraceId, Event, Service")
    try:
        summaries = store.summaries(start_s, end_s, call.get("FilterExpression"), by=by)
    except BadFilterError as error:
        raise _RefusedError(str(error)) from error
    first, after = int(token), int(token) + SUMMARIES_PER_PAGE
    page = {
        "TraceSummaries": summaries[first:after],
        "TracesProcessedCount": len(store),
        "ApproximateTime": time.time(),
    }
    return page | {"NextToken": str(after)} if after < len(summaries) else page


async def _start_trace_retrieval(retrievals: TraceRetrievals, call: Document) -> Document:
    return {"RetrievalToken": retrievals.start(_list_of_text(call, "TraceIds"), *_range(call))}


async def _list_retrieved_traces(retrievals: TraceRetrievals, call: Document) -> Document:
    if call.get("TraceFormat", "XRAY") != "XRAY":
        raise _RefusedError("TraceFormat: segment documents are told here, XRAY")
    return retrievals.listed(str(call.get("RetrievalToken")), call.get("NextToken"))


async def _cancel_trace_retrieval(retrievals: TraceRetrievals, call: Document) -> Document:
    retrievals.cancel(str(call.get("RetrievalToken")))
    return {}


def _range(call: Document) -> tuple[float, float]:
    """StartTime and EndTime, epoch seconds."""
    start_s, end_s = call.get("StartTime"), call.get("EndTime")
    if not isinstance(start_s, int | float) or not isinstance(end_s, int | float) or start_s > end_s:
        raise _RefusedError("StartTime and EndTime are not a range")
    return start_s, end_s


def _call(body: bytes) -> Document:
    try:
        call = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise _RefusedError("not JSON") from error
    if not isinstance(call, dict):
        raise _RefusedError("not an object")
    return call


def _list_of_text(call: Document, name: str) -> list[str]:
    value = call.get(name)
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _RefusedError(f"{name} is not a list of strings")
    return value


def _xray(
    operation: Callable[[_Held, Document], Awaitable[Document]], held: _Held
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """An operation on X-Ray's wire: JSON in, JSON out, refusals named in a header."""

    async def handle(request: web.Request) -> web.Response:
        try:
            return web.json_response(await operation(held, _call(await request.read())))
        except (_RefusedError, BadRetrievalError) as error:
            return web.json_response(
                {"Message": str(error)}, status=400, headers={"x-amzn-ErrorType": error.code}
            )

    return handle


class _Daemon(asyncio.DatagramProtocol):
    """The X-Ray daemon's port: a header line, then one segment document. What is neither is dropped."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store

    def datagram_received(self, data: bytes, _sender: tuple[str, int]) -> None:
        """Store one segment."""
        header, _, text = data.partition(b"\n")
        try:
            known = orjson.loads(header) == {"format": "json", "version": 1}
        except orjson.JSONDecodeError:
            known = False
        if not known:
            logger.warning("X-Ray datagram dropped: unknown header")
            return
        try:
            self._store.add_segment(text)
        except BadSegmentError as error:
            logger.warning("X-Ray segment dropped: %s", error)


@contextlib.asynccontextmanager
async def serve_traces(
    *, host: str = "127.0.0.1", port: int = 0, daemon_port: int = 0, store: TraceStore | None = None
) -> AsyncIterator[Traces]:
    """Serve until the block ends, the daemon's datagrams on loopback alone; a port of 0 chooses one.

    OTLP is at `/v1/traces` (protobuf or JSON, gzip or not), X-Ray's API at its own paths.
    """
    traces = Traces(TraceStore() if store is None else store)
    held, retrievals = traces.store, TraceRetrievals(traces.store)
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post("/v1/traces", _otlp(held))
    app.router.add_post("/TraceSegments", _xray(_put_trace_segments, held))
    app.router.add_post("/Traces", _xray(_batch_get_traces, held))
    app.router.add_post("/TraceSummaries", _xray(_get_trace_summaries, held))
    app.router.add_post("/StartTraceRetrieval", _xray(_start_trace_retrieval, retrievals))
    app.router.add_post("/ListRetrievedTraces", _xray(_list_retrieved_traces, retrievals))
    app.router.add_post("/CancelTraceRetrieval", _xray(_cancel_trace_retrieval, retrievals))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    daemon, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Daemon(held), local_addr=("127.0.0.1", daemon_port)
    )
    try:
        await web.TCPSite(runner, host, port).start()
        traces.port = runner.addresses[0][1]
        traces.daemon_port = daemon.get_extra_info("sockname")[1]
        yield traces
    finally:
        daemon.close()
        await runner.cleanup()
