"""A trace is asked after until X-Ray has it; what takes long is called off, what fails is said."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.ledger_table import make_call
from llmplatform.ledger import decode_item, encode_item
from llmplatform.testing import FakeClock, make_record
from watch.reading.traces import AROUND, TraceReader, TraceRetrievalFailed

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
TRACE_ID = "5ea1c0de" + "0" * 24


class ScriptedXRay:
    """Says one status after the other, the last for ever; counts what is asked."""

    def __init__(self, *statuses: str) -> None:
        self.statuses = list(statuses)
        self.asked: list[dict[str, Any]] = []
        self.listed = 0
        self.called_off: list[str] = []

    async def start_trace_retrieval(self, **asked: Any) -> dict[str, str]:
        self.asked.append(asked)
        return {"RetrievalToken": "token"}

    async def list_retrieved_traces(self, **_: Any) -> dict[str, str]:
        self.listed += 1
        return {"RetrievalStatus": self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]}

    async def cancel_trace_retrieval(self, **asked: str) -> None:
        self.called_off.append(asked["RetrievalToken"])


def reader(xray: ScriptedXRay, *, within_s: float = 60) -> TraceReader:
    return TraceReader(xray, FakeClock(NOW + timedelta(hours=1)), within_s=within_s)  # type: ignore[arg-type]  # as far as it is asked


async def test_it_is_asked_after_until_it_is_complete() -> None:
    xray = ScriptedXRay("SCHEDULED", "COMPLETE")
    assert await reader(xray).spans(TRACE_ID, NOW, NOW) == ()
    (asked,) = xray.asked
    assert asked == {
        "TraceIds": [f"1-5ea1c0de-{'0' * 24}"],
        "StartTime": NOW - AROUND,
        "EndTime": NOW + AROUND,
    }
    assert (xray.listed, xray.called_off) == (2, [])


async def test_a_time_that_is_not_over_is_looked_through_until_now() -> None:
    xray = ScriptedXRay("COMPLETE")
    await TraceReader(xray, FakeClock(NOW)).spans(TRACE_ID, NOW, NOW)  # type: ignore[arg-type]  # likewise
    assert xray.asked[0]["EndTime"] == NOW + timedelta(seconds=1)


async def test_one_that_takes_long_is_called_off() -> None:
    xray = ScriptedXRay("RUNNING")
    with pytest.raises(TraceRetrievalFailed, match="no trace within"):
        await reader(xray, within_s=0.01).spans(TRACE_ID, NOW, NOW)
    assert xray.called_off == ["token"]


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "TIMEOUT"])
async def test_one_that_failed_is_not_a_trace_without_spans(status: str) -> None:
    with pytest.raises(TraceRetrievalFailed, match=status):
        await reader(ScriptedXRay(status)).spans(TRACE_ID, NOW, NOW)


async def test_of_requests_without_spans_nothing_is_asked() -> None:
    xray = ScriptedXRay("COMPLETE")
    row = decode_item(encode_item(make_record(attempts=(make_call(1, 10),), trace_kept=None)))
    assert await reader(xray).of_requests((row,)) == ()
    assert await reader(xray).of_requests(()) == ()
    assert xray.asked == []
