"""docs/alarms.md tells of every alarm, as the table of alarms has it."""

from harness.alarm_table import DOCUMENT, written
from watch.alarming.definitions import SUPPRESSOR_EXTENSION_S, SUPPRESSOR_WAIT_S
from watch.alarms import RULES

TEXT = DOCUMENT.read_text(encoding="utf-8")


def test_the_table_of_the_document_is_the_table_of_alarms() -> None:
    assert written(TEXT) == TEXT, "run: PYTHONPATH=tests python -m harness.alarm_table"


def test_every_rule_is_in_it() -> None:
    for rule in RULES:
        assert f"[{rule.key}](runbooks/{rule.page}.md)" in TEXT


def test_the_periods_of_suppressors_are_told() -> None:
    assert f"{SUPPRESSOR_WAIT_S} s" in TEXT
    assert f"{SUPPRESSOR_EXTENSION_S} s" in TEXT
