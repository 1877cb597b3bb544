"""Spans of a trace, from X-Ray. What they look like is in `llmplatform.waterfall`."""

import json
from typing import TYPE_CHECKING

from llmplatform import ids
from llmplatform.waterfall import Bar, bars_of_segments

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_xray import XRayClient


class TraceReader:
    """X-Ray behind an SDK's client. What it raises, passes."""

    def __init__(self, xray: "XRayClient") -> None:
        self._xray = xray

    async def bars(self, trace_id: str) -> tuple[Bar, ...]:
        """The spans of a trace (32 hex digits), parents first; none where X-Ray has none (yet)."""
        answer = await self._xray.batch_get_traces(TraceIds=[ids.as_xray(trace_id)])
        documents = [
            json.loads(segment["Document"])
            for trace in answer.get("Traces", ())
            for segment in trace.get("Segments", ())
            if "Document" in segment
        ]
        return bars_of_segments(documents)
