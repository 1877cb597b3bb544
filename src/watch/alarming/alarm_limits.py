"""What CloudWatch takes of an alarm, as named constants, and what of an alarm is beyond it. Pure.

Sources: "PutMetricAlarm", "PutCompositeAlarm", "TagResource" (CloudWatch API reference) and "CloudWatch
service quotas" (user guide), November 2026.
"""

import re
from collections.abc import Sequence
from typing import Final

MAX_NAME_CHARS: Final = 255
MAX_DESCRIPTION_CHARS: Final = 1_024
MAX_RULE_CHARS: Final = 10_240
MAX_RULE_CHILDREN: Final = 100
"""Alarms that the rule of one composite names."""
MAX_ACTIONS: Final = 5
"""For each state."""
MAX_TAGS: Final = 50
MAX_TAG_KEY_CHARS: Final = 128
MAX_TAG_VALUE_CHARS: Final = 256
MAX_DIMENSIONS: Final = 30
MAX_ANOMALY_DETECTORS: Final = 500
"""Anomaly detection models of an account and region; each alarm on a band needs one."""

HIGH_RESOLUTION_PERIODS_S: Final = (10, 20, 30)
"""Shorter than a minute: another price, and only for metrics that are stored by the second."""
MINUTE_S: Final = 60
HOUR_S: Final = 3_600
MAX_PERIOD_S: Final = 86_400
MAX_WINDOW_S: Final = 86_400
"""Period times number of periods, for periods under an hour."""
MAX_LONG_WINDOW_S: Final = 604_800
"""The same from an hour on."""

MAX_SUPPRESSOR_S: Final = 86_400

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class AlarmTooLarge(ValueError):
    """CloudWatch would not take the alarm; the message names it and what is too much."""


def check_name(name: str) -> None:
    """Raises AlarmTooLarge for what cannot be an alarm's name, or cannot be quoted in a composite's rule."""
    if not name or len(name) > MAX_NAME_CHARS:
        raise AlarmTooLarge(f"alarm {name}: {len(name)} characters, a name has 1 to {MAX_NAME_CHARS}")
    if _CONTROL.search(name) or '"' in name or "\\" in name:
        raise AlarmTooLarge(f"alarm {name!r}: control characters, quotes and backslashes cannot be quoted")


def check_text(name: str, description: str, tags: Sequence[tuple[str, str]]) -> None:
    """Raises AlarmTooLarge for a description or tags that are too long or too many."""
    if len(description) > MAX_DESCRIPTION_CHARS:
        raise AlarmTooLarge(
            f"alarm {name}: a description of {len(description)} characters, {MAX_DESCRIPTION_CHARS} at most"
        )
    if len(tags) > MAX_TAGS:
        raise AlarmTooLarge(f"alarm {name}: {len(tags)} tags, {MAX_TAGS} at most")
    for key, value in tags:
        if len(key) > MAX_TAG_KEY_CHARS or len(value) > MAX_TAG_VALUE_CHARS:
            raise AlarmTooLarge(f"alarm {name}: tag {key} is too long")


def check_actions(name: str, actions: Sequence[str]) -> None:
    """Raises AlarmTooLarge for more actions than a state may have."""
    if len(actions) > MAX_ACTIONS:
        raise AlarmTooLarge(f"alarm {name}: {len(actions)} actions, {MAX_ACTIONS} at most")


def check_window(name: str, period_s: int, periods: int) -> None:
    """Raises AlarmTooLarge for a period that there is not, or too many of them."""
    if period_s not in HIGH_RESOLUTION_PERIODS_S and (
        period_s < MINUTE_S or period_s % MINUTE_S or period_s > MAX_PERIOD_S
    ):
        raise AlarmTooLarge(f"alarm {name}: there is no period of {period_s} s")
    most_s = MAX_LONG_WINDOW_S if period_s >= HOUR_S else MAX_WINDOW_S
    if periods < 1 or period_s * periods > most_s:
        raise AlarmTooLarge(f"alarm {name}: {periods} periods of {period_s} s are more than {most_s} s")


def check_rule(name: str, rule: str, children: int) -> None:
    """Raises AlarmTooLarge for a composite's rule that is too long or names too many."""
    if len(rule) > MAX_RULE_CHARS:
        raise AlarmTooLarge(f"alarm {name}: a rule of {len(rule)} characters, {MAX_RULE_CHARS} at most")
    if children > MAX_RULE_CHILDREN:
        raise AlarmTooLarge(f"alarm {name}: a rule on {children} alarms, {MAX_RULE_CHILDREN} at most")
