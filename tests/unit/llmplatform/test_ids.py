import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmplatform import ids

times_ms = st.integers(0, (1 << 48) - 1)
random10 = st.binary(min_size=10, max_size=10)
random16 = st.binary(min_size=16, max_size=16)


@given(times_ms, random10)
def test_a_request_id_is_a_uuid_7_that_holds_its_time_and_all_its_randomness(
    unix_ms: int, random: bytes
) -> None:
    text = ids.request_id(unix_ms, random)
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == unix_ms
    bits = int.from_bytes(random, "big")
    assert (parsed.int >> 64) & 0xFFF == bits >> 68
    assert parsed.int & ((1 << 62) - 1) == bits & ((1 << 62) - 1)


def test_the_example_of_rfc_9562() -> None:
    rand_a, rand_b = 0xCC3, 0x18C4DC0C0C07398F
    random = (rand_a << 68 | rand_b).to_bytes(10, "big")
    assert ids.request_id(0x017F22E279B0, random) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(times_ms, times_ms, random10, random10)
def test_request_ids_sort_as_text_by_time(a_ms: int, b_ms: int, a: bytes, b: bytes) -> None:
    if a_ms < b_ms:
        assert ids.request_id(a_ms, a) < ids.request_id(b_ms, b)


def test_a_time_beyond_48_bits_does_not_spill_into_the_version() -> None:
    assert uuid.UUID(ids.request_id((1 << 60) + 5, b"\xff" * 10)).version == 7


@given(random16)
def test_a_minted_trace_id_is_a_uuid_4_that_keeps_the_other_122_bits(random: bytes) -> None:
    digits = ids.uuid4_hex(random)
    assert len(digits) == 32
    assert digits == uuid.UUID(bytes=random, version=4).hex


@given(st.uuids(), st.sampled_from([str.lower, str.upper, str.title]), st.sampled_from(["", " ", "\t"]))
def test_a_uuid_in_any_case_comes_back_as_hex_and_can_be_written_again(
    value: uuid.UUID, case: Callable[[str], str], around: str
) -> None:
    digits = ids.parse_uuid(around + case(str(value)) + around)
    assert digits == value.hex
    assert ids.as_uuid(digits) == str(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "{4bf92f35-77b3-4da6-a3ce-929d0e0e4736}",
        "urn:uuid:4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
        "4bf92f35-77b3-4da6-a3ce-929d0e0e473",
        "4bf92f35-77b3-4da6-a3ce-929d0e0e4736-",
        "4bf92f35-77b3-4da6-a3ce-929d0e0e473g",
        "4bf92f3-577b3-4da6-a3ce-929d0e0e4736",
        "\uff14bf92f35-77b3-4da6-a3ce-929d0e0e4736",
    ],
)
def test_what_is_no_dashed_uuid_is_none(text: str) -> None:
    assert ids.parse_uuid(text) is None


def test_the_forms_of_a_trace_id() -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    assert ids.as_uuid(trace_id) == "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"
    assert ids.as_xray(trace_id) == "1-4bf92f35-77b34da6a3ce929d0e0e4736"


@given(st.from_regex(r"[a-z0-9-]{1,48}", fullmatch=True))
def test_a_tenant_id_is_itself(text: str) -> None:
    assert ids.tenant_id(text) == text


@pytest.mark.parametrize("text", ["", "A", "a_b", "a#b", "a" * 49, "a\n", "ä", "٣", ids.UNKNOWN])
def test_what_is_no_tenant_id_is_none(text: str) -> None:
    assert ids.tenant_id(text) is None
