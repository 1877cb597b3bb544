"""What is asked of CloudWatch, and in which pieces."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.alarm_world import ACCOUNT, alarms, present
from llmplatform.testing import FakeClock
from watch.alarm_wire import arguments_of, tags_of
from watch.aws.alarm_store import AlarmStore, batches
from watch.aws.pacer import Pacer
from watch.definitions import CompositeAlarm
from watch.planning import TAGS, Selection, Update

WANTED = alarms()
NAME = "llm-platform/tenant/acme/ttft-p99"


class FakeCloudWatch:
    """The calls that come, and what DescribeAlarms and the tags are."""

    def __init__(
        self, *pages: Mapping[str, Any], tags: Mapping[str, list[dict[str, str]]] | None = None
    ) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._pages = list(pages)
        self._tags = tags or {}

    async def describe_alarms(self, **asked: Any) -> Mapping[str, Any]:
        self.calls.append(("describe_alarms", dict(asked)))
        return self._pages.pop(0)

    async def list_tags_for_resource(self, **asked: Any) -> Mapping[str, Any]:
        self.calls.append(("list_tags_for_resource", asked))
        return {"Tags": self._tags.get(asked["ResourceARN"], [])}

    def __getattr__(self, name: str) -> Any:
        async def call(**asked: Any) -> Mapping[str, Any]:
            self.calls.append((name, asked))
            return {}

        return call


class FakeTagging:
    """The tagging API, which may be behind."""

    def __init__(self, *arns: str) -> None:
        self._arns = arns

    async def get_resources(self, **_: Any) -> Mapping[str, Any]:
        ours = [{"Key": "llm-platform:managed-by", "Value": "watch"}]
        return {"ResourceTagMappingList": [{"ResourceARN": arn, "Tags": ours} for arn in self._arns]}


def store(cloudwatch: Any, tagging: Any = None) -> AlarmStore:
    clock = FakeClock()

    async def pause(seconds: float) -> None:
        clock.advance(s=seconds)

    known: Any = tagging or FakeTagging()
    return AlarmStore(cloudwatch, known, Pacer(clock, pause=pause))


def described(name: str) -> dict[str, Any]:
    return arguments_of(WANTED[name]) | {"AlarmArn": ACCOUNT.alarm_arn(name)}


async def test_a_new_alarm_is_put_with_its_tags() -> None:
    cloudwatch = FakeCloudWatch()
    await store(cloudwatch).put(WANTED[NAME], None)
    expected = arguments_of(WANTED[NAME]) | {"Tags": tags_of(WANTED[NAME])}
    assert cloudwatch.calls == [("put_metric_alarm", expected)]


async def test_a_changed_one_keeps_whether_it_acts_and_is_tagged_apart() -> None:
    cloudwatch = FakeCloudWatch()
    there = replace(present(WANTED[NAME]), actions_enabled=False)
    await store(cloudwatch).put(WANTED[NAME], Update(WANTED[NAME], there, ("Threshold", TAGS)))
    (tagged, tags), (put, arguments) = cloudwatch.calls
    assert (tagged, put) == ("tag_resource", "put_metric_alarm")
    assert tags["Tags"] == tags_of(WANTED[NAME])
    assert arguments["ActionsEnabled"] is False
    assert "Tags" not in arguments


async def test_where_only_tags_differ_nothing_is_put() -> None:
    cloudwatch = FakeCloudWatch()
    await store(cloudwatch).put(WANTED[NAME], Update(WANTED[NAME], present(WANTED[NAME]), (TAGS,)))
    assert [name for name, _ in cloudwatch.calls] == ["tag_resource"]


async def test_a_composite_is_put_as_one() -> None:
    cloudwatch = FakeCloudWatch()
    await store(cloudwatch).put(WANTED[f"{NAME}.notice"], None)
    assert [name for name, _ in cloudwatch.calls] == ["put_composite_alarm"]


async def test_all_pages_of_both_kinds_are_read() -> None:
    cloudwatch = FakeCloudWatch(
        {"MetricAlarms": [described(NAME)], "NextToken": "more"},
        {"CompositeAlarms": [described(f"{NAME}.notice")]},
    )
    found = await store(cloudwatch).present(Selection())
    assert [(one.name, one.kind) for one in found] == [(NAME, "metric"), (f"{NAME}.notice", "composite")]
    first, second = (asked for name, asked in cloudwatch.calls if name == "describe_alarms")
    assert first["AlarmTypes"] == ["MetricAlarm", "CompositeAlarm"]
    assert "NextToken" not in first
    assert second["NextToken"] == "more"


async def test_tags_that_the_tagging_api_does_not_know_yet_are_asked_for() -> None:
    other = "llm-platform/tenant/acme/latency-p99"
    fresh = ACCOUNT.alarm_arn(other)
    cloudwatch = FakeCloudWatch(
        {"MetricAlarms": [described(NAME), described(other)]},
        tags={fresh: [{"Key": "llm-platform:managed-by", "Value": "watch"}]},
    )
    found = await store(cloudwatch, FakeTagging(ACCOUNT.alarm_arn(NAME))).present(Selection())
    assert [one.ours for one in found] == [True, True]
    asked = [asked["ResourceARN"] for name, asked in cloudwatch.calls if name == "list_tags_for_resource"]
    assert asked == [fresh]


async def test_tags_of_alarms_that_are_not_selected_are_not_asked_for() -> None:
    cloudwatch = FakeCloudWatch({"MetricAlarms": [described(NAME)]})
    await store(cloudwatch).present(Selection(tenant="globex"))
    assert [name for name, _ in cloudwatch.calls] == ["describe_alarms"]


@pytest.mark.parametrize(("metric", "composite"), [(0, 3), (100, 0), (250, 2)])
def test_composites_go_one_by_one_and_metric_alarms_by_the_hundred(metric: int, composite: int) -> None:
    alarm = present(WANTED[NAME])
    notice = present(next(one for one in WANTED.values() if isinstance(one, CompositeAlarm)))
    made = batches([notice] * composite + [alarm] * metric)
    sizes = [len(batch) for batch in made]
    assert sizes == [1] * composite + [100] * (metric // 100) + ([metric % 100] if metric % 100 else [])
    assert all(len({one.kind for one in batch}) == 1 for batch in made)
