import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import exp
from typing import Any

import msgspec
import pytest

from evalworker.drift.detector import MONTH_MINUTES
from evalworker.drift.fold import SeriesFold
from evalworker.drift.publish import current_epochs, missing_line, published_series, score_lines, statuses_of
from evalworker.drift.rows import TenantDrift, Watched, decode_tenant, encode_tenant, hour_entry, known_series
from evalworker.drift.settings import DriftSettings
from llmplatform.errors import TelemetryFault
from llmplatform.eval_series import Series
from llmplatform.eval_status import LOOKED, Look, decode_look, decode_statuses

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SETTINGS = DriftSettings()
OLD = Series("acme", "small", "relevance", "judge-a")
NEW = replace(OLD, epoch="judge-b")


def fold(*, began_h: float, latest_min: float) -> SeriesFold:
    """A series that began and had its last scores so long ago."""
    latest = NOW - timedelta(minutes=latest_min)
    kept = SeriesFold(began=NOW - timedelta(hours=began_h))
    return replace(kept, state=replace(kept.state, as_of=latest))


def parsed(line: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(line)
    return decoded


def test_of_two_judges_that_both_score_the_newer_one_is_current() -> None:
    folds = {OLD: fold(began_h=500, latest_min=1), NEW: fold(began_h=0.1, latest_min=3)}
    assert current_epochs(folds, SETTINGS) == {NEW}


def test_a_judge_that_ended_is_not_current_however_late_it_began() -> None:
    folds = {OLD: fold(began_h=500, latest_min=1), NEW: fold(began_h=3, latest_min=17)}
    assert current_epochs(folds, SETTINGS) == {OLD}


def test_models_and_dimensions_have_their_own_epochs() -> None:
    other = replace(NEW, model_id="large")
    folds = {OLD: fold(began_h=500, latest_min=1), other: fold(began_h=1, latest_min=1)}
    assert current_epochs(folds, SETTINGS) == {OLD, other}


def test_what_was_silent_for_a_week_is_not_published() -> None:
    folds = {OLD: fold(began_h=500, latest_min=7 * 1440 + 1)}
    assert published_series(folds, NOW, SETTINGS) == ([], 0)
    assert published_series(folds, NOW - timedelta(minutes=2), SETTINGS) == ([OLD], 0)


def test_all_series_that_can_ring_share_one_false_alarm_a_month() -> None:
    expected = SETTINGS.max_published * MONTH_MINUTES / exp(SETTINGS.detector.log_threshold)
    assert expected == pytest.approx(1)


def test_series_over_the_limit_are_counted_and_the_busiest_stay() -> None:
    folds = {replace(OLD, model_id=f"model-{at}"): fold(began_h=500, latest_min=at) for at in range(5)}
    published, left_out = published_series(folds, NOW, replace(SETTINGS, max_published=3))
    assert [series.model_id for series in published] == ["model-0", "model-1", "model-2"]
    assert left_out == 2


def test_a_series_that_warms_up_publishes_no_state() -> None:
    statuses = {
        status.series: status for status in statuses_of({OLD: fold(began_h=1, latest_min=1)}, NOW, SETTINGS)
    }
    warming = {OLD: msgspec.structs.replace(statuses[OLD], status="warming_up")}
    assert list(score_lines(NOW, warming, [OLD], frozenset())) == []
    (line,) = score_lines(NOW, warming, [OLD], frozenset({OLD}))
    assert parsed(line)["epoch_changed"] == 1
    assert "score_fallen" not in parsed(line)


def test_missing_scores_are_told_by_tenant_and_by_stage_on_one_line() -> None:
    line = parsed(missing_line(NOW, "acme", "judge"))
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["tenant_id"], ["stage"]]
    assert (line["scores_missing"], line["stage"]) == (1, "judge")
    line = parsed(missing_line(NOW, "acme", None))
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["tenant_id"]]
    assert line["scores_missing"] == 0


def test_a_tenants_row_keeps_its_series_and_tells_how_they_stand() -> None:
    folds = {OLD: fold(began_h=500, latest_min=1), NEW: fold(began_h=0.1, latest_min=3)}
    drift = TenantDrift(judged_through=NOW, folds={series.key: kept for series, kept in folds.items()})
    item = encode_tenant("acme", drift, statuses_of(folds, NOW, SETTINGS), 7, NOW)
    assert decode_tenant(item) == drift
    assert known_series(item) == (OLD, NEW)
    assert [(status.series, status.current) for status in decode_statuses(item)] == [
        (OLD, False),
        (NEW, True),
    ]
    assert decode_look(item) == Look(NOW)
    with pytest.raises(TelemetryFault, match="rebuild"):
        decode_tenant({**item, "state": {"B": b"of another version"}})


def test_a_tenants_row_tells_where_its_scores_get_lost() -> None:
    checked = NOW - timedelta(minutes=4)
    item = encode_tenant("acme", TenantDrift(watched=Watched(checked, "judge")), (), 7, NOW)
    assert decode_look(item) == Look(NOW, "judge", checked)
    before = {name: value for name, value in item.items() if name != LOOKED}
    assert decode_look(before) is None
    with pytest.raises(TelemetryFault, match="look"):
        decode_look({LOOKED: {"S": "[]"}})


def test_hours_of_a_series_sort_by_time() -> None:
    entries = [hour_entry(OLD, NOW + timedelta(hours=hour)) for hour in range(30)]
    assert entries == sorted(entries)
    assert entries[0] == "hour#small#relevance#judge-a#2026-11-23T12"
