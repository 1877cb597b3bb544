"""What `llm-platform watch` chooses and shows, without an account."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from harness.alarm_world import WORLD, alarms, foreign, present
from llmplatform.prices import load_prices
from operator_cli.console import CommandFailed
from operator_cli.doctor_watch import alarms_check, receivers_check
from operator_cli.watch_receivers import protocol_of
from operator_cli.watch_ring import choose
from operator_cli.watch_view import plan_facts
from watch.alarming.alarm_states import AlarmState
from watch.alarming.applying import Planned
from watch.alarming.counting import standing
from watch.alarming.definitions import SCOPE_TAG, rule_named
from watch.alarming.planning import PresentAlarm, Selection, plan
from watch.aws.world_reader import Seen

CRITICAL, WARNING = "arn:topic:critical", "arn:topic:warning"
TOPICS = (CRITICAL, WARNING)


def state(name: str, *, now: str = "OK", topic: str | None = WARNING, **more: object) -> AlarmState:
    alarm = AlarmState(
        name=name,
        state="OK",
        since=datetime(2026, 11, 29, tzinfo=UTC),
        reason="",
        description="",
        rule=rule_named(name),
        notifies=() if topic is None else (topic,),
        actions_enabled=True,
        suppressed_by=None,
        composite=False,
    )
    return replace(alarm, state=now, **more)  # type: ignore[arg-type]  # fields of a state, by name


LATENCY = state("llm-platform/tenant/acme/latency-p99")
FALLEN = state("llm-platform/scores/acme/m/tone/score-fallen", topic=CRITICAL)


def test_a_quiet_metric_alarm_that_notifies_is_rung() -> None:
    others = [
        state("llm-platform/a", topic=None),
        state("llm-platform/b", now="ALARM"),
        state("llm-platform/c", composite=True),
        state("llm-platform/d", actions_enabled=False),
        state("llm-platform/e", topic="arn:topic:theirs"),
        state("llm-platform/f", now="INSUFFICIENT_DATA"),
    ]
    assert choose([*others, LATENCY], TOPICS, None, None) == (LATENCY, WARNING)
    assert choose(others, TOPICS, None, None)[0].name == "llm-platform/f"


def test_the_topic_chooses_the_alarm() -> None:
    assert choose([LATENCY, FALLEN], TOPICS, CRITICAL, None) == (FALLEN, CRITICAL)


def test_a_named_alarm_may_be_a_composite_but_must_notify_and_be_quiet() -> None:
    composite = state("llm-platform/c", composite=True)
    assert choose([composite], TOPICS, None, "llm-platform/c") == (composite, WARNING)
    with pytest.raises(CommandFailed, match="tells nobody"):
        choose([state("llm-platform/a", topic=None)], TOPICS, None, "llm-platform/a")
    with pytest.raises(CommandFailed, match="rings already"):
        choose([state("llm-platform/b", now="ALARM")], TOPICS, None, "llm-platform/b")
    with pytest.raises(CommandFailed, match="there is no alarm"):
        choose([], TOPICS, None, "llm-platform/x")


def test_without_any_it_says_how_they_are_made() -> None:
    with pytest.raises(CommandFailed, match="watch apply"):
        choose([], TOPICS, None, None)


@pytest.mark.parametrize(
    ("address", "protocol"),
    [
        ("https://events.pagerduty.com/integration/k/enqueue", "https"),
        ("http://127.0.0.1:9000/hook", "http"),
        ("jane@example.com", "email"),
    ],
)
def test_an_address_tells_its_protocol(address: str, protocol: str) -> None:
    assert protocol_of(address) == protocol


@pytest.mark.parametrize(
    "address", ["http://example.com/x", "example.com", "ftp://x", "https://", "@", "+1555"]
)
def test_alarms_go_nowhere_in_the_clear(address: str) -> None:
    with pytest.raises(CommandFailed, match="https://"):
        protocol_of(address)


def planned(there: list[PresentAlarm], broken: Mapping[str, str] | None = None) -> Planned:
    wanted = alarms()
    made = plan(wanted.values(), there, Selection(platform_wide=True))
    stands = standing(
        made,
        there,
        wanted.values(),
        {"LLMPlatform/Cost": 3},
        load_prices(),
        at=date(2026, 11, 29),
        region="us-east-1",
    )
    return Planned(made, Seen(WORLD, broken or {}, {}), stands, ())


def test_doctor_is_content_when_all_are_what_they_should_be() -> None:
    check = alarms_check(planned([present(one) for one in alarms().values()]), console_known=True)
    assert (check.status, check.fix) == ("ok", "")


def test_doctor_says_how_many_are_missing_out_of_date_or_in_the_way() -> None:
    there = [present(one) for one in alarms().values()]
    there[0] = replace(there[0], fields={})
    there[1] = foreign(there[1])
    check = alarms_check(planned(there[:-2]), console_known=True)
    assert check.status == "warning"
    assert check.found == "2 missing, 1 out of date, 1 in the way of ours"


def test_doctor_leaves_the_platforms_alarms_to_the_deployment() -> None:
    there = [present(one) for one in alarms().values()]
    others = [alarm for alarm in there if alarm.tags[SCOPE_TAG] != "platform"]
    missing = alarms_check(planned(others), console_known=True)
    assert "deploy llm-platform-watch" in missing.fix
    assert "apply" not in missing.fix
    assert "watch apply" in alarms_check(planned(there[:-1]), console_known=True).fix


def test_doctor_compares_no_texts_with_a_console_that_nobody_named() -> None:
    there = [replace(present(one), fields={}) for one in alarms().values()]
    check = alarms_check(planned(there), console_known=False)
    assert check.found == f"{len(there)} out of date"
    assert "set the deployment's variables" in check.fix
    assert "apply" not in check.fix


def test_doctor_says_when_nobody_is_told() -> None:
    assert receivers_check({"critical": 1, "warning": 2}).status == "ok"
    deaf = receivers_check({"critical": 0, "warning": 1})
    assert (deaf.status, deaf.found) == ("warning", "nobody is told what is critical")


def test_a_plan_for_programs_has_exact_amounts() -> None:
    facts = plan_facts(planned([], {"initech": "policy of tenant initech: missing"}))
    assert facts["usd_per_month"]["series of LLMPlatform/Cost"] == "0.90"
    assert facts["alarms"]["total"] == len(facts["create"])
    assert facts["broken_tenants"] == {"initech": "policy of tenant initech: missing"}
