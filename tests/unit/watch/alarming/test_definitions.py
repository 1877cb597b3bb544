"""Which alarms become of the table, and how they are tied together."""

import re
from dataclasses import replace
from urllib.parse import quote

import pytest

from harness.alarm_world import ACCOUNT, ACME, CONSOLE, GLOBEX, WORLD, alarms
from llmplatform.aws.tables import CRITICAL_ALARMS, WARNING_ALARMS
from watch.alarming import alarm_limits
from watch.alarming.definitions import (
    NOTICE,
    PREFIX,
    SUPPRESSOR_EXTENSION_S,
    SUPPRESSOR_WAIT_S,
    CompositeAlarm,
    MetricAlarm,
    alarm_name,
    definitions,
    definitions_of,
    in_order,
    rule_named,
    tenant_of,
)
from watch.alarms import RULES
from watch.limits import Limits
from watch.tables.rules import CompositeRule, MetricRule, all_of, any_of
from watch.tables.targets import EndpointVariant, Model, Platform, Tenant

ALARMS = alarms()
FAILING = "llm-platform/endpoint/llama-3-8b-support/AllTraffic/gpu-failing"


def composite(name: str) -> CompositeAlarm:
    alarm = ALARMS[name]
    assert isinstance(alarm, CompositeAlarm)
    return alarm


def topic(name: str) -> str:
    return f"arn:aws:sns:us-east-1:123456789012:{name}"


def test_every_rule_becomes_an_alarm_of_some_target() -> None:
    made = {alarm.told.rule.key for alarm in ALARMS.values()}
    # Nobody here has a budget in tokens.
    assert {rule.key for rule in RULES} - made == {"budget-tokens", "budget-tokens-projected"}


def test_names_are_prefix_target_and_key_and_no_two_are_alike() -> None:
    assert "llm-platform/tenant/acme/ttft-p99" in ALARMS
    assert "llm-platform/scores/acme/smollm2-135m/relevance/score-fallen" in ALARMS
    assert "llm-platform/platform/gateway-unavailable" in ALARMS
    assert "llm-platform/judge/abc123/calibration-old" in ALARMS
    assert all(name.startswith(PREFIX) for name in ALARMS)


def test_without_a_threshold_there_is_no_alarm() -> None:
    assert "llm-platform/tenant/acme/budget-usd" in ALARMS
    assert "llm-platform/tenant/globex/budget-usd" not in ALARMS
    assert "llm-platform/tenant/globex/budget-usd-projected.notice" not in ALARMS


def test_without_a_value_for_a_variable_there_is_no_alarm() -> None:
    kinds = {entry.model_id: entry.endpoint_type for entry in WORLD.catalogue.models.values()}
    for model_id, kind in kinds.items():
        there = f"llm-platform/model/{model_id}/bedrock-throttles" in ALARMS
        assert there == (kind == "bedrock")
        assert f"llm-platform/model/{model_id}/circuit-open" in ALARMS


def test_severities_go_to_their_topics_at_the_beginning_and_the_end() -> None:
    assert ALARMS["llm-platform/tenant/acme/latency-p99"].told.actions == (topic(WARNING_ALARMS.name),)
    assert ALARMS[FAILING].told.actions == (topic(CRITICAL_ALARMS.name),)


def test_information_and_parts_tell_nobody() -> None:
    for alarm in ALARMS.values():
        rule = alarm.told.rule
        silent = rule.severity == "information" or (isinstance(rule, MetricRule) and not rule.notifies)
        if silent:
            assert alarm.told.actions == ()


def test_each_alarm_is_told_of_once() -> None:
    """By itself, or through its notice; never by both, and what is to be told never by neither."""
    for alarm in ALARMS.values():
        rule = alarm.told.rule
        if alarm.name.endswith(NOTICE) or rule.severity == "information":
            continue
        if isinstance(rule, MetricRule) and not rule.notifies:
            continue
        notice = ALARMS.get(f"{alarm.name}{NOTICE}")
        assert bool(alarm.told.actions) != (notice is not None), alarm.name


def test_a_suppressed_alarm_is_silent_and_its_notice_speaks() -> None:
    alarm = ALARMS["llm-platform/tenant/acme/ttft-p99"]
    notice = composite("llm-platform/tenant/acme/ttft-p99.notice")
    assert isinstance(alarm, MetricAlarm)
    assert alarm.told.actions == ()
    assert notice.told.actions == (topic(WARNING_ALARMS.name),)
    assert notice.alarm_rule == 'ALARM("llm-platform/tenant/acme/ttft-p99")'
    assert notice.suppressor == "llm-platform/tenant/acme/ttft-burn-fast"
    assert notice.told.description == alarm.told.description


def test_where_the_suppressor_is_not_there_the_alarm_speaks_for_itself() -> None:
    cpu = EndpointVariant("small", "AllTraffic", "ml.c6i.xlarge", 0)
    made = {alarm.name: alarm for alarm in definitions_of(cpu, Limits(), ACCOUNT)}
    errors = alarm_name(cpu, "endpoint-errors")
    assert alarm_name(cpu, "gpu-failing") not in made
    assert f"{errors}{NOTICE}" not in made
    assert made[errors].told.actions == (topic(WARNING_ALARMS.name),)


SCORES_MISSING = "llm-platform/tenant/acme/scores-missing"
UNAVAILABLE = "llm-platform/platform/evaluation-unavailable"


def test_when_evaluation_is_away_the_platform_speaks_for_all_tenants() -> None:
    for tenant in ("acme", "globex"):
        name = f"llm-platform/tenant/{tenant}/scores-missing"
        assert ALARMS[name].told.actions == ()
        assert composite(f"{name}{NOTICE}").suppressor == UNAVAILABLE
    names = list(ALARMS)
    assert names.index(UNAVAILABLE) < names.index(f"{SCORES_MISSING}{NOTICE}")


def test_while_the_platforms_alarm_is_not_there_each_tenants_speaks_for_itself() -> None:
    alone = {one.name: one for one in definitions(WORLD, Limits(), ACCOUNT, there=())}
    assert f"{SCORES_MISSING}{NOTICE}" not in alone
    assert alone[SCORES_MISSING].told.actions == (topic(WARNING_ALARMS.name),)
    silenced = {one.name: one for one in definitions(WORLD, Limits(), ACCOUNT, there={UNAVAILABLE})}
    assert f"{SCORES_MISSING}{NOTICE}" in silenced


def test_a_composite_with_a_suppressor_needs_no_notice() -> None:
    slow = composite("llm-platform/tenant/acme/availability-burn-slow")
    assert slow.suppressor == "llm-platform/tenant/acme/availability-burn-fast"
    assert f"{slow.name}{NOTICE}" not in ALARMS


def test_a_suppressor_is_given_time_to_speak_first() -> None:
    assert 60 <= SUPPRESSOR_WAIT_S <= 120
    longest_s = max(
        rule.period_s * rule.of
        for rule in RULES
        if isinstance(rule, MetricRule) and rule.suppressed_by == "gpu-failing" and rule.period_s == 60
    )
    assert longest_s <= SUPPRESSOR_EXTENSION_S + SUPPRESSOR_WAIT_S
    assert SUPPRESSOR_EXTENSION_S <= alarm_limits.MAX_SUPPRESSOR_S


def test_what_is_critical_waits_for_nobody() -> None:
    for alarm in ALARMS.values():
        if isinstance(alarm, CompositeAlarm) and alarm.told.rule.severity == "critical":
            assert alarm.suppressor is None, alarm.name


def test_a_condition_is_quoted_names() -> None:
    one = "llm-platform/endpoint/llama-3-8b-support/AllTraffic"
    assert composite(FAILING).alarm_rule == (
        f'(ALARM("{one}/gpu-pressure") OR ALARM("{one}/gpu-memory-pressure"))'
        f' AND (ALARM("{one}/endpoint-ttft-p99") OR ALARM("{one}/endpoint-errors")'
        f' OR ALARM("{one}/endpoint-model-errors") OR ALARM("{one}/mid-stream-errors"))'
    )


def of_a_tenant(rule: CompositeRule) -> list[str]:
    """Alarm rules that become of a composite rule beside a tenant's latency, with and without a budget."""
    latency = next(one for one in RULES if one.key == "latency-p99")
    budget = next(one for one in RULES if one.key == "budget-usd")
    return [
        next(
            (
                one.alarm_rule
                for one in definitions_of(Tenant(policy), Limits(), ACCOUNT, (latency, budget, rule))
                if isinstance(one, CompositeAlarm)
            ),
            "",
        )
        for policy in (ACME, GLOBEX)
    ]


def test_a_missing_part_falls_out_of_one_of_and_takes_all_of_with_it() -> None:
    both = CompositeRule("both", "tenant", "t", "m", all_of("latency-p99", "budget-usd"), "warning")
    either = replace(both, key="either", condition=any_of("latency-p99", "budget-usd"))
    nested = replace(both, key="nested", condition=all_of("latency-p99", any_of("budget-usd")))
    latency = 'ALARM("llm-platform/tenant/{}/latency-p99")'
    budget = 'ALARM("llm-platform/tenant/acme/budget-usd")'
    assert of_a_tenant(both) == [f"{latency.format('acme')} AND {budget}", ""]
    assert of_a_tenant(either) == [f"{latency.format('acme')} OR {budget}", latency.format("globex")]
    assert of_a_tenant(nested) == [f"{latency.format('acme')} AND {budget}", ""]


def test_children_come_before_the_composites_that_name_them() -> None:
    seen: set[str] = set()
    for alarm in ALARMS.values():
        assert alarm.depends_on <= seen, alarm.name
        seen.add(alarm.name)


def test_composites_that_wait_for_each_other_are_refused() -> None:
    one, other = (composite(f"llm-platform/tenant/acme/{key}-burn-fast") for key in ("ttft", "availability"))
    with pytest.raises(ValueError, match="wait for each other"):
        list(in_order([replace(one, suppressor=other.name), replace(other, suppressor=one.name)]))


def test_thresholds_of_gpus_are_multiplied_by_their_number() -> None:
    four = ALARMS["llm-platform/endpoint/llama-3-8b-support/AllTraffic/gpu-utilization"]
    assert isinstance(four, MetricAlarm)
    assert four.threshold == 360


def test_a_tenants_alarms_are_those_about_it_and_its_scores() -> None:
    owned = {tenant_of(alarm.told.target) for alarm in ALARMS.values()}
    assert owned == {None, "acme", "globex"}
    assert tenant_of(Platform()) is None


def test_a_rule_is_found_by_the_name_of_its_alarm() -> None:
    for name, alarm in ALARMS.items():
        assert rule_named(name) is alarm.told.rule
    assert rule_named("somebody-elses/ttft-p99") is None
    assert rule_named("llm-platform/tenant/acme/other") is None


def test_what_cannot_be_quoted_is_refused() -> None:
    entry = next(iter(WORLD.catalogue.models.values()))
    hostile = Model(entry.model_copy(update={"model_id": 'a")or("b'}))
    with pytest.raises(alarm_limits.AlarmTooLarge, match="cannot be quoted"):
        definitions_of(hostile, Limits(), ACCOUNT)


@pytest.mark.parametrize("alarm", ALARMS.values(), ids=lambda alarm: alarm.name)
def test_a_message_says_what_whom_the_threshold_and_where_to_look(
    alarm: MetricAlarm | CompositeAlarm,
) -> None:
    text, rule = alarm.told.description, alarm.told.rule
    assert len(text) <= alarm_limits.MAX_DESCRIPTION_CHARS
    assert text.startswith(f"{rule.title}: ")
    assert rule.meaning in text
    base = quote(alarm.name.removesuffix(NOTICE), safe="")
    assert f"\nView: {CONSOLE}/alarms/{base}\n" in text
    assert text.endswith(f"\nRunbook: {CONSOLE}/runbooks/{rule.page}")
    if isinstance(rule, MetricRule):
        assert rule.reading.metric.name in text
        if rule.threshold.setting:
            assert rule.threshold.setting in text
        assert re.search(r"(above|below) ", text)


def test_a_message_names_the_tenant_and_its_objective_with_unit_and_origin() -> None:
    text = ALARMS["llm-platform/tenant/acme/ttft-p99"].told.description
    assert "tenant acme (Acme Inc.)" in text
    assert "above 3,000 ms (the tenant's policy: objectives.ttft_p99_ms) in 3 of 4 periods of 5 min" in text


def test_a_composites_message_names_the_thresholds_of_its_parts() -> None:
    text = ALARMS[FAILING].told.description
    assert "endpoint llama-3-8b-support, variant AllTraffic (ml.g5.12xlarge, 4 GPUs)" in text
    assert "- gpu-pressure: Maximum GPUUtilization above 360% summed over the GPUs" in text


def test_without_a_console_the_runbook_is_the_repositorys() -> None:
    nowhere = replace(ACCOUNT, console_url=None)
    for alarm in definitions_of(Tenant(ACME), Limits(), nowhere):
        assert "View:" not in alarm.told.description
        assert alarm.told.description.endswith(f"Runbook: docs/runbooks/{alarm.told.rule.page}.md")


def test_of_a_long_composite_whole_parts_are_left_out_and_the_links_stay() -> None:
    long = EndpointVariant("e" * 63, "v" * 63, "ml.g5.12xlarge", 4)
    made = {alarm.name: alarm for alarm in definitions_of(long, Limits(), ACCOUNT)}
    text = made[alarm_name(long, "gpu-failing")].told.description
    assert len(text) <= alarm_limits.MAX_DESCRIPTION_CHARS
    *_, last_part, cut, view, runbook = text.splitlines()
    assert re.fullmatch(r"- [a-z0-9-]+: .+, 2 of 4 min", last_part)
    assert cut == "..."
    assert view.startswith("View: ")
    assert runbook.startswith("Runbook: ")


def test_the_message_of_a_failing_endpoint_names_all_its_parts() -> None:
    text = composite(FAILING).told.description
    assert "- mid-stream-errors: Average MidStreamErrors above 0.05 of calls, 2 of 4 min\n" in text
