"""Every alarm of the table rings on bad values and is quiet on good ones, and who is on call reads why.

The alarms are those that are put into an account, datapoints come in as they are published, and the sandbox's
evaluator decides at times that are handed to it: good values hours ago, bad ones now, and what must be
waited for in the minutes to come. All of it happens once, for all tests of the file.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
import pytest_asyncio

from harness.alarm_cases import (
    ACCOUNT,
    LIMITS,
    SILENCE,
    feeds,
    rules_for,
    target_for,
    threshold_of,
)
from harness.alarm_feed import AlarmFeed
from harness.alarm_receiver import AlarmReceiver, serve_receiver
from llmplatform.aws.tables import CRITICAL_ALARMS, WARNING_ALARMS
from sandbox.alarms.evaluator import AlarmEvaluator
from sandbox.emf_intake import serve_emf
from sandbox.emulator import Emulator, sandbox_session
from watch.alarming.alarm_wire import arguments_of
from watch.alarming.definitions import (
    NOTICE,
    AlarmDefinition,
    CompositeAlarm,
    MetricAlarm,
    alarm_name,
    definitions_of,
)
from watch.alarms import BY_KEY, RULES
from watch.tables.rules import CompositeRule, MetricRule, Rule
from watch.tables.targets import EndpointVariant, Platform, Target

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTLED: Final = timedelta(seconds=10)
"""After a minute's end, when its datapoints count."""
MINUTE: Final = timedelta(minutes=1)
RUNG: Final = [rule for rule in RULES if not (isinstance(rule, MetricRule) and rule.anomaly)]
TOLD: Final = [
    rule
    for rule in RUNG
    if rule.severity != "information" and (isinstance(rule, CompositeRule) or rule.notifies)
]
LATER: Final = {"evaluation-unavailable"}
"""Reads the same series as another rule, which it silences: it has bad values after it."""
FLAPPING: Final = [
    rule
    for rule in RUNG
    if isinstance(rule, MetricRule)
    and rule.period_s == 60
    and rule.of > rule.datapoints
    and not rule.key.startswith("emf-")  # dated by whoever receives the lines
]

every_rule = pytest.mark.parametrize("rule", RUNG, ids=lambda rule: rule.key)
every_told_rule = pytest.mark.parametrize("rule", TOLD, ids=lambda rule: rule.key)


@dataclass(slots=True)
class Account:
    """An AWS account with somebody on call."""

    cloudwatch: Any
    feed: AlarmFeed
    evaluator: AlarmEvaluator
    receiver: AlarmReceiver
    put: list[AlarmDefinition] = field(default_factory=list)

    async def watch(self, target: Target, rules: Sequence[Rule]) -> None:
        """Put the alarms of a target, as `watch apply` would."""
        there = {definition.name for definition in self.put}
        for definition in definitions_of(target, LIMITS, ACCOUNT, rules, there=there):
            arguments = arguments_of(definition)
            if isinstance(definition, MetricAlarm):
                await self.cloudwatch.put_metric_alarm(**arguments)
            else:
                await self.cloudwatch.put_composite_alarm(**arguments)
            self.put.append(definition)

    async def forget(self) -> None:
        """Delete every alarm: composites first and one a call, as the API wants it."""
        for definition in reversed(self.put):
            if isinstance(definition, CompositeAlarm):
                await self.cloudwatch.delete_alarms(AlarmNames=[definition.name])
        names = [definition.name for definition in self.put if isinstance(definition, MetricAlarm)]
        for at in range(0, len(names), 100):
            await self.cloudwatch.delete_alarms(AlarmNames=names[at : at + 100])
        self.put.clear()

    async def sent(self, state: str = "ALARM") -> list[tuple[str, dict[str, Any]]]:
        """What came so far and is on its way, with the topic's name."""
        await self.receiver.all_told(self.cloudwatch)
        return [
            (envelope["TopicArn"].rpartition(":")[2], message)
            for envelope, message in zip(self.receiver.notifications, self.receiver.messages(), strict=True)
            if message["NewStateValue"] == state
        ]


@dataclass(slots=True)
class Rung:
    """What happened, by the name of an alarm."""

    quiet: frozenset[str]
    """Ringing while everything was good."""
    sent_when_quiet: list[tuple[str, dict[str, Any]]]
    ringing: frozenset[str]
    """Ringing once bad values were in."""
    sent: list[tuple[str, dict[str, Any]]]
    timeline: list[tuple[timedelta, str, str]]
    """Of a failing endpoint: since the first bad datapoint's minute began, the alarm's key, its state."""
    sent_of_incident: list[tuple[str, dict[str, Any]]]
    changes_of_flapping: Counter[tuple[str, str]]
    """By alarm and state."""


def moments(rule: MetricRule, end: datetime, periods: int) -> Iterator[datetime]:
    """In the middle of each of the last periods; of long ones, where every window sees the last."""
    if rule.period_s > 300 and rule.of == 1:
        yield end - timedelta(minutes=3)
        return
    for back in range(periods):
        yield end - timedelta(seconds=rule.period_s * (back + 0.5))


async def feed_good(account: Account, rule: Rule, target: Target, end: datetime) -> None:
    for part, values in feeds(rule, target, bad=False):
        for at in moments(part, end, part.of):
            await account.feed.put(part.reading.series(target.variables), at, values)


async def feed_bad(account: Account, rule: Rule, target: Target, end: datetime) -> None:
    """As few bad periods as must ring it, after good ones."""
    good = dict(feeds(rule, target, bad=False)) if isinstance(rule, MetricRule) else {}
    for part, values in feeds(rule, target, bad=True):
        series = part.reading.series(target.variables)
        for back, at in enumerate(moments(part, end, part.of if good else part.datapoints)):
            await account.feed.put(series, at, values if back < part.datapoints else good.get(part, SILENCE))


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="rung")
async def ring_everything(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rung]:
    session = sandbox_session()
    async with (
        Emulator(tmp_path_factory.mktemp("state")) as aws,
        session.client("cloudwatch", endpoint_url=aws.url) as cloudwatch,
        serve_emf(session, endpoint_url=aws.url) as intake,
        serve_receiver() as receiver,
    ):
        for topic in (CRITICAL_ALARMS, WARNING_ALARMS):
            await receiver.subscribe(session, aws.url, topic.name)
        account = Account(cloudwatch, AlarmFeed(intake, cloudwatch), AlarmEvaluator(cloudwatch), receiver)
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        timeline, sent_of_incident = await _falling_endpoint(account, now - timedelta(minutes=30))
        await account.forget()
        flapping = await _flapping(account, now - timedelta(minutes=30))
        await account.forget()
        await receiver.all_told(cloudwatch)
        receiver.forget()
        quiet, sent_when_quiet, ringing, sent = await _all_rules(account, now)
        yield Rung(quiet, sent_when_quiet, ringing, sent, timeline, sent_of_incident, flapping)


async def _all_rules(
    account: Account, now: datetime
) -> tuple[frozenset[str], list[Any], frozenset[str], list[Any]]:
    await account.watch(Platform(), [rule for rule in RUNG if rule.scope == "platform"])
    for rule in RUNG:
        if rule.scope != "platform":
            await account.watch(target_for(rule, "bad"), rules_for(rule, with_suppressor=True))
            await account.watch(target_for(rule, "good"), rules_for(rule, with_suppressor=False))

    before = now - timedelta(hours=16)  # further back than any alarm looks for a datapoint
    for rule in RUNG:
        await feed_good(account, rule, target_for(rule, "bad"), before)
    await account.feed.send()
    quiet = (await account.evaluator.look(before + SETTLED)).ringing
    sent_when_quiet = await account.sent()

    for rule in RUNG:
        if rule.key in LATER:
            await feed_good(account, rule, target_for(rule, "bad"), now)
        else:
            await feed_bad(account, rule, target_for(rule, "bad"), now)
        if rule.scope != "platform":
            await feed_good(account, rule, target_for(rule, "good"), now)
    await account.feed.send()
    first = await account.evaluator.look(now + SETTLED)
    # What somebody else might speak for has waited by then, from the moment at which it rang.
    waited = await account.evaluator.look(datetime.now(UTC) + timedelta(minutes=2, seconds=10))

    after = now + timedelta(minutes=10)
    for key in LATER:
        await feed_bad(account, BY_KEY[key], Platform(), after)
    await account.feed.send()
    later = await account.evaluator.look(after + SETTLED)
    return quiet, sent_when_quiet, first.ringing | waited.ringing | later.ringing, await account.sent()


async def _falling_endpoint(
    account: Account, start: datetime
) -> tuple[list[tuple[timedelta, str, str]], list[Any]]:
    """Three good minutes; from then on full GPUs, and half of the calls failing."""
    endpoint = EndpointVariant("falling", "AllTraffic", "ml.g5.12xlarge", 4)
    await account.watch(endpoint, [rule for rule in RULES if rule.scope == "endpoint"])
    sent_before = len(await account.sent())
    fault = start + 3 * MINUTE
    for minute in range(12):
        at = start + minute * MINUTE
        bad = at >= fault
        for key, values in (
            ("gpu-utilization", (392,) if bad else (240,)),
            ("gpu-memory", (376,) if bad else (300,)),
            ("endpoint-errors", (1,) * 10 + (0,) * 10 if bad else (0,) * 20),
            ("endpoint-called", (1,) * 20),
        ):
            rule = BY_KEY[key]
            assert isinstance(rule, MetricRule)
            await account.feed.put(rule.reading.series(endpoint.variables), at, values)
    await account.feed.send()
    timeline: list[tuple[timedelta, str, str]] = []
    for minute in range(1, 13):
        at = start + minute * MINUTE + SETTLED
        for change in (await account.evaluator.look(at)).changes:
            key = change.name.rpartition("/")[2]
            timeline.append((at - fault, key, change.new))
    return timeline, (await account.sent())[sent_before:]


async def _flapping(account: Account, start: datetime) -> Counter[tuple[str, str]]:
    """Bad every other minute, for twelve minutes."""
    minutes = 12
    for rule in FLAPPING:
        target = target_for(rule, "flapping")
        await account.watch(target, (rule,))
        ((_, bad),) = feeds(rule, target, bad=True)
        ((_, good),) = feeds(rule, target, bad=False)
        for minute in range(minutes):
            values = bad if minute % 2 else good
            await account.feed.put(rule.reading.series(target.variables), start + minute * MINUTE, values)
    await account.feed.send()
    changes: Counter[tuple[str, str]] = Counter()
    for minute in range(2, minutes + 1):
        looked = await account.evaluator.look(start + minute * MINUTE + SETTLED)
        changes.update((change.name, change.new) for change in looked.changes)
    return changes


def names_of(target: Target, rule: Rule) -> set[str]:
    name = alarm_name(target, rule.key)
    return {name, f"{name}{NOTICE}"}


def messages_of(
    sent: Iterable[tuple[str, Mapping[str, Any]]], target: Target, rule: Rule
) -> list[tuple[str, Mapping[str, Any]]]:
    return [(topic, message) for topic, message in sent if message["AlarmName"] in names_of(target, rule)]


@every_rule
async def test_bad_values_ring(rung: Rung, rule: Rule) -> None:
    assert alarm_name(target_for(rule, "bad"), rule.key) in rung.ringing


@every_rule
async def test_good_values_stay_quiet(rung: Rung, rule: Rule) -> None:
    assert not rung.quiet & names_of(target_for(rule, "bad"), rule)
    if rule.scope != "platform":  # while another's are bad
        assert not rung.ringing & names_of(target_for(rule, "good"), rule)


async def test_nothing_is_sent_of_what_is_quiet(rung: Rung) -> None:
    good = {
        name for rule in RUNG if rule.scope != "platform" for name in names_of(target_for(rule, "good"), rule)
    }
    assert rung.sent_when_quiet == []
    assert not good & {message["AlarmName"] for _, message in rung.sent}


@every_told_rule
async def test_it_is_told_at_the_right_topic(rung: Rung, rule: Rule) -> None:
    target = target_for(rule, "bad")
    told = messages_of(rung.sent, target, rule)
    assert len(told) == 1, [message["NewStateReason"] for _, message in told]
    ((topic, message),) = told
    expected = CRITICAL_ALARMS if rule.severity == "critical" else WARNING_ALARMS
    assert topic == expected.name
    text = message["AlarmDescription"]
    assert rule.title in text
    assert target.name.split("/")[1 if "/" in target.name else 0] in text
    if isinstance(rule, MetricRule):
        assert f"{threshold_of(rule, target):,.6g}" in text
    assert f"/runbooks/{rule.page}" in text
    assert "https://watch.example.com/alarms/" in text
    assert message["StateChangeTime"]
    assert message["NewStateReason"]


async def test_parts_and_information_are_sent_to_nobody(rung: Rung) -> None:
    silent = {
        name
        for rule in RUNG
        if rule not in TOLD
        for side in ("bad", "good")
        for name in names_of(target_for(rule, side), rule)
    }
    assert not silent & {message["AlarmName"] for _, message in rung.sent}


async def test_a_gpu_fault_is_found_within_three_minutes(rung: Rung) -> None:
    for since, key, state in rung.timeline:
        print(f"{since.total_seconds():+6.0f} s  {state:5}  {key}")  # noqa: T201  # the timeline, with -s
    found = next(since for since, key, state in rung.timeline if (key, state) == ("gpu-failing", "ALARM"))
    assert timedelta(0) < found < timedelta(minutes=3)
    told = {rule.key for rule in TOLD}
    assert all(
        since > timedelta(0) for since, key, state in rung.timeline if state == "ALARM" and key in told
    )


async def test_an_incident_pages_once(rung: Rung) -> None:
    rang = {key for _, key, state in rung.timeline if state == "ALARM"}
    assert {"gpu-utilization", "gpu-memory", "endpoint-errors"} < rang
    ((topic, message),) = rung.sent_of_incident
    assert topic == CRITICAL_ALARMS.name
    assert message["AlarmName"].endswith("/gpu-failing")


@pytest.mark.parametrize("rule", FLAPPING, ids=lambda rule: rule.key)
async def test_what_flaps_is_told_once(rung: Rung, rule: MetricRule) -> None:
    name = alarm_name(target_for(rule, "flapping"), rule.key)
    back = rung.changes_of_flapping[name, "OK"]
    rings = rung.changes_of_flapping[name, "ALARM"]
    assert rings <= 1
    assert back <= 1 - rings or rings == 1
    if 2 * rule.datapoints <= rule.of:
        assert rings == 1


async def test_the_anomaly_band_is_configured() -> None:
    (rule,) = (rule for rule in RULES if isinstance(rule, MetricRule) and rule.anomaly)
    target = target_for(rule, "bad")
    (definition,) = definitions_of(target, LIMITS, ACCOUNT, (rule,))
    put = arguments_of(definition)
    band = next(query for query in put["Metrics"] if query["Id"] == put["ThresholdMetricId"])
    (read,) = (query for query in put["Metrics"] if "MetricStat" in query)
    assert band["Expression"] == f"ANOMALY_DETECTION_BAND({read['Id']}, {LIMITS.anomaly_deviations:g})"
    assert put["ComparisonOperator"] == "LessThanLowerThreshold"
    assert read["MetricStat"]["Metric"]["MetricName"] == "eval_score"
    assert put["AlarmActions"] == []
