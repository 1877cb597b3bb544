"""Requests by time, of tables in a test's own process: how much of them is looked at."""

from datetime import timedelta
from typing import Any

import pytest

from harness.ledger_table import Tables
from llmplatform import ids
from llmplatform.ledger import LedgerRow, decode_item
from llmplatform.testing import START, FakeClock, make_policy, make_record
from watch.reading import requests
from watch.reading.requests import RequestSearch
from watch.requests.filters import Filters

WANTED = 3
HOUR = START.replace(minute=0, second=0, microsecond=0)
TENANTS = {"acme": make_policy("acme")}


def busy_hour() -> Tables:
    tables = Tables()
    for number in range(100):
        completed_at = HOUR + timedelta(seconds=30 * number + 1)
        unix_ms = int(completed_at.timestamp() * 1_000)
        request_id = ids.request_id(unix_ms, number.to_bytes(10, "big"))
        tables.put(make_record(request_id=request_id, received_at=completed_at, completed_at=completed_at))
    return tables


async def test_a_filter_that_all_rows_pass_costs_no_more_than_a_page_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[Any] = []

    def counted(item: Any) -> LedgerRow:
        decoded.append(item)
        return decode_item(item)

    monkeypatch.setattr(requests, "decode_item", counted)
    client: Any = busy_hour()
    search = RequestSearch(client, FakeClock())
    filters = Filters.asked({"outcome": "completed"})
    end = HOUR + timedelta(hours=1)
    first = await search.page(TENANTS, filters, HOUR, end, wanted=WANTED)
    assert len(decoded) <= 8 * (WANTED + 1)
    seen = [row.request_id for row in first.rows]
    page = first
    while page.following is not None:
        page = await search.page(TENANTS, filters, HOUR, end, after=page.following, wanted=WANTED)
        seen += [row.request_id for row in page.rows]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(seen) == 100
