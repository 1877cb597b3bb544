"""The table of panels holds together, and shows all that rings."""

import pytest

from watch.alarms import RULES
from watch.panels import BY_KEY, PANELS, panels_of
from watch.tables.panel import Panel
from watch.tables.readings import (
    BACKEND_MODEL,
    ENDPOINT,
    ENDPOINT_TYPE,
    EVAL_DIMENSION,
    JUDGE,
    MODEL,
    TENANT,
    VARIANT,
)
from watch.tables.rules import MetricRule
from watch.tables.targets import SCOPES, Scope

FILLED_IN: dict[Scope, frozenset[str]] = {
    "platform": frozenset(),
    "tenant": frozenset({TENANT}),
    "endpoint": frozenset({ENDPOINT, VARIANT}),
    "model": frozenset({MODEL, ENDPOINT_TYPE, BACKEND_MODEL}),
    "scores": frozenset({TENANT, MODEL, EVAL_DIMENSION}),
    "judge": frozenset({JUDGE}),
}

TOLD_IN_WORDS = {"end-of-life", "epoch-changed", "calibration-old", "judge-uncalibrated", "telemetry-faults"}
"""A date, a moment and a count that is 0: nothing that a line over an hour would show."""

every_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)


def test_no_two_panels_have_the_same_key() -> None:
    assert len(BY_KEY) == len(PANELS)


def test_panels_of_all_scopes_are_all_panels() -> None:
    assert [panel for scope in SCOPES for panel in panels_of(scope)] == sorted(
        PANELS, key=lambda panel: SCOPES.index(panel.scope)
    )


@every_panel
def test_a_panel_answers_a_question_with_at_least_one_reading(panel: Panel) -> None:
    assert panel.question.endswith("?")
    assert panel.title
    assert panel.readings


@every_panel
def test_what_a_panel_needs_is_filled_in_by_what_it_is_about(panel: Panel) -> None:
    assert panel.variables <= FILLED_IN[panel.scope]


@every_panel
def test_lines_of_a_panel_can_be_told_apart(panel: Panel) -> None:
    labels = [reading.label for reading in panel.readings]
    assert len(set(labels)) == len(labels)


@every_panel
def test_nothing_is_drawn_twice_in_a_panel(panel: Panel) -> None:
    drawn = [(reading.metric, reading.statistic, reading.dimensions) for reading in panel.readings]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize(
    "rule",
    [rule for rule in RULES if isinstance(rule, MetricRule) and rule.key not in TOLD_IN_WORDS],
    ids=lambda rule: rule.key,
)
def test_what_rings_can_be_seen(rule: MetricRule) -> None:
    """Whoever is called finds the metric on a panel."""
    drawn = [reading for panel in PANELS for reading in panel.readings]
    assert any(reading.metric is rule.reading.metric for reading in drawn)
