"""Alarms put into an account of the sandbox's, changed, removed, and rung through to a queue."""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from typer.testing import CliRunner, Result

from harness.alarm_world import CONSOLE
from llmplatform.aws.sessions import aws_session
from llmplatform.aws.tables import TOPICS
from operator_cli.__main__ import app
from sandbox.emulator import REGION, Emulator, sandbox_session
from sandbox.provision import create_topic
from watch.aws.receivers import QUEUE_PREFIX

ResultT = TypeVar("ResultT")


@pytest.fixture(scope="module", name="aws")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with asyncio.Runner() as runner:
        aws = Emulator(tmp_path_factory.mktemp("state"))
        runner.run(aws.start())
        try:
            runner.run(_topics(aws.url))
            yield aws
        finally:
            runner.run(aws.stop())


async def _topics(url: str) -> None:
    async with sandbox_session().client("sns", endpoint_url=url) as sns:
        for topic in TOPICS:
            await create_topic(sns, topic)


@pytest.fixture(scope="module", autouse=True)
def account(aws: Emulator) -> Iterator[None]:
    """The environment names the account, and tenant acme is in it: each test leaves it as it was."""
    more = {"WATCH_PUBLIC_URL": CONSOLE, "WATCH_PUTS_PER_S": "1000"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (aws.environment() | more).items():
            patch.setenv(name, value)
        made = command("tenant", "add", "acme")
        assert made.exit_code == 0, made.output
        yield


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def planned(*arguments: str, status: int = 0) -> dict[str, Any]:
    made = command("watch", "plan", "--json", *arguments)
    assert made.exit_code == status, made.output
    facts: dict[str, Any] = json.loads(made.stdout)
    return facts


def asking(service: Any, ask: Callable[[Any], Coroutine[None, None, ResultT]]) -> ResultT:
    async def work() -> ResultT:
        async with aws_session(REGION).client(service) as client:
            return await ask(client)

    return asyncio.run(work())


def alarm(name: str) -> dict[str, Any] | None:
    async def ask(cloudwatch: Any) -> dict[str, Any] | None:
        answer = await cloudwatch.describe_alarms(
            AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        found = [*answer["MetricAlarms"], *answer["CompositeAlarms"]]
        return found[0] if found else None

    return asking("cloudwatch", ask)


def queues() -> list[str]:
    async def ask(sqs: Any) -> list[str]:
        answer = await sqs.list_queues(QueueNamePrefix=QUEUE_PREFIX)
        return list(answer.get("QueueUrls", ()))

    return asking("sqs", ask)


def publish_score(tenant_id: str) -> None:
    async def ask(cloudwatch: Any) -> None:
        dimensions = {"tenant_id": tenant_id, "model_id": "m", "eval_dimension": "tone"}
        datum = {
            "MetricName": "eval_score",
            "Value": 4,
            "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        }
        await cloudwatch.put_metric_data(Namespace="LLMPlatform/EvalScores", MetricData=[datum])

    asking("cloudwatch", ask)


def test_a_tenant_comes_with_its_alarms_and_goes_with_them() -> None:
    made = command("tenant", "add", "wayne", "--daily-budget-usd", "5")
    assert re.search(r"alarms: \d+ made", made.stderr)
    there = alarm("llm-platform/tenant/wayne/budget-usd")
    assert there is not None
    assert there["Threshold"] == 120
    notice = alarm("llm-platform/tenant/wayne/budget-usd-projected.notice")
    assert notice is not None
    assert notice["ActionsSuppressor"] == "llm-platform/tenant/wayne/budget-usd"
    slower = command("tenant", "update", "wayne", "--ttft-p99-ms", "9000")
    assert "2 changed" in slower.stderr
    changed = alarm("llm-platform/tenant/wayne/ttft-p99")
    assert changed is not None
    assert changed["Threshold"] == 9_000
    gone = command("tenant", "remove", "wayne", "--yes")
    assert re.search(r"alarms: \d+ removed", gone.stderr)
    assert alarm("llm-platform/tenant/wayne/budget-usd") is None
    assert planned("--tenant", "wayne")["remove"] == []


def test_applied_twice_the_second_time_does_nothing() -> None:
    publish_score("acme")
    before = planned("--platform-wide")
    assert before["create"]
    done = command("watch", "apply", "--yes", "--platform-wide")
    assert done.exit_code == 0, done.output
    assert f"{len(before['create'])} made, {len(before['update'])} changed, 0 removed" in done.stdout
    after = planned("--platform-wide")
    assert (after["create"], after["update"], after["remove"]) == ([], {}, [])
    assert after["alarms"]["anomaly_bands"] == 1
    assert after["series"]["LLMPlatform/EvalScores"] == 1
    assert alarm("llm-platform/scores/acme/m/tone/score-anomaly") is not None


def test_somebody_elses_alarm_is_named_and_not_touched() -> None:
    name = "llm-platform/tenant/acme/latency-p99"

    async def replace_by_theirs(cloudwatch: Any) -> None:
        await cloudwatch.delete_alarms(AlarmNames=[name])
        await cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="Mine",
            MetricName="mine",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=7,
            ComparisonOperator="GreaterThanThreshold",
        )

    async def delete(cloudwatch: Any) -> None:
        await cloudwatch.delete_alarms(AlarmNames=[name])

    asking("cloudwatch", replace_by_theirs)
    try:
        assert list(planned("--tenant", "acme", status=1)["refused"]) == [name]
        done = command("watch", "apply", "--yes", "--tenant", "acme")
        assert done.exit_code == 1
        assert "it is not touched" in done.stdout
        there = alarm(name)
        assert there is not None
        assert there["Threshold"] == 7
    finally:
        asking("cloudwatch", delete)
        command("watch", "apply", "--yes", "--tenant", "acme")


def test_what_is_muted_stays_muted_through_a_change() -> None:
    name = "llm-platform/tenant/acme/ttft-p99.notice"

    async def mute(cloudwatch: Any) -> None:
        await cloudwatch.disable_alarm_actions(AlarmNames=[name])

    async def speak(cloudwatch: Any) -> None:
        await cloudwatch.enable_alarm_actions(AlarmNames=[name])

    asking("cloudwatch", mute)
    assert planned("--tenant", "acme")["muted"] == [name]
    assert "2 changed" in command("tenant", "update", "acme", "--ttft-p99-ms", "7000").stderr
    there = alarm(name)
    asking("cloudwatch", speak)
    assert there is not None
    assert there["ActionsEnabled"] is False
    assert "7,000 ms" in there["AlarmDescription"]


def test_over_budget_nothing_is_put_and_a_tenant_is_made_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WATCH_MAX_ALARMS", "5")
    made = command("tenant", "add", "initech")
    try:
        assert made.exit_code == 0, made.output
        assert made.stdout.startswith("llmp_initech_")
        assert "warning: alarms of tenant initech" in made.stderr
        assert "WATCH_MAX_ALARMS" in made.stderr
        assert alarm("llm-platform/tenant/initech/latency-p99") is None
        assert planned("--tenant", "initech", status=1)["over_budget"]
    finally:
        command("tenant", "remove", "initech", "--yes")


def test_one_alarm_rings_through_to_a_receiver() -> None:
    subscribed = command("watch", "subscribe", "warning", "jane@example.com")
    assert "...@example.com is subscribed to warning" in subscribed.stdout
    before = alarm("llm-platform/tenant/acme/latency-p99")
    rung = command("watch", "test", "llm-platform/tenant/acme/latency-p99", "--yes")
    assert rung.exit_code == 0, rung.output
    assert re.search(r"received after +\d+\.\d\d s", rung.stdout)
    assert "Answers take too long (p99): tenant acme" in rung.stdout
    assert f"View: {CONSOLE}/alarms/llm-platform%2Ftenant%2Facme%2Flatency-p99" in rung.stdout
    assert "...@example.com" in rung.stdout
    assert "jane" not in rung.stdout
    there = alarm("llm-platform/tenant/acme/latency-p99")
    assert before is not None
    assert there is not None
    assert there["StateValue"] == before["StateValue"]
    assert queues() == []
    listed = json.loads(command("watch", "receivers", "--json").stdout)
    assert [one["protocol"] for one in listed["warning"]] == ["email"]


def test_when_nothing_comes_it_says_so_and_cleans_up() -> None:
    name = "llm-platform/tenant/acme/latency-p99"

    async def mute(cloudwatch: Any) -> None:
        await cloudwatch.disable_alarm_actions(AlarmNames=[name])

    async def speak(cloudwatch: Any) -> None:
        await cloudwatch.enable_alarm_actions(AlarmNames=[name])

    asking("cloudwatch", mute)
    rung = command("watch", "test", name, "--yes", "--within-s", "1")
    asking("cloudwatch", speak)
    assert rung.exit_code == 1
    assert "nothing came in 1 s" in rung.stderr
    assert "actions are disabled" in rung.stderr
    assert queues() == []


def test_what_rings_is_listed_with_the_worst_first() -> None:
    assert command("watch", "alarms").stdout.strip() == "nothing rings"

    async def become(cloudwatch: Any, state: str) -> None:
        for key in ("latency-p99", "availability-burn-fast", "ttft-burn-fast-long"):
            await cloudwatch.set_alarm_state(
                AlarmName=f"llm-platform/tenant/acme/{key}", StateValue=state, StateReason=f"why {key}"
            )

    asking("cloudwatch", lambda cloudwatch: become(cloudwatch, "ALARM"))
    found = json.loads(command("watch", "alarms", "--json").stdout)
    asking("cloudwatch", lambda cloudwatch: become(cloudwatch, "INSUFFICIENT_DATA"))
    assert [(one["severity"], one["reason"]) for one in found] == [
        ("critical", "why availability-burn-fast"),
        ("warning", "why latency-p99"),
    ]  # the part of a burn is told by its composite


def test_an_unknown_alarm_cannot_be_rung() -> None:
    rung = command("watch", "test", "llm-platform/tenant/nobody/ttft-p99", "--yes")
    assert rung.exit_code == 1
    assert "there is no alarm" in str(rung.exception)
