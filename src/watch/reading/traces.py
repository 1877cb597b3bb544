"""Spans of a trace, from X-Ray. What they look like is in `llmplatform.waterfall`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from llmplatform import ids
from llmplatform.waterfall import Bar, bars_of_segments

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_xray import XRayClient

_TENANT: Final = ("tenant_id", "tenant.id")
"""By the daemon's documents, and by OpenTelemetry's."""


@dataclass(frozen=True, slots=True)
class Spans:
    """The spans of a trace."""

    bars: tuple[Bar, ...]
    """Parents first; none where X-Ray has none (yet)."""
    tenants: frozenset[str]
    """Whose they are, as far as they say."""


class TraceReader:
    """X-Ray behind an SDK's client. What it raises, passes."""

    def __init__(self, xray: "XRayClient") -> None:
        self._xray = xray

    async def spans(self, trace_id: str) -> Spans:
        """The spans of a trace (32 hex digits)."""
        answer = await self._xray.batch_get_traces(TraceIds=[ids.as_xray(trace_id)])
        documents = [
            json.loads(segment["Document"])
            for trace in answer.get("Traces", ())
            for segment in trace.get("Segments", ())
            if "Document" in segment
        ]
        tenants = (_tenant_of(document) for document in documents)
        return Spans(bars_of_segments(documents), frozenset(one for one in tenants if one is not None))


def _tenant_of(document: Mapping[str, Any]) -> str | None:
    annotations = document.get("annotations", {})
    return next((str(annotations[name]) for name in _TENANT if name in annotations), None)
