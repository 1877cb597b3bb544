"""Whoever may have used something is read."""

from datetime import UTC, datetime

from costagg.roster import roster
from llmplatform.costs import HourStatus

HOUR = datetime(2026, 11, 23, 20, tzinfo=UTC)


def test_everybody_who_may_have_used_something_is_read_once() -> None:
    before = HourStatus(
        HOUR, "closed", 1, 1, amounts_usd=dict.fromkeys(("_platform", "_unused", "acme", "was-removed"))
    )
    assert roster(["acme", "globex"], ["was-erased"], ["acme", "came-and-went", "_unknown"], [before]) == (
        "_platform",
        "acme",
        "came-and-went",
        "globex",
        "was-erased",
        "was-removed",
    )


def test_the_platform_itself_is_always_read() -> None:
    assert roster([], [], [], []) == ("_platform",)
