from datetime import UTC, datetime

import pytest

from llmplatform import ids

DIGITS = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    "text",
    [
        DIGITS,
        DIGITS.upper(),
        f"  {DIGITS}\n",
        "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
        "1-4bf92f35-77b34da6a3ce929d0e0e4736",
    ],
)
def test_a_trace_id_is_read_in_each_of_its_forms(text: str) -> None:
    assert ids.trace_id_of(text) == DIGITS


@pytest.mark.parametrize("text", ["", "abc", DIGITS[:-1], f"2-{DIGITS[:8]}-{DIGITS[8:]}", "g" * 32])
def test_anything_else_is_no_trace_id(text: str) -> None:
    assert ids.trace_id_of(text) is None


def test_a_request_id_says_when_it_was_made() -> None:
    moment = datetime(2026, 11, 23, 20, 59, 59, 999_000, tzinfo=UTC)
    made = ids.request_id(round(moment.timestamp() * 1_000), bytes(10))
    assert ids.arrival_of(made) == moment


def test_an_answers_own_id_is_its_request_id() -> None:
    made = ids.request_id(1_700_000_000_000, bytes(10))
    assert ids.bare(f" chatcmpl-{made}\n") == made
    assert ids.bare(DIGITS.upper()) == DIGITS


def test_a_trace_id_says_nothing_of_the_kind() -> None:
    assert ids.arrival_of(ids.as_uuid(ids.uuid4_hex(bytes(16)))) is None
    assert ids.arrival_of("x") is None
