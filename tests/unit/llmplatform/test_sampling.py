import random
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmplatform.sampling import effective_rate, evaluation_chosen, head_sampled, keep_trace

RATE = st.floats(min_value=0, max_value=1)
CHOSEN_OF_A_HUNDRED = [11, 12, 15, 33, 45, 55, 56, 57, 58, 61, 77, 80]
KEY = b"the deployment's own key"


@given(st.text(max_size=40), RATE, RATE)
def test_a_higher_rate_keeps_all_that_a_lower_one_kept(request_id: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert evaluation_chosen(request_id, low) <= evaluation_chosen(request_id, high)
    assert head_sampled(request_id, KEY, low) <= head_sampled(request_id, KEY, high)


@given(st.text(max_size=40))
def test_none_at_zero_and_all_at_one(request_id: str) -> None:
    assert not evaluation_chosen(request_id, 0.0)
    assert evaluation_chosen(request_id, 1.0)
    assert not head_sampled(request_id, KEY, 0.0)
    assert head_sampled(request_id, KEY, 1.0)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.5])
def test_the_rate_is_honoured(rate: float) -> None:
    seeded = random.Random(20261123)
    chosen = sum(evaluation_chosen(f"019ab3c4-{seeded.getrandbits(80):x}", rate) for _ in range(40_000))
    assert chosen / 40_000 == pytest.approx(rate, rel=0.1)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5])
def test_the_rate_is_honoured_for_trace_ids_with_fixed_bits(rate: float) -> None:
    seeded = random.Random(20261123)
    traces = [uuid.UUID(int=seeded.getrandbits(128), version=4).hex for _ in range(40_000)]
    assert sum(head_sampled(trace, KEY, rate) for trace in traces) / 40_000 == pytest.approx(rate, rel=0.1)


def test_trace_ids_chosen_under_one_key_are_worth_nothing_under_another() -> None:
    chosen = [trace for number in range(40_000) if head_sampled(trace := f"{number:032x}", b"leaked", 0.1)]
    kept = sum(head_sampled(trace, KEY, 0.1) for trace in chosen)
    assert kept / len(chosen) == pytest.approx(0.1, rel=0.2)


def test_a_client_that_counts_up_or_down_gets_the_same_rate() -> None:
    for prefix in ("0", "f"):
        traces = [f"{prefix * 24}{number:08x}" for number in range(20_000)]
        assert sum(head_sampled(trace, KEY, 0.1) for trace in traces) / 20_000 == pytest.approx(0.1, rel=0.1)


def test_a_key_of_any_length_will_do() -> None:
    for key in (b"", b"k" * 64, b"k" * 1_000):
        assert head_sampled("ab" * 16, key, 1.0)


def test_the_choice_can_be_recomputed_anywhere() -> None:
    """A change of these would change which requests of the past were chosen."""
    ids = [f"019ab3c4-d5e6-7f00-8000-{number:012x}" for number in range(100)]
    assert [number for number, one in enumerate(ids) if evaluation_chosen(one, 0.2)] == CHOSEN_OF_A_HUNDRED


@given(RATE, RATE)
def test_the_brake_only_lowers(rate: float, factor: float) -> None:
    assert 0 <= effective_rate(rate, factor) <= rate


@pytest.mark.parametrize(("rate", "factor", "expected"), [(0.2, 2.0, 0.2), (1.5, 0.5, 0.5), (0.2, -1.0, 0.0)])
def test_rate_and_factor_are_held_to_their_ranges(rate: float, factor: float, expected: float) -> None:
    assert effective_rate(rate, factor) == expected


def reason(
    *, head_rate: float = 0.0, failed: bool = False, slow: bool = False, evaluated: bool = False
) -> object:
    return keep_trace("ab" * 16, key=KEY, head_rate=head_rate, failed=failed, slow=slow, evaluated=evaluated)


def test_a_trace_is_kept_for_the_first_reason_that_holds() -> None:
    assert reason() is None
    assert reason(evaluated=True) == "evaluated"
    assert reason(slow=True, evaluated=True) == "slow"
    assert reason(failed=True, slow=True) == "failed"
    assert reason(head_rate=1.0, failed=True) == "head"
