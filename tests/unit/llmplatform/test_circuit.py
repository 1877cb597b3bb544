from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmplatform.circuit import Circuit, CircuitRule

RULE = CircuitRule(failure_ratio=0.5, min_calls=10, window_s=30, open_s=10)
NOW_S = 1_000_000.0


def broken(at_s: float = NOW_S, rule: CircuitRule = RULE) -> Circuit:
    circuit = Circuit(rule)
    for _ in range(rule.min_calls):
        assert circuit.admit(at_s)
        circuit.record(healthy=False, now_s=at_s)
    assert circuit.state(at_s) == "open"
    return circuit


def test_a_new_circuit_is_closed_and_admits_all() -> None:
    circuit = Circuit()
    assert circuit.state(NOW_S) == "closed"
    assert all(circuit.admit(NOW_S) for _ in range(100))


@pytest.mark.parametrize(
    ("failures", "successes", "state"),
    [(9, 0, "closed"), (10, 0, "open"), (5, 5, "open"), (4, 6, "closed"), (4, 100, "closed")],
)
def test_it_opens_when_enough_calls_failed_and_no_sooner(failures: int, successes: int, state: str) -> None:
    circuit = Circuit(RULE)
    for _ in range(successes):
        circuit.record(healthy=True, now_s=NOW_S)
    for _ in range(failures):
        circuit.record(healthy=False, now_s=NOW_S)
    assert circuit.state(NOW_S) == state


def test_an_open_circuit_admits_nothing_until_its_time_is_over() -> None:
    circuit = broken()
    assert not circuit.admit(NOW_S)
    assert not circuit.admit(NOW_S + 9.999)
    assert circuit.state(NOW_S + 10) == "half_open"


def test_half_open_lets_one_probe_through() -> None:
    circuit = broken()
    assert [circuit.admit(NOW_S + 10) for _ in range(3)] == [True, False, False]
    assert not circuit.admit(NOW_S + 1_000)


def test_a_good_probe_closes_and_the_past_is_forgotten() -> None:
    circuit = broken()
    circuit.admit(NOW_S + 10)
    circuit.record(healthy=True, now_s=NOW_S + 11)
    assert circuit.state(NOW_S + 11) == "closed"
    for _ in range(RULE.min_calls - 1):
        circuit.record(healthy=False, now_s=NOW_S + 11)
    assert circuit.state(NOW_S + 11) == "closed"


def test_a_bad_probe_opens_it_for_as_long_again() -> None:
    circuit = broken()
    circuit.admit(NOW_S + 10)
    circuit.record(healthy=False, now_s=NOW_S + 15)
    assert not circuit.admit(NOW_S + 24.9)
    assert [circuit.admit(NOW_S + 25) for _ in range(2)] == [True, False]


def test_a_probe_that_says_nothing_makes_room_for_another() -> None:
    circuit = broken()
    circuit.admit(NOW_S + 10)
    circuit.release()
    assert [circuit.admit(NOW_S + 10) for _ in range(2)] == [True, False]


def test_a_call_that_breaks_after_a_good_beginning_is_one_call() -> None:
    circuit = Circuit(CircuitRule(min_calls=10, failure_ratio=0.5))
    for now_s in range(12):
        circuit.record(healthy=True, now_s=now_s)
        if now_s % 4:
            circuit.record(healthy=False, now_s=now_s, first=False)
    assert circuit.state(12) == "open"


def test_it_is_a_failure_that_opens_it_never_a_success() -> None:
    circuit = Circuit(RULE)
    for _ in range(9):
        circuit.record(healthy=False, now_s=NOW_S)
    for _ in range(9):
        circuit.record(healthy=True, now_s=NOW_S)
        assert circuit.state(NOW_S) == "closed"
    circuit.record(healthy=False, now_s=NOW_S)
    assert circuit.state(NOW_S) == "open"


@pytest.mark.parametrize("healthy", [True, False])
def test_results_of_calls_from_before_it_opened_neither_close_it_nor_keep_it_open(*, healthy: bool) -> None:
    circuit = broken()
    for late_s in range(10):
        circuit.record(healthy=healthy, now_s=NOW_S + late_s)
        assert circuit.state(NOW_S + late_s) == "open"
    assert circuit.admit(NOW_S + 10)


@given(st.floats(0, 200), st.lists(st.floats(0, 14), max_size=20))
def test_failures_older_than_the_window_are_forgotten(start_s: float, healthy_gaps: list[float]) -> None:
    circuit = Circuit(RULE)
    circuit.record(healthy=True, now_s=NOW_S + start_s)
    now_s = failed_s = NOW_S + start_s
    for _ in range(RULE.min_calls - 1):
        circuit.record(healthy=False, now_s=now_s)
        if circuit.state(now_s) == "open":
            return
    for gap_s in healthy_gaps:
        now_s += gap_s
        circuit.record(healthy=True, now_s=now_s)
    now_s = max(now_s, failed_s + RULE.window_s)
    for _ in range(RULE.min_calls - 1):
        circuit.record(healthy=True, now_s=now_s)
    assert sum(circuit._failures) == 0


@dataclass(frozen=True)
class Step:
    after_s: float
    verb: str


steps = st.lists(
    st.builds(
        Step,
        st.sampled_from([0.0, 0.1, 1.0, 9.9, 10.0, 40.0]),
        st.sampled_from(["ok", "bad", "void", "call"]),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 5), st.floats(0, 1))
def test_whatever_happens_it_never_admits_while_open_and_always_comes_back(
    history: list[Step], min_calls: int, failure_ratio: float
) -> None:
    circuit = Circuit(CircuitRule(failure_ratio, min_calls, RULE.window_s, RULE.open_s))
    now_s = NOW_S
    for step in history:
        now_s += step.after_s
        before = circuit.state(now_s)
        if step.verb == "void":
            circuit.release()
            assert circuit.state(now_s) == before
        elif step.verb == "call":
            admitted = circuit.admit(now_s)
            assert admitted or before != "closed"
            assert not (admitted and before == "open")
        else:
            circuit.record(healthy=step.verb == "ok", now_s=now_s)
            assert (before, circuit.state(now_s)) != ("open", "closed")
        assert sum(circuit._failures) <= sum(circuit._calls)
    circuit.release()
    now_s += RULE.open_s
    assert circuit.admit(now_s)
    circuit.record(healthy=True, now_s=now_s)
    assert circuit.admit(now_s)
