import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.retrying import RetryBudget, backoff_s, may_fall_back, may_repeat
from llmplatform.errors import (
    BackendFault,
    BackendInternal,
    BackendModelFailed,
    BackendProtocolCorrupt,
    BackendRejected,
    BackendThrottled,
    BackendTimedOut,
    BackendUnavailable,
    BackendUnreachable,
)


@pytest.mark.parametrize(
    ("fault", "repeat", "fall_back"),
    [
        (BackendThrottled(""), True, True),
        (BackendUnreachable(""), True, True),
        (BackendUnavailable(""), True, True),
        (BackendModelFailed(""), True, True),
        (BackendInternal(""), True, True),
        (BackendProtocolCorrupt(""), True, True),
        (BackendTimedOut("", phase="connect"), True, True),
        (BackendTimedOut("", phase="first_token"), False, True),
        (BackendTimedOut("", phase="idle"), False, True),
        (BackendTimedOut("", phase="total"), False, True),
        (BackendRejected("", status=400), False, False),
        (BackendRejected(""), False, False),
        (BackendRejected("", status=403), False, True),
        (BackendRejected("", status=404), False, True),
    ],
)
def test_what_may_be_tried_again(fault: BackendFault, *, repeat: bool, fall_back: bool) -> None:
    assert may_repeat(fault) is repeat
    assert may_fall_back(fault) is fall_back


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_jitter_is_full_and_bounded(retry: int, random: float) -> None:
    assert 0 <= backoff_s(retry, random) < 2.0
    assert backoff_s(retry, 0) == 0
    assert backoff_s(retry, random) <= backoff_s(retry + 1, random)


def test_backoff_doubles_from_a_tenth_of_a_second() -> None:
    assert [backoff_s(retry, 0.5) for retry in range(1, 7)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0]


@given(st.lists(st.booleans(), max_size=400))
def test_retries_never_outgrow_what_requests_paid_for(wishes: list[bool]) -> None:
    budget = RetryBudget(per_request=0.1, capacity=5)
    requests = granted = 0
    for retry in wishes:
        if retry:
            granted += budget.withdraw()
        else:
            budget.deposit()
            requests += 1
        assert granted <= 5 + requests / 10


def test_a_full_budget_does_not_grow() -> None:
    budget = RetryBudget(per_request=0.5, capacity=2)
    for _ in range(100):
        budget.deposit()
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]


def test_an_empty_budget_fills_again_with_requests() -> None:
    budget = RetryBudget(per_request=0.5, capacity=1)
    assert budget.withdraw()
    budget.deposit()
    assert not budget.withdraw()
    budget.deposit()
    assert budget.withdraw()
