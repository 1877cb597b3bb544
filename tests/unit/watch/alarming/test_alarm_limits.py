"""What CloudWatch would refuse is refused before it is asked."""

import pytest

from harness.alarm_world import alarms
from watch.alarming import alarm_limits
from watch.alarming.alarm_limits import AlarmTooLarge
from watch.alarming.definitions import MetricAlarm


def test_a_name_has_up_to_255_characters() -> None:
    alarm_limits.check_name("a" * 255)
    for name in ("", "a" * 256):
        with pytest.raises(AlarmTooLarge, match="1 to 255"):
            alarm_limits.check_name(name)


@pytest.mark.parametrize("letter", ['"', "\\", "\n", "\x7f"])
def test_a_name_has_nothing_that_cannot_be_quoted(letter: str) -> None:
    with pytest.raises(AlarmTooLarge, match="quoted"):
        alarm_limits.check_name(f"a{letter}b")


def test_a_description_has_up_to_1024_characters() -> None:
    alarm_limits.check_text("a", "d" * 1_024, ())
    with pytest.raises(AlarmTooLarge, match="1025 characters"):
        alarm_limits.check_text("a", "d" * 1_025, ())


def test_an_alarm_has_up_to_50_tags_of_limited_length() -> None:
    alarm_limits.check_text("a", "", tuple((str(n), "v") for n in range(50)))
    with pytest.raises(AlarmTooLarge, match="51 tags"):
        alarm_limits.check_text("a", "", tuple((str(n), "v") for n in range(51)))
    for tag in (("k" * 129, "v"), ("k", "v" * 257)):
        with pytest.raises(AlarmTooLarge, match="too long"):
            alarm_limits.check_text("a", "", (tag,))


def test_a_state_has_up_to_five_actions() -> None:
    alarm_limits.check_actions("a", ["t"] * 5)
    with pytest.raises(AlarmTooLarge, match="6 actions"):
        alarm_limits.check_actions("a", ["t"] * 6)


@pytest.mark.parametrize(
    ("period_s", "periods"), [(10, 1), (60, 1_440), (300, 288), (3_600, 168), (21_600, 28), (86_400, 7)]
)
def test_a_window_is_a_day_of_minutes_or_a_week_of_hours(period_s: int, periods: int) -> None:
    alarm_limits.check_window("a", period_s, periods)
    with pytest.raises(AlarmTooLarge, match="are more than"):
        alarm_limits.check_window("a", period_s, 8_641 if period_s == 10 else periods + 1)


@pytest.mark.parametrize("period_s", [0, 1, 15, 45, 90, 86_460, 172_800])
def test_a_period_is_10_20_30_or_whole_minutes_up_to_a_day(period_s: int) -> None:
    with pytest.raises(AlarmTooLarge, match="no period"):
        alarm_limits.check_window("a", period_s, 1)


def test_a_rule_has_up_to_10240_characters_and_100_children() -> None:
    alarm_limits.check_rule("a", "r" * 10_240, 100)
    with pytest.raises(AlarmTooLarge, match="10241"):
        alarm_limits.check_rule("a", "r" * 10_241, 1)
    with pytest.raises(AlarmTooLarge, match="101 alarms"):
        alarm_limits.check_rule("a", "r", 101)


def test_no_alarm_of_the_table_is_a_dear_high_resolution_one() -> None:
    for alarm in alarms().values():
        if isinstance(alarm, MetricAlarm):
            assert alarm.period_s >= alarm_limits.MINUTE_S
            assert len(alarm.series.dimensions) <= alarm_limits.MAX_DIMENSIONS
