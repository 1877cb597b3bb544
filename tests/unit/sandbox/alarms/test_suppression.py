"""The examples of "Suppressing composite alarm actions": WaitPeriod is 2, ExtensionPeriod 3."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.alarms.definitions import State
from sandbox.alarms.suppression import Held, Suppressor, held_by

START = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
WAIT_S, EXTENSION_S = 2, 3


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


@dataclass(slots=True)
class Timeline:
    """A composite and its suppressor, looked at every second; `taken` has when which state's actions were."""

    composite: State = "OK"
    suppressor: State = "OK"
    changed_s: float = 0
    suppressor_since_s: float = 0
    phase: str | None = None

    def run(self, events: dict[int, tuple[str, State]], until_s: int) -> dict[int, State]:
        taken: dict[int, State] = {}
        for second in range(until_s + 1):
            what, state = events.get(second, ("nothing", "OK"))
            if what == "suppressor":
                self.suppressor, self.suppressor_since_s = state, second
            if what == "composite":
                self.composite, self.changed_s = state, second
                self.phase = "Alarm" if self.suppressor == "ALARM" else "WaitPeriod"
            if self.phase is not None:
                held = Held(self.phase, at(self.changed_s), WAIT_S, EXTENSION_S)
                suppressor = Suppressor(self.suppressor, at(self.suppressor_since_s))
                self.phase = held_by(held, suppressor, at(second))
                if self.phase is None:
                    taken[second] = self.composite
        return taken


@pytest.mark.parametrize(
    ("events", "taken"),
    [
        pytest.param({2: ("composite", "ALARM")}, {4: "ALARM"}, id="1: not suppressed after WaitPeriod"),
        pytest.param(
            {2: ("composite", "ALARM"), 3: ("suppressor", "ALARM")},
            {},
            id="2: suppressed by the alarm before WaitPeriod ends",
        ),
        pytest.param(
            {2: ("composite", "ALARM"), 3: ("composite", "OK")},
            {5: "OK"},
            id="3: a change in WaitPeriod starts a new one",
        ),
        pytest.param(
            {1: ("suppressor", "ALARM"), 2: ("composite", "ALARM")}, {}, id="4: suppressed by the alarm"
        ),
        pytest.param(
            {2: ("composite", "ALARM"), 3: ("suppressor", "ALARM"), 6: ("suppressor", "OK")},
            {9: "ALARM"},
            id="5: not suppressed after ExtensionPeriod",
        ),
        pytest.param(
            {
                2: ("composite", "ALARM"),
                3: ("suppressor", "ALARM"),
                6: ("suppressor", "OK"),
                7: ("composite", "OK"),
            },
            {9: "OK"},
            id="6: a change in ExtensionPeriod starts a WaitPeriod",
        ),
        pytest.param(
            {
                2: ("composite", "ALARM"),
                3: ("suppressor", "ALARM"),
                6: ("suppressor", "OK"),
                8: ("suppressor", "ALARM"),
            },
            {},
            id="a suppressor that comes back goes on suppressing",
        ),
        pytest.param(
            {2: ("composite", "ALARM"), 6: ("suppressor", "ALARM"), 8: ("suppressor", "OK")},
            {4: "ALARM"},
            id="what was taken is not taken again",
        ),
    ],
)
def test_actions_are_taken_as_in_the_user_guide(
    events: dict[int, tuple[str, State]], taken: dict[int, State]
) -> None:
    assert Timeline().run(events, until_s=20) == taken


def test_a_suppressor_that_is_gone_holds_nothing() -> None:
    assert held_by(Held("Alarm", at(0), 60, 60), None, at(1)) is None


EVENTS = st.dictionaries(
    st.integers(1, 30),
    st.tuples(st.sampled_from(["composite", "suppressor"]), st.sampled_from(["OK", "ALARM"])),
)


@given(EVENTS)
def test_actions_are_never_taken_while_the_suppressor_is_in_alarm_and_always_once_it_is_quiet(
    events: dict[int, tuple[str, State]],
) -> None:
    timeline = Timeline()
    taken = timeline.run(events, until_s=40)
    suppressor: State = "OK"
    for second in range(41):
        what, state = events.get(second, ("nothing", "OK"))
        suppressor = state if what == "suppressor" else suppressor
        assert second not in taken or suppressor != "ALARM"
    changes = [second for second, (what, _) in events.items() if what == "composite"]
    if changes and suppressor == "OK":
        assert timeline.phase is None
        assert taken[max(taken)] == timeline.composite
    assert len(taken) <= len(changes)
