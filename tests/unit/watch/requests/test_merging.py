"""Partitions of an hour as one list."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmplatform import ids
from llmplatform.errors import MalformedRequest
from llmplatform.ledger import LedgerRow, decode_item, encode_item
from llmplatform.testing import make_record
from watch.requests.merging import Cursor, HourMerge

HOUR = datetime(2026, 11, 23, 20, tzinfo=UTC)


def row(number: int) -> LedgerRow:
    request_id = ids.request_id(int(HOUR.timestamp() * 1_000) + number, number.to_bytes(10, "big"))
    return decode_item(encode_item(make_record(request_id=request_id, completed_at=HOUR)))


def read_all(rows: list[list[LedgerRow]], wanted: int, piece: int) -> tuple[list[LedgerRow], int]:
    """The newest `wanted` rows of partitions that are read in pieces, and how many pieces it took."""
    merge = HourMerge.of(HOUR, [str(at) for at in range(len(rows))])
    newest_first = [sorted(one, key=lambda r: r.request_id, reverse=True) for one in rows]
    reads = 0
    while not merge.ended and len(merge.ready()) < wanted:
        asked = merge.to_read(wanted)
        assert asked
        for key, read_to in asked:
            left = [one for one in newest_first[int(key)] if read_to is None or one.request_id < read_to]
            reads += 1
            more = len(left) > piece
            merge.add(key, left[:piece], left[piece - 1].request_id if more else None)
    return merge.ready()[:wanted], reads


@given(
    st.lists(st.lists(st.integers(0, 10_000), max_size=15), min_size=1, max_size=8),
    st.integers(1, 20),
    st.integers(1, 7),
)
def test_the_newest_rows_come_in_order_whichever_partitions_they_are_in(
    numbers: list[list[int]], wanted: int, piece: int
) -> None:
    taken: set[int] = set()
    rows = [[row(n) for n in one if not (n in taken or taken.add(n))] for one in numbers]  # type: ignore[func-returns-value]  # add tells nothing
    found, _ = read_all(rows, wanted, piece)
    everything = sorted((one for part in rows for one in part), key=lambda r: r.request_id, reverse=True)
    assert found == everything[:wanted]


def test_no_more_is_read_than_stands_before_the_page() -> None:
    busy, quiet = [row(n) for n in range(1_000, 1_400)], [row(n) for n in range(10)]
    found, reads = read_all([busy, quiet], wanted=20, piece=5)
    assert [one.request_id for one in found] == [one.request_id for one in busy[::-1][:20]]
    assert reads <= 6  # the quiet partition once


def test_a_row_that_may_have_a_newer_one_before_it_waits() -> None:
    merge = HourMerge.of(HOUR, ["a", "b"])
    merge.add("a", [row(50)], None)
    assert merge.ready() == []
    assert merge.known_to is None
    merge.add("b", [row(90)], row(80).request_id)
    assert [one.request_id for one in merge.ready()] == [row(90).request_id]
    merge.add("b", [row(20)], None)
    assert [one.request_id for one in merge.ready()] == [row(n).request_id for n in (90, 50, 20)]


def test_a_cursor_is_read_back_from_its_own_text() -> None:
    cursor = Cursor(HOUR, row(1).request_id)
    assert Cursor.asked(str(cursor)) == cursor
    assert Cursor.asked(str(Cursor(HOUR))) == Cursor(HOUR)


@pytest.mark.parametrize("text", ["x", "2026-11-23T20.x", "2026-11-23", ".", "2026-11-23T20.' OR 1"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(MalformedRequest):
        Cursor.asked(text)


def test_hours_of_a_cursor_are_utc() -> None:
    shuffled = [Cursor(HOUR + timedelta(hours=n)) for n in random.Random(1).sample(range(24), 24)]
    assert sorted(map(str, shuffled)) == [str(one) for one in sorted(shuffled, key=lambda c: c.hour)]
