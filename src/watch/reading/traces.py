"""Spans of a trace, from X-Ray. What they look like is in `llmplatform.waterfall`."""

import json
from typing import TYPE_CHECKING

from llmplatform import ids
from llmplatform.waterfall import Bar, bars_of_segments, segments_of_tenant

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_xray import XRayClient


class TraceReader:
    """X-Ray behind an SDK's client. What it raises, passes."""

    def __init__(self, xray: "XRayClient") -> None:
        self._xray = xray

    async def spans(self, trace_id: str, tenant_id: str | None = None) -> tuple[Bar, ...]:
        """The spans of a trace (32 hex digits), parents first; none where X-Ray has none (yet).

        Of one tenant's requests alone where `tenant_id` is given.
        """
        answer = await self._xray.batch_get_traces(TraceIds=[ids.as_xray(trace_id)])
        documents = [
            json.loads(segment["Document"])
            for trace in answer.get("Traces", ())
            for segment in trace.get("Segments", ())
            if "Document" in segment
        ]
        return bars_of_segments(documents if tenant_id is None else segments_of_tenant(documents, tenant_id))
