"""Which hours a run computes, when one closes, and what an operator may ask for."""

from datetime import UTC, datetime, timedelta

import pytest

from costagg.hours import HourRules, asked_hours, cost_age_s, hours_due, state_after
from llmplatform.costs import HourState, HourStatus
from llmplatform.errors import ConfigFault

NOW = datetime(2026, 11, 23, 20, 5, tzinfo=UTC)
RUNNING = datetime(2026, 11, 23, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
RULES = HourRules()


def status(
    hour: datetime, state: HourState = "closed", *, claimed: int = 1, run: int = 1, late: timedelta = 8 * HOUR
) -> HourStatus:
    return HourStatus(hour, state, claimed_run=claimed, run=run, computed_at=hour + late if run else None)


def statuses(*every: HourStatus) -> dict[datetime, HourStatus]:
    return {one.hour: one for one in every}


def test_a_first_run_looks_back_as_far_as_any() -> None:
    plan = hours_due(NOW, {}, RULES)
    assert len(plan.hours) == 73
    assert (plan.hours[0], plan.hours[-1]) == (RUNNING - 72 * HOUR, RUNNING)
    assert plan.left_open == ()


def test_only_hours_that_are_not_closed_are_computed_again() -> None:
    known = {RUNNING - back * HOUR: status(RUNNING - back * HOUR) for back in range(1, 73)}
    open_again = RUNNING - 30 * HOUR
    known[open_again] = status(open_again, "open")
    assert hours_due(NOW, known, RULES).hours == (open_again, RUNNING)


def test_a_closed_hour_that_somebody_began_again_is_computed_again() -> None:
    known = {RUNNING - back * HOUR: status(RUNNING - back * HOUR) for back in range(1, 73)}
    begun = RUNNING - 2 * HOUR
    known[begun] = status(begun, claimed=2, run=1)
    assert begun in hours_due(NOW, known, RULES).hours


def test_the_running_hour_is_computed_as_far_as_it_is() -> None:
    assert hours_due(RUNNING, {}, RULES).hours[-1] == RUNNING
    assert hours_due(RUNNING - timedelta(microseconds=1), {}, RULES).hours[-1] == RUNNING - HOUR


def test_older_hours_that_were_left_open_are_told_and_not_computed() -> None:
    older = RUNNING - 73 * HOUR
    dead = RUNNING - 75 * HOUR
    known = statuses(status(older, "open"), status(dead, claimed=1, run=0), status(RUNNING - 74 * HOUR))
    plan = hours_due(NOW, known, RULES)
    assert plan.left_open == (dead, older)
    assert older not in plan.hours


def test_hours_that_no_run_ever_came_to_are_told_too() -> None:
    """A job that was down for longer than it looks back lost these hours' dollars without a word."""
    last = RUNNING - 76 * HOUR
    plan = hours_due(NOW, statuses(status(last - HOUR), status(last), status(RUNNING - HOUR)), RULES)
    assert plan.left_open == tuple(last + at * HOUR for at in range(1, 4))
    assert plan.hours[0] == last + 4 * HOUR


def test_a_clock_elsewhere_gives_the_same_hours() -> None:
    there = NOW.astimezone(tz=datetime.strptime("+0530", "%z").tzinfo)
    assert hours_due(there, {}, RULES) == hours_due(NOW, {}, RULES)


@pytest.mark.parametrize(
    ("after_end", "whole", "expected"),
    [
        (timedelta(0), True, "open"),
        (6 * HOUR - timedelta(microseconds=1), True, "open"),
        (6 * HOUR, True, "closed"),
        (400 * HOUR, True, "closed"),
        (6 * HOUR, False, "open"),
        (65 * HOUR - timedelta(microseconds=1), False, "open"),
        (65 * HOUR, False, "closed"),
    ],
)
def test_an_hour_closes_when_late_rows_have_had_their_time(
    after_end: timedelta,
    whole: bool,  # noqa: FBT001  # a parameter of the cases
    expected: HourState,
) -> None:
    assert state_after(RUNNING, RUNNING + HOUR + after_end, RULES, whole=whole) == expected


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("close_after", "look_back"), [(6, 72), (0, 2), (6, 8), (1.5, 24), (48, 72)])
def test_an_hourly_run_closes_every_hour_while_it_still_looks_at_it(
    close_after: float,
    look_back: int,
    whole: bool,  # noqa: FBT001  # a parameter of the cases
) -> None:
    rules = HourRules(timedelta(hours=close_after), timedelta(hours=look_back))
    known: dict[datetime, HourStatus] = {}
    for at in range(3 * look_back):
        now = NOW + at * HOUR
        plan = hours_due(now, known, rules)
        assert plan.left_open == ()
        for hour in plan.hours:
            known[hour] = status(hour, state_after(hour, now, rules, whole=whole))


def test_an_hour_without_rows_to_wait_for_is_open_while_it_runs() -> None:
    rules = HourRules(close_after=timedelta(0))
    assert state_after(RUNNING, RUNNING + HOUR - timedelta(seconds=1), rules, whole=True) == "open"
    assert state_after(RUNNING, RUNNING + HOUR, rules, whole=True) == "closed"


@pytest.mark.parametrize(("close_after", "look_back"), [(-1, 72), (6, 7), (72, 72)])
def test_rules_under_which_no_hour_could_close_stop_the_start(close_after: int, look_back: int) -> None:
    with pytest.raises(ConfigFault, match="COST_"):
        HourRules(timedelta(hours=close_after), timedelta(hours=look_back))


def test_one_hour_can_be_asked_for() -> None:
    assert asked_hours(NOW) == ()
    assert asked_hours(NOW, hour="2026-11-23T19") == (RUNNING - HOUR,)


def test_a_range_has_both_its_ends_and_ends_now_unless_told() -> None:
    assert asked_hours(NOW, first="2026-11-23T18", last="2026-11-23T19") == (
        RUNNING - 2 * HOUR,
        RUNNING - HOUR,
    )
    assert asked_hours(NOW, first="2026-11-23T19")[-1] == RUNNING
    assert len(asked_hours(NOW, first="2026-11-22T20", last="2026-11-23T20")) == 25


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-23",
        "2026-11-23T",
        "2026-11-23T24",
        "2026-02-30T10",
        "2026-11-23T20:00",
        "2026-11-23T20Z",
        " 2026-11-23T20",
        "2026-11-23T20\n",
        "\uff12026-11-23T20",  # a digit of another script
        "yesterday",
    ],
)
@pytest.mark.parametrize("option", ["--hour", "--from", "--to"])
def test_what_is_no_hour_is_told_with_its_option_and_the_form(option: str, text: str) -> None:
    asked = {
        "--hour": {"hour": text},
        "--from": {"first": text},
        "--to": {"first": "2026-11-23T19", "last": text},
    }
    with pytest.raises(ConfigFault, match=rf"^{option}: .*2026-11-23T20$"):
        asked_hours(NOW, **asked[option])


@pytest.mark.parametrize(
    ("hour", "first", "last", "message"),
    [
        ("2026-11-23T19", "2026-11-23T18", None, "--hour: goes without"),
        ("2026-11-23T19", None, "2026-11-23T20", "--hour: goes without"),
        (None, None, "2026-11-23T19", "--to: needs --from"),
        (None, "2026-11-23T19", "2026-11-23T18", "--to: is before --from"),
        ("2026-11-23T21", None, None, "--hour: 2026-11-23T21 has not begun"),
        (None, "2026-11-23T19", "2026-11-24T00", "--to: 2026-11-24T00 has not begun"),
        (None, "2026-08-25T20", None, "--from: the ledger keeps 90 days"),
    ],
)
def test_hours_that_cannot_be_computed_are_refused(
    hour: str | None, first: str | None, last: str | None, message: str
) -> None:
    with pytest.raises(ConfigFault, match=f"^{message}"):
        asked_hours(NOW, hour=hour, first=first, last=last)


def test_the_oldest_hour_that_is_whole_in_the_ledger_can_be_computed() -> None:
    assert len(asked_hours(NOW, hour="2026-08-25T21")) == 1


def test_the_age_of_cost_is_from_the_newest_hour_that_was_computed_whole() -> None:
    known = statuses(
        status(RUNNING - 3 * HOUR, "open"),
        status(RUNNING - 2 * HOUR, "open", late=HOUR),
        status(RUNNING - HOUR, "open", late=timedelta(minutes=59)),  # while it ran
        status(RUNNING, claimed=1, run=0),
    )
    assert cost_age_s(NOW, known) == 3_600 + 300
    assert cost_age_s(NOW, {}) is None
    assert cost_age_s(NOW, statuses(status(RUNNING, claimed=3, run=0))) is None
