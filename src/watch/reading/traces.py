"""Spans of a trace, from X-Ray. What they look like is in `llmplatform.waterfall`.

X-Ray takes OTLP only while Transaction Search is on. Spans then lie in a log group, where `BatchGetTraces`
does not find them, says its reference: a retrieval looks through the group, which costs by what it scans.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from llmplatform import ids
from llmplatform.clock import Clock
from llmplatform.errors import TelemetryFault
from llmplatform.ledger import LedgerRow
from llmplatform.waterfall import Bar, bars_of_segments, segments_of_tenant
from watch.reading.queries import answered

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_xray import XRayClient
    from types_aiobotocore_xray.type_defs import ListRetrievedTracesResultTypeDef

WITHIN_S: Final = 6.0
AROUND: Final = timedelta(minutes=5)
"""Spans are dated by their process, and one that called ours began before."""
_SECOND: Final = timedelta(seconds=1)
"""The SDK leaves out what is less."""
_RUNNING: Final = frozenset({"SCHEDULED", "RUNNING"})


class TraceRetrievalFailed(TelemetryFault):
    """X-Ray did not retrieve the trace in time, or not at all."""

    code = "trace_retrieval_failed"


class TraceReader:
    """X-Ray behind an SDK's client. What it raises, passes."""

    def __init__(self, xray: "XRayClient", clock: Clock, *, within_s: float = WITHIN_S) -> None:
        self._xray = xray
        self._clock = clock
        self._within_s = within_s

    async def of_requests(self, rows: Sequence[LedgerRow], tenant_id: str | None = None) -> tuple[Bar, ...]:
        """The spans of the requests of one trace, as `spans` has them; not asked for where none was kept."""
        kept = [row for row in rows if row.trace_kept]
        if not kept:
            return ()
        start, end = min(row.received_at for row in kept), max(row.completed_at for row in kept)
        return await self.spans(kept[0].trace_id, start, end, tenant_id)

    async def spans(
        self, trace_id: str, start: datetime, end: datetime, tenant_id: str | None = None
    ) -> tuple[Bar, ...]:
        """The spans of a trace (32 hex digits) around a time, parents first; none where there are none (yet).

        Of one tenant's requests alone where `tenant_id` is given. Raises TraceRetrievalFailed.
        """
        started = await self._xray.start_trace_retrieval(
            TraceIds=[ids.as_xray(trace_id)],
            StartTime=start - AROUND,
            EndTime=min(end + AROUND, self._clock.now() + _SECOND),
        )
        token = started["RetrievalToken"]
        try:
            answer = await answered(
                lambda: self._listed(token),
                running=lambda told: told["RetrievalStatus"] in _RUNNING,
                call_off=lambda: self._xray.cancel_trace_retrieval(RetrievalToken=token),
                within_s=self._within_s,
            )
        except TimeoutError:
            raise TraceRetrievalFailed(f"X-Ray had no trace within {self._within_s:.0f} s") from None
        if answer["RetrievalStatus"] != "COMPLETE":
            raise TraceRetrievalFailed(f"X-Ray says: {answer['RetrievalStatus']}")
        documents = _documents(answer)
        while next_token := answer.get("NextToken"):
            answer = await self._listed(token, next_token)
            documents += _documents(answer)
        return bars_of_segments(documents if tenant_id is None else segments_of_tenant(documents, tenant_id))

    async def _listed(self, token: str, next_token: str | None = None) -> "ListRetrievedTracesResultTypeDef":
        if next_token is None:
            return await self._xray.list_retrieved_traces(RetrievalToken=token, TraceFormat="XRAY")
        return await self._xray.list_retrieved_traces(
            RetrievalToken=token, TraceFormat="XRAY", NextToken=next_token
        )


def _documents(answer: "ListRetrievedTracesResultTypeDef") -> list[dict[str, Any]]:
    return [
        json.loads(span["Document"])
        for trace in answer.get("Traces", ())
        for span in trace.get("Spans", ())
        if "Document" in span
    ]
