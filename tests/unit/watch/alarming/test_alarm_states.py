"""What an alarm's document and its history are read as."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from watch.alarming.alarm_states import alarm_state, history_item

SINCE = datetime(2026, 11, 29, 12, 30, tzinfo=UTC)
TOPIC = "arn:aws:sns:us-east-1:000000000000:llm-platform-warning"


def document(name: str, state: str = "ALARM", **fields: Any) -> dict[str, Any]:
    return {
        "AlarmName": name,
        "StateValue": state,
        "StateTransitionedTimestamp": SINCE,
        "StateUpdatedTimestamp": SINCE + timedelta(minutes=1),
        **fields,
    }


def test_a_name_tells_the_rule_the_subject_and_the_tenant() -> None:
    alarm = alarm_state(document("llm-platform/scores/acme/vendor/model:1/relevance/score-fallen"))
    assert (alarm.key, alarm.severity, alarm.tenant_id) == ("score-fallen", "critical", "acme")
    assert alarm.subject == "scores/acme/vendor/model:1/relevance"
    assert alarm.since == SINCE


def test_an_alarm_of_no_tenant_belongs_to_none() -> None:
    assert alarm_state(document("llm-platform/endpoint/llama/AllTraffic/gpu-failing")).tenant_id is None
    assert alarm_state(document("llm-platform/platform/sink-dropped-ledger")).tenant_id is None


def test_a_name_that_is_in_no_table_is_shown_as_it_is() -> None:
    alarm = alarm_state(document("llm-platform/tenant/acme/made-by-hand"))
    assert (alarm.rule, alarm.title, alarm.severity) == (None, "llm-platform/tenant/acme/made-by-hand", None)
    assert alarm.rings


def test_what_another_alarm_speaks_for_does_not_ring_itself() -> None:
    part = alarm_state(document("llm-platform/endpoint/llama/AllTraffic/gpu-pressure"))
    silent = alarm_state(document("llm-platform/endpoint/llama/AllTraffic/gpu-utilization"))
    notice = alarm_state(
        document(
            "llm-platform/endpoint/llama/AllTraffic/gpu-utilization.notice",
            AlarmRule="ALARM(...)",
            AlarmActions=[TOPIC],
        )
    )
    # Where its suppressor does not exist, the alarm tells people itself.
    direct = alarm_state(
        document("llm-platform/endpoint/llama/AllTraffic/gpu-utilization", AlarmActions=[TOPIC])
    )
    assert [part.rings, silent.rings, notice.rings, direct.rings] == [False, False, True, True]


def test_information_rings_though_nobody_is_told() -> None:
    assert alarm_state(document("llm-platform/scores/acme/small/relevance/epoch-changed")).rings


def test_the_view_has_the_time_around_the_moment() -> None:
    now = SINCE + timedelta(hours=5)
    ringing = alarm_state(document("llm-platform/tenant/acme/ttft-p99"))
    assert ringing.view(now) == "/tenants/acme?from=2026-11-29T12:00Z&to=2026-11-29T17:30Z"
    over = alarm_state(document("llm-platform/tenant/acme/ttft-p99", "OK"))
    assert over.view(now) == "/tenants/acme?from=2026-11-29T12:00Z&to=2026-11-29T12:45Z"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("endpoint/ll ama/AllTraffic/disk", "/endpoints/ll%20ama"),
        ("model/vendor/model:1/circuit-open", "/models/vendor%2Fmodel%3A1"),
        ("scores/acme/vendor/m:1/relevance/score-fallen", "/evaluations/acme"),
        ("judge/9ed3d4edfed76d71/calibration-old", "/evaluations"),
        ("platform/cost-late", "/platform"),
    ],
)
def test_each_kind_of_alarm_leads_to_its_page(name: str, path: str) -> None:
    view = alarm_state(document(f"llm-platform/{name}")).view(SINCE)
    assert view.partition("?")[0] == path


def test_scores_lead_to_their_model_and_dimension() -> None:
    view = alarm_state(document("llm-platform/scores/acme/vendor/m:1/relevance/score-fallen")).view(SINCE)
    assert "model=vendor%2Fm:1&dimension=relevance&" in view


def test_history_tells_states_and_who_was_told() -> None:
    update = history_item(
        {
            "AlarmName": "a",
            "Timestamp": SINCE,
            "HistoryItemType": "StateUpdate",
            "HistorySummary": "Alarm updated from OK to ALARM",
            "HistoryData": json.dumps({"newState": {"stateValue": "ALARM", "stateReason": "too much"}}),
        }
    )
    assert (update.state, update.reason) == ("ALARM", "too much")
    action = history_item(
        {
            "AlarmName": "a",
            "Timestamp": SINCE,
            "HistoryItemType": "Action",
            "HistoryData": json.dumps({"actionState": "Failed", "notificationResource": TOPIC}),
        }
    )
    assert (action.action, action.outcome) == (TOPIC, "Failed")


@pytest.mark.parametrize("data", [None, "", "no JSON", "[]", '"text"'])
def test_history_that_cannot_be_read_is_still_told(data: str | None) -> None:
    item = history_item(
        {"AlarmName": "a", "Timestamp": SINCE, "HistoryItemType": "StateUpdate", "HistoryData": data}
    )
    assert (item.at, item.state) == (SINCE, None)
