from dataclasses import replace
from datetime import UTC, datetime, timedelta

from operator_cli.drill.course import Course, Expected, Heard, Incident, Shown, facts_of, lacking_in
from operator_cli.drill.scenarios import SCENARIOS
from watch.alarming.definitions import rule_named
from watch.alarming.receiving import Notification

CONSOLE = "http://127.0.0.1:8100"
BROKEN = datetime(2026, 11, 29, 20, 0, tzinfo=UTC)
EXPECTED = Expected("endpoint/large/AllTraffic/gpu-failing", within_s=240, quiet_within_s=480)
DESCRIPTION = f"""GPUs are under pressure and the endpoint is failing: endpoint large, variant AllTraffic.
Rings while gpu-pressure and endpoint-errors:
- gpu-pressure: Maximum GPUUtilization above 90% summed over the GPUs, 2 of 4 x 1 min
View: {CONSOLE}/alarms/llm-platform%2Fendpoint%2Flarge%2FAllTraffic%2Fgpu-failing
Runbook: {CONSOLE}/runbooks/gpu-failing"""
SAID = Notification(
    subject="ALARM",
    alarm=EXPECTED.name,
    state="ALARM",
    old_state="OK",
    reason="two of its parts",
    changed_at="2026-11-29T20:02:00.000+0000",
    description=DESCRIPTION,
    published_at=BROKEN,
)


def at(seconds: float) -> datetime:
    return BROKEN + timedelta(seconds=seconds)


def course(**changes: object) -> Course:
    made = Course(
        EXPECTED,
        has_notice=False,
        since=BROKEN,
        rang_at=at(130),
        heard=Heard(at(131), "llm-platform-critical", SAID),
        shown=Shown(at(133), "critical ...", f"{CONSOLE}/", f"{CONSOLE}/alarms/x", "State ALARM"),
        healed_at=at(140),
        quiet_at=at(400),
        over=Heard(at(401), "llm-platform-critical", replace(SAID, state="OK")),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # each of its own field's type


def test_all_that_has_to_happen_and_did_is_no_problem() -> None:
    assert course().problems(CONSOLE) == ()


def test_an_alarm_that_did_not_ring_is_the_one_problem() -> None:
    silent = course(rang_at=None, heard=None, shown=None, quiet_at=None, over=None)
    assert silent.problems(CONSOLE) == ("did not ring within 240 s",)


def test_an_alarm_that_rang_late_is_a_problem() -> None:
    assert course(rang_at=at(241)).problems(CONSOLE) == ("rang after 241 s, more than 240 s",)


def test_a_message_that_did_not_come_is_a_problem() -> None:
    assert "no message within 45 s" in course(heard=None).problems(CONSOLE)


def test_a_notice_has_the_time_that_it_waits_for_its_suppressor() -> None:
    assert "no message within 180 s" in course(heard=None, has_notice=True).problems(CONSOLE)
    assert course(has_notice=True).told_as == f"{EXPECTED.name}.notice"


def test_what_the_console_did_not_show_is_a_problem() -> None:
    assert "the console did not show it within 60 s" in course(shown=None).problems(CONSOLE)


def test_a_link_of_the_console_that_leads_nowhere_is_a_problem() -> None:
    shown = course().shown
    assert shown is not None
    broken = replace(shown, unanswered=(f"{CONSOLE}/nowhere (404)",))
    assert course(shown=broken).problems(CONSOLE) == (f"a link leads nowhere: {CONSOLE}/nowhere (404)",)


def test_an_alarm_that_rings_on_is_a_problem() -> None:
    assert course(quiet_at=None).problems(CONSOLE) == ("still rings 480 s after all is well",)
    assert course(over=None).problems(CONSOLE) == ("no message that it is over",)


def test_the_end_is_not_waited_for_where_a_rule_keeps_an_alarm_on() -> None:
    kept_on = replace(EXPECTED, quiet_within_s=None)
    assert course(expected=kept_on, quiet_at=None, over=None).problems(CONSOLE) == ()


def test_a_message_names_whom_it_is_about_and_where_to_look() -> None:
    assert lacking_in(SAID, EXPECTED, CONSOLE) == ()


def test_a_message_without_threshold_links_or_endpoint_lacks_them() -> None:
    bare = replace(SAID, description="Something is wrong", reason="")
    assert lacking_in(bare, EXPECTED, CONSOLE) == (
        "large",
        "AllTraffic",
        "what is wrong",
        "a threshold",
        "the view",
        "the runbook",
        "why",
    )


def test_links_to_another_console_are_not_the_view() -> None:
    assert lacking_in(SAID, EXPECTED, "http://127.0.0.1:9999") == ("the view", "the runbook")


def test_an_alarm_about_scores_names_tenant_model_and_dimension() -> None:
    assert Expected("scores/shop/model/relevance/score-fallen", 1, 1).about == ("shop", "model", "relevance")
    assert Expected("tenant/shop/availability-burn-fast", 1, 1).about == ("shop",)
    assert Expected("platform/unpriced-usage", 1, 1).about == ("the platform",)


def test_an_incident_has_the_problems_of_its_alarms_and_its_own() -> None:
    incident = Incident("slow", "broken", BROKEN, [course(shown=None)], problems=["found late"])
    assert incident.all_problems(CONSOLE) == (
        "found late",
        "endpoint/large/AllTraffic/gpu-failing: the console did not show it within 60 s",
    )


def test_what_did_not_happen_is_null_for_programs() -> None:
    silent = course(rang_at=None, heard=None, shown=None, quiet_at=None, over=None)
    told = facts_of(Incident("slow", "broken", BROKEN, [silent]), CONSOLE)["alarms"][0]
    assert (told["rang_at"], told["after_s"], told["message_at"], told["console"]) == (None, None, None, None)
    assert facts_of(Incident("slow", "broken", BROKEN, [course()]), CONSOLE)["alarms"][0]["after_s"] == 130.0


def test_every_alarm_that_a_scenario_waits_for_is_in_the_table_of_alarms() -> None:
    for scenario in SCENARIOS:
        assert scenario.expected
        for expected in scenario.expected:
            assert rule_named(expected.name) is not None, expected.alarm
