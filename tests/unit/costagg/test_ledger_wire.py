"""Pages of the ledger as cost decodes them: only what it needs, and one bad row spoils no other."""

from typing import Any

import orjson
import pytest

from corpus.invocations import RECEIVED_AT, attempt, record
from costagg.ledger_wire import ATTRIBUTES, decode_page
from llmplatform.errors import TelemetryFault
from llmplatform.ledger import encode_item

LAST_KEY = {"tenant_hour_shard": {"S": "acme#2026-11-23T20#0"}, "request_id": {"S": "one"}}


def page(*items: dict[str, Any], **members: Any) -> bytes:
    return orjson.dumps({"Items": items, "Count": len(items), "ScannedCount": len(items), **members})


def damaged(**attributes: Any) -> dict[str, Any]:
    return {**encode_item(record(9)), **attributes}


def encoded_attempt(**fields: Any) -> Any:
    (tried,) = encode_item(record(attempts=(attempt(**fields),)))["attempts"]["L"]
    return tried


def test_a_row_is_read_with_its_numbers_and_moments() -> None:
    (row,) = decode_page(page(encode_item(record(1)))).rows
    assert row.request_id.value == record(1).request_id
    assert row.origin.value == "client"
    assert row.received_at.value == RECEIVED_AT
    assert row.usage.usage == record(1).usage
    (tried,) = row.attempts.value
    assert (tried.value.started_ms.value, tried.value.usage.usage) == (1.25, record(1).attempts[0].usage)


def test_the_attributes_that_are_asked_for_are_enough() -> None:
    item = {name: value for name, value in encode_item(record()).items() if name in ATTRIBUTES}
    assert decode_page(page(item)).rows == decode_page(page(encode_item(record()))).rows


def test_what_a_newer_schema_adds_is_passed_over() -> None:
    item = damaged(later={"SS": ["addition"]}, usage={"M": {"image_tokens": {"N": "7"}}})
    assert decode_page(page(item)).undecodable == 0


def test_the_next_page_is_told() -> None:
    assert decode_page(page(LastEvaluatedKey=LAST_KEY)).last_key == LAST_KEY
    assert decode_page(page()).last_key is None


@pytest.mark.parametrize(
    "damage",
    [
        {"attempts": {"S": "canary"}},
        {"attempts": {"L": [{"M": {"model_id": {"S": "canary"}}}]}},
        {"usage": {"M": {"input_tokens": {"N": "canary"}}}},
        {"usage": {"M": {"input_tokens": {"N": "-1"}}}},
        {"usage": {"M": {"input_tokens": {"N": "1E+30"}}}},
        {"usage": {"M": {"input_tokens": {"N": "1.5"}}}},
        {"usage": {"M": {"input_tokens": {"NULL": True}}}},
        {"origin": {"S": "canary"}},
        {"attempts": {"L": [encoded_attempt(endpoint_type="canary")]}},
        {"received_at": {"S": "canary"}},
        {"received_at": {"S": "2026-11-23T20:59:58"}},
        {"sampled": {"N": "1"}},
        {"request_id": {}},
    ],
)
def test_a_bad_row_is_counted_and_the_others_go_on(damage: dict[str, Any]) -> None:
    read = decode_page(
        page(encode_item(record(1)), damaged(**damage), encode_item(record(2)), LastEvaluatedKey=LAST_KEY)
    )
    assert [row.request_id.value for row in read.rows] == [record(1).request_id, record(2).request_id]
    assert (read.undecodable, read.last_key) == (1, LAST_KEY)


@pytest.mark.parametrize("missing", ATTRIBUTES)
def test_a_row_without_something_that_cost_needs_is_none(missing: str) -> None:
    item = encode_item(record())
    del item[missing]
    assert decode_page(page(item)).undecodable == 1


@pytest.mark.parametrize("body", [b"", b"\x00\xff{canary", b'{"Items":', b"{}", b"[]", b'{"Items":"canary"}'])
def test_what_is_no_page_is_refused_and_not_quoted(body: bytes) -> None:
    with pytest.raises(TelemetryFault) as raised:
        decode_page(body)
    assert "canary" not in str(raised.value)


def test_a_page_cut_anywhere_is_refused_and_never_half_read() -> None:
    body = page(encode_item(record(1)), encode_item(record(2)))
    for end in range(0, len(body), 7):
        with pytest.raises(TelemetryFault):
            decode_page(body[:end])
