"""Alarms ring on their own datapoints, and who is on call hears of it as from CloudWatch."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aioboto3
import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from harness.alarm_receiver import AlarmReceiver, serve_receiver
from harness.platform import eventually
from sandbox.alarms.evaluator import AlarmEvaluator, Round, evaluate_once, serve_alarms
from sandbox.emulator import Emulator, sandbox_session

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMESPACE = "LLMPlatform/Inference"


@dataclass(slots=True)
class Account:
    """An AWS account with somebody on call."""

    aws: Emulator
    session: aioboto3.Session
    cloudwatch: Any
    receiver: AlarmReceiver

    async def topic(self, name: str) -> str:
        return await self.receiver.subscribe(self.session, self.aws.url, name)

    async def alarm(self, name: str, metric: str, **more: Any) -> None:
        told = {
            "Namespace": NAMESPACE,
            "MetricName": metric,
            "Statistic": "Average",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 0.5,
            "ComparisonOperator": "GreaterThanThreshold",
        }
        await self.cloudwatch.put_metric_alarm(AlarmName=name, **told | more)

    async def datum(
        self, metric: str, value: float, *, dimensions: dict[str, str] | None = None, **more: Any
    ) -> None:
        datum = {"MetricName": metric, "Dimensions": listed(dimensions or {}), "Value": value}
        if "Values" in more:
            del datum["Value"]
        await self.cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=[datum | more])

    async def look(self, ahead_s: float = 70) -> Round:
        """Evaluate as it is a minute later: what was put just now is then a period that is over."""
        return await self.look_at(datetime.now(UTC) + timedelta(seconds=ahead_s))

    async def look_at(self, now: datetime) -> Round:
        """Evaluate as at a moment."""
        return await evaluate_once(self.session, endpoint_url=self.aws.url, now=now)

    async def changed_at(self, name: str) -> datetime:
        """When an alarm changed its state."""
        at: datetime = (await self.described(name))["StateTransitionedTimestamp"]
        return at

    async def described(self, name: str) -> dict[str, Any]:
        told = await self.cloudwatch.describe_alarms(
            AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        (alarm,) = told["MetricAlarms"] + told["CompositeAlarms"]
        return dict(alarm)

    async def history(self, name: str, kind: str) -> list[dict[str, Any]]:
        """Oldest first."""
        told = await self.cloudwatch.describe_alarm_history(
            AlarmName=name,
            HistoryItemType=kind,
            AlarmTypes=["MetricAlarm", "CompositeAlarm"],
            ScanBy="TimestampAscending",
        )
        return list(told["AlarmHistoryItems"])


def listed(dimensions: dict[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in dimensions.items()]


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="account")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Account]:
    session = sandbox_session()
    async with (
        Emulator(tmp_path_factory.mktemp("state")) as aws,
        session.client("cloudwatch", endpoint_url=aws.url) as cloudwatch,
        serve_receiver() as receiver,
    ):
        yield Account(aws, session, cloudwatch, receiver)


async def test_an_alarm_of_one_tenant_does_not_ring_on_another(account: Account) -> None:
    for tenant in ("acme", "globex"):
        await account.alarm(f"failed-{tenant}", "request_failed", Dimensions=listed({"tenant_id": tenant}))
    await account.alarm("failed-anywhere", "request_failed", TreatMissingData="notBreaching")
    await account.datum("request_failed", 1, dimensions={"tenant_id": "acme"})
    await account.datum("request_failed", 0, dimensions={"tenant_id": "globex"})
    ringing = (await account.look()).ringing
    assert "failed-acme" in ringing
    assert "failed-globex" not in ringing
    assert "failed-anywhere" not in ringing


async def test_a_percentile_is_of_the_values_that_came(account: Account) -> None:
    slow = {"Statistic": None, "ExtendedStatistic": "p99", "Threshold": 800.0}
    slow.pop("Statistic")
    for name, more in (
        ("p99-slow", {}),
        ("p99-of-few", {"EvaluateLowSampleCountPercentile": "ignore"}),
    ):
        await account.cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace=NAMESPACE,
            MetricName="ttft",
            Period=60,
            EvaluationPeriods=1,
            ComparisonOperator="GreaterThanThreshold",
            **slow,
            **more,
        )
    await account.datum("ttft", 0, Values=[100.0, 4_000.0], Counts=[50.0, 50.0], Unit="Milliseconds")
    found = await account.look()
    assert "p99-slow" in found.ringing
    assert "p99-of-few" not in found.ringing
    assert (await account.described("p99-of-few"))["StateValue"] == "INSUFFICIENT_DATA"


@pytest.mark.parametrize(
    ("treated", "state"),
    [
        ("breaching", "ALARM"),
        ("notBreaching", "OK"),
        ("missing", "INSUFFICIENT_DATA"),
        ("ignore", "INSUFFICIENT_DATA"),
    ],
)
async def test_missing_data_is_treated_as_told(account: Account, treated: str, state: str) -> None:
    name = f"nothing-{treated}"
    await account.alarm(name, "never_published", TreatMissingData=treated)
    await account.look()
    assert (await account.described(name))["StateValue"] == state


async def test_five_minutes_slide_by_one(account: Account) -> None:
    """Only the first of six minutes was bad: it is in five of them, and a minute later it is not."""
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    await account.alarm("sliding", "slides", Period=300, Statistic="Maximum", TreatMissingData="notBreaching")
    await account.datum("slides", 1, Timestamp=minute - timedelta(minutes=6))
    for back in range(1, 6):
        await account.datum("slides", 0, Timestamp=minute - timedelta(minutes=back))
    rings = [
        "sliding"
        in (
            await evaluate_once(
                account.session, endpoint_url=account.aws.url, now=minute + timedelta(seconds=at)
            )
        ).ringing
        for at in (-30, 10)
    ]
    assert rings == [True, False]


async def test_two_alarms_on_one_series_each_see_their_own_window(account: Account) -> None:
    """One looks back over more than a day, and so at windows that end on the hour."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for name, periods in (("one-hour", 1), ("many-hours", 25)):
        more = {"Period": 3_600, "EvaluationPeriods": periods, "DatapointsToAlarm": 1}
        await account.alarm(name, "hourly", Statistic="Sum", TreatMissingData="notBreaching", **more)
    await account.datum("hourly", 1, Timestamp=hour - timedelta(minutes=1))
    now = hour + timedelta(minutes=30, seconds=10)
    ringing = (await evaluate_once(account.session, endpoint_url=account.aws.url, now=now)).ringing
    assert {"one-hour", "many-hours"} <= ringing


async def test_only_its_own_unit_counts(account: Account) -> None:
    await account.alarm("in-seconds", "duration", Unit="Seconds", TreatMissingData="notBreaching")
    await account.datum("duration", 900, Unit="Milliseconds")
    assert "in-seconds" not in (await account.look()).ringing


async def test_who_is_on_call_reads_what_cloudwatch_writes(account: Account) -> None:
    topic = await account.topic("critical")
    dimensions = listed({"tenant_id": "initech", "model_id": "big"})
    await account.alarm(
        "tokens",
        "tokens",
        AlarmDescription="too slow",
        Dimensions=dimensions,
        EvaluationPeriods=3,
        DatapointsToAlarm=1,
        TreatMissingData="notBreaching",
        AlarmActions=[topic],
        OKActions=[topic],
    )
    await account.datum("tokens", 2, dimensions={"tenant_id": "initech", "model_id": "big"})
    found = await account.look()
    assert "tokens" in found.ringing
    (message,) = await account.receiver.wait_for(topic)
    told = await account.described("tokens")
    arn = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:tokens"
    changed_at = told["StateTransitionedTimestamp"]
    assert message == {
        "AlarmName": "tokens",
        "AlarmDescription": "too slow",
        "AWSAccountId": "000000000000",
        "AlarmConfigurationUpdatedTimestamp": as_told(told["AlarmConfigurationUpdatedTimestamp"]),
        "NewStateValue": "ALARM",
        "NewStateReason": told["StateReason"],
        "StateChangeTime": as_told(changed_at),
        "Region": "US East (N. Virginia)",
        "AlarmArn": arn,
        "OldStateValue": "INSUFFICIENT_DATA",
        "OKActions": [topic],
        "AlarmActions": [topic],
        "InsufficientDataActions": [],
        "Trigger": {
            "MetricName": "tokens",
            "Namespace": NAMESPACE,
            "StatisticType": "Statistic",
            "Statistic": "AVERAGE",
            "Unit": None,
            "Dimensions": [{"value": item["Value"], "name": item["Name"]} for item in dimensions],
            "Period": 60,
            "EvaluationPeriods": 3,
            "DatapointsToAlarm": 1,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 0.5,
            "TreatMissingData": "notBreaching",
            "EvaluateLowSampleCountPercentile": "",
        },
    }
    assert "was greater than the threshold (0.5) and 2 missing datapoints were" in message["NewStateReason"]
    (envelope,) = [one for one in account.receiver.notifications if one["TopicArn"] == topic]
    assert envelope["Subject"] == 'ALARM: "tokens" in US East (N. Virginia)'

    await account.look(ahead_s=600)  # nothing came any more
    alarm, fine = await account.receiver.wait_for(topic, 2)
    assert (alarm["NewStateValue"], fine["OldStateValue"], fine["NewStateValue"]) == ("ALARM", "ALARM", "OK")

    to_alarm, to_ok = await account.history("tokens", "StateUpdate")
    assert to_alarm["HistorySummary"] == "Alarm updated from INSUFFICIENT_DATA to ALARM"
    new = json.loads(to_alarm["HistoryData"])["newState"]
    assert new["stateReasonData"]["recentDatapoints"] == [2.0]
    assert to_ok["HistorySummary"] == "Alarm updated from ALARM to OK"
    action, _ = await account.history("tokens", "Action")
    assert action["HistorySummary"] == f"Successfully executed action {topic}"
    data = json.loads(action["HistoryData"])
    assert (data["actionState"], data["notificationResource"]) == ("Succeeded", topic)
    assert json.loads(json.loads(data["publishedMessage"])["default"]) == message


def as_told(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}+0000"


async def test_a_state_set_by_hand_is_told_at_once_and_lasts_until_the_next_evaluation(
    account: Account,
) -> None:
    topic = await account.topic("by-hand")
    await account.alarm("by-hand", "by_hand", AlarmActions=[topic], OKActions=[topic])
    await account.datum("by_hand", 0)
    evaluator = AlarmEvaluator(account.cloudwatch)
    now = datetime.now(UTC) + timedelta(seconds=70)
    await evaluator.look(now)
    await account.receiver.wait_for(topic)
    await account.cloudwatch.set_alarm_state(AlarmName="by-hand", StateValue="ALARM", StateReason="a drill")
    _, alarm = await account.receiver.wait_for(topic, 2)
    assert (alarm["NewStateValue"], alarm["NewStateReason"]) == ("ALARM", "a drill")
    assert "by-hand" in (await evaluator.look(now)).ringing
    assert "by-hand" not in (await evaluator.look(now + timedelta(seconds=60))).ringing
    assert (await account.receiver.wait_for(topic, 3))[2]["NewStateValue"] == "OK"


async def test_a_composite_set_by_hand_stays_until_a_child_changes(account: Account) -> None:
    await account.alarm("only-child", "only_child", TreatMissingData="notBreaching")
    await account.cloudwatch.put_composite_alarm(AlarmName="parent", AlarmRule="ALARM(only-child)")
    evaluator = AlarmEvaluator(account.cloudwatch)
    now = datetime.now(UTC)
    assert "parent" not in (await evaluator.look(now)).ringing
    await account.cloudwatch.set_alarm_state(AlarmName="parent", StateValue="ALARM", StateReason="a drill")
    assert "parent" in (await evaluator.look(now + timedelta(minutes=2))).ringing
    await account.cloudwatch.set_alarm_state(
        AlarmName="only-child", StateValue="INSUFFICIENT_DATA", StateReason="a drill"
    )
    assert "parent" not in (await evaluator.look(now + timedelta(minutes=2))).ringing


async def test_disabled_actions_are_not_taken(account: Account) -> None:
    topic = await account.topic("disabled")
    await account.alarm("disabled", "disabled", AlarmActions=[topic], ActionsEnabled=False)
    await account.datum("disabled", 1)
    assert "disabled" in (await account.look()).ringing
    assert await account.history("disabled", "Action") == []


async def test_an_action_without_its_topic_failed(account: Account) -> None:
    gone = "arn:aws:sns:us-east-1:000000000000:gone"
    await account.alarm("no-topic", "no_topic", AlarmActions=[gone], TreatMissingData="breaching")
    await account.look()
    (failed,) = await account.history("no-topic", "Action")
    assert failed["HistorySummary"].startswith(f"Failed to execute action {gone}")


async def test_a_composite_of_composites_names_the_child_that_changed(account: Account) -> None:
    topic = await account.topic("composite")
    await account.alarm("gpu", "gpu", TreatMissingData="notBreaching")
    await account.alarm("p99", "p99", TreatMissingData="notBreaching")
    for name, rule in (("pressure", "ALARM(gpu)"), ("falling-over", 'ALARM("pressure") AND ALARM(p99)')):
        await account.cloudwatch.put_composite_alarm(AlarmName=name, AlarmRule=rule, AlarmActions=[topic])
    await account.look()
    for metric in ("gpu", "p99"):
        await account.datum(metric, 1)
    assert {"gpu", "p99", "pressure", "falling-over"} <= (await account.look()).ringing
    first, second = await account.receiver.wait_for(topic, 2)
    (message,) = [one for one in (first, second) if one["AlarmName"] == "falling-over"]
    arn = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:"
    assert message["AlarmRule"] == 'ALARM("pressure") AND ALARM(p99)'
    assert {child["Arn"] for child in message["TriggeringChildren"]} == {arn + "pressure", arn + "p99"}
    assert {child["State"]["Value"] for child in message["TriggeringChildren"]} == {"ALARM"}
    assert " transitioned to ALARM at " in message["NewStateReason"]
    assert "Trigger" not in message


async def test_a_suppressed_action_is_sent_once_nothing_suppresses_it(account: Account) -> None:
    topic = await account.topic("suppressed")
    await account.alarm("child", "child", TreatMissingData="breaching")
    await account.alarm("maintenance", "maintenance", TreatMissingData="breaching")
    await account.cloudwatch.put_composite_alarm(
        AlarmName="incident",
        AlarmRule="ALARM(child)",
        AlarmActions=[topic],
        ActionsSuppressor="maintenance",
        ActionsSuppressorWaitPeriod=60,
        ActionsSuppressorExtensionPeriod=30,
    )
    await account.look(ahead_s=0)
    told = await account.described("incident")
    assert (told["StateValue"], told["ActionsSuppressedBy"]) == ("ALARM", "Alarm")
    assert told["ActionsSuppressedReason"] == (
        "Actions suppressed by arn:aws:cloudwatch:us-east-1:000000000000:alarm:maintenance"
    )
    (suppressed,) = await account.history("incident", "Action")
    assert suppressed["HistorySummary"] == f"Suppressed action {topic}"

    # The suppressor ends and the composite does not: after the extension its actions are taken.
    await account.cloudwatch.set_alarm_state(
        AlarmName="maintenance", StateValue="OK", StateReason="maintenance is over"
    )
    await account.alarm("maintenance", "maintenance", TreatMissingData="notBreaching")
    evaluator, over = AlarmEvaluator(account.cloudwatch), await account.changed_at("maintenance")
    assert (await evaluator.look(over + timedelta(seconds=29))).released == frozenset()
    assert (await account.described("incident"))["ActionsSuppressedBy"] == "ExtensionPeriod"
    assert account.receiver.messages(topic) == []
    found = await evaluator.look(over + timedelta(seconds=31))
    assert found.released == frozenset({"incident"})
    (message,) = await account.receiver.wait_for(topic)
    assert (message["NewStateValue"], message["AlarmName"]) == ("ALARM", "incident")
    assert "ActionsSuppressedBy" not in await account.described("incident")
    _, executed = await account.history("incident", "Action")
    assert executed["HistorySummary"] == f"Successfully executed action {topic}"


@pytest.mark.parametrize(
    ("suppressor", "periods", "problem"),
    [
        ("nobody", {"ActionsSuppressorWaitPeriod": 1, "ActionsSuppressorExtensionPeriod": 1}, "not exist"),
        ("spoken-of", {"ActionsSuppressorWaitPeriod": 1}, "ExtensionPeriod"),
    ],
)
async def test_a_suppressor_is_an_alarm_that_is_there_and_has_both_periods(
    account: Account, suppressor: str, periods: dict[str, int], problem: str
) -> None:
    await account.alarm("spoken-of", "spoken_of", TreatMissingData="notBreaching")
    with pytest.raises(ClientError, match=problem):
        await account.cloudwatch.put_composite_alarm(
            AlarmName="refused", AlarmRule="ALARM(spoken-of)", ActionsSuppressor=suppressor, **periods
        )


async def test_a_composite_waits_for_its_suppressor(account: Account) -> None:
    topic = await account.topic("waiting")
    await account.alarm("waiting-child", "waiting", TreatMissingData="breaching")
    await account.alarm("quiet", "quiet", TreatMissingData="notBreaching")
    await account.cloudwatch.put_composite_alarm(
        AlarmName="waiting",
        AlarmRule="ALARM(waiting-child)",
        AlarmActions=[topic],
        ActionsSuppressor="quiet",
        ActionsSuppressorWaitPeriod=60,
        ActionsSuppressorExtensionPeriod=30,
    )
    await account.look(ahead_s=0)
    assert (await account.described("waiting"))["ActionsSuppressedBy"] == "WaitPeriod"
    rang = await account.changed_at("waiting")
    assert "waiting" not in (await account.look_at(rang + timedelta(seconds=59))).released
    assert account.receiver.messages(topic) == []
    assert "waiting" in (await account.look_at(rang + timedelta(seconds=61))).released
    (message,) = await account.receiver.wait_for(topic)
    assert message["NewStateValue"] == "ALARM"


async def test_what_cannot_be_evaluated_is_left_and_counted(account: Account) -> None:
    metric = {"Namespace": NAMESPACE, "MetricName": "m"}
    await account.cloudwatch.put_metric_alarm(
        AlarmName="band",
        Metrics=[
            {"Id": "m1", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Average"}},
            {"Id": "ad1", "Expression": "ANOMALY_DETECTION_BAND(m1, 2)"},
        ],
        ThresholdMetricId="ad1",
        ComparisonOperator="LessThanLowerThreshold",
        EvaluationPeriods=1,
        TreatMissingData="breaching",
    )
    assert "band" in (await account.look()).not_evaluated
    told = await account.described("band")
    assert (told["StateValue"], told["StateReason"]) == (
        "INSUFFICIENT_DATA",
        "Unchecked: an anomaly band is not evaluated here",
    )
    assert told["Metrics"][1]["Expression"] == "ANOMALY_DETECTION_BAND(m1, 2)"


async def test_an_alarm_is_described_as_it_was_put(account: Account) -> None:
    put = {
        "AlarmDescription": 'five <minutes> & "more"\x0b',
        "ActionsEnabled": True,
        "OKActions": [],
        "AlarmActions": ["arn:aws:sns:us-east-1:000000000000:a", "arn:aws:sns:us-east-1:000000000000:b"],
        "InsufficientDataActions": ["arn:aws:sns:us-east-1:000000000000:c"],
        "MetricName": "m",
        "Namespace": NAMESPACE,
        "ExtendedStatistic": "p99",
        "Dimensions": listed({"tenant_id": "acme", "model_id": "big"}),
        "Period": 300,
        "Unit": "Milliseconds",
        "EvaluationPeriods": 5,
        "DatapointsToAlarm": 3,
        "Threshold": 4_000.0,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "ignore",
        "EvaluateLowSampleCountPercentile": "ignore",
    }
    await account.cloudwatch.put_metric_alarm(AlarmName="whole", **put)
    told = await account.described("whole")
    assert {name: told.get(name) for name in put} == put | {
        "AlarmDescription": 'five <minutes> & "more"\ufffd'
    }
    assert "Statistic" not in told
    (created,) = await account.history("whole", "ConfigurationUpdate")
    assert created["HistorySummary"] == 'Alarm "whole" created'


async def test_all_pages_of_alarms_are_evaluated(account: Account) -> None:
    for at in range(120):
        await account.alarm(
            f"page-{at:03}", "paged", Dimensions=listed({"n": str(at)}), TreatMissingData="breaching"
        )
    assert {f"page-{at:03}" for at in range(120)} <= (await account.look()).ringing


async def test_an_account_that_is_away_is_asked_again_and_comes_back_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.emulator.STOP_WITHIN_S", 60.0)  # who ends by force keeps nothing
    session = sandbox_session()
    async with (
        Emulator(tmp_path, persist=True) as aws,
        serve_receiver() as receiver,
        session.client("cloudwatch", endpoint_url=aws.url) as cloudwatch,
    ):
        topic = await receiver.subscribe(session, aws.url, "kept")
        account = Account(aws, session, cloudwatch, receiver)
        await account.alarm("kept", "kept", AlarmActions=[topic])
        for minutes in range(-1, 4):  # the minute that was last is another by the time it is back
            await account.datum("kept", 5, Timestamp=datetime.now(UTC) + timedelta(minutes=minutes))
        await aws.stop()
        async with serve_alarms(session, endpoint_url=aws.url, every_s=0.05) as evaluator:
            await eventually(lambda: evaluator.failed_looks or None)
            await aws.start()
            (message,) = await receiver.wait_for(topic)
        assert (message["AlarmName"], message["NewStateValue"]) == ("kept", "ALARM")
