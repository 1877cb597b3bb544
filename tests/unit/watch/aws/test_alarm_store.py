"""What is asked of CloudWatch, and in which pieces."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness.alarm_world import ACCOUNT, alarms, present
from llmplatform.testing import FakeClock
from watch.alarming.alarm_states import alarm_state
from watch.alarming.alarm_wire import arguments_of, tags_of
from watch.alarming.definitions import CompositeAlarm
from watch.alarming.planning import OK_ACTIONS, PUT_LAST, TAGS, Selection, Update, first_ok_is_no_news
from watch.aws.alarm_store import AlarmStore, batches
from watch.aws.pacer import Pacer
from watch.aws.pages import MAX_PAGES, TooManyPages

WANTED = alarms()
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
NAME = "llm-platform/tenant/acme/ttft-p99"
"""Silent: its notice speaks."""
SPEAKING = "llm-platform/tenant/acme/latency-p99"


class FakeCloudWatch:
    """The calls that come, and what DescribeAlarms and the tags are."""

    def __init__(
        self, *pages: Mapping[str, Any], tags: Mapping[str, list[dict[str, str]]] | None = None
    ) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._pages = list(pages)
        self._tags = tags or {}
        self.deleted: set[str] = set()
        """ARNs of alarms that are gone when their tags are asked for."""

    async def describe_alarms(self, **asked: Any) -> Mapping[str, Any]:
        self.calls.append(("describe_alarms", dict(asked)))
        return self._pages.pop(0)

    async def list_tags_for_resource(self, **asked: Any) -> Mapping[str, Any]:
        self.calls.append(("list_tags_for_resource", asked))
        if asked["ResourceARN"] in self.deleted:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "ListTagsForResource")
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


def stated(name: str, state: str) -> dict[str, Any]:
    return described(name) | {"StateValue": state, "StateUpdatedTimestamp": NOW}


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


async def test_a_new_alarm_is_not_yet_told_whom_to_tell_that_it_is_well() -> None:
    for name in (SPEAKING, f"{NAME}.notice"):
        cloudwatch = FakeCloudWatch()
        await store(cloudwatch).put(WANTED[name], None)
        ((_, arguments),) = cloudwatch.calls
        assert not PUT_LAST & arguments.keys()
        assert arguments["AlarmActions"]  # what rings from the first minute on is told


async def test_it_is_told_once_it_has_a_state() -> None:
    cloudwatch = FakeCloudWatch()
    await store(cloudwatch).complete(WANTED[SPEAKING], alarm_state(stated(SPEAKING, "ALARM")))
    assert cloudwatch.calls == [
        ("put_metric_alarm", arguments_of(WANTED[SPEAKING]) | {"ActionsEnabled": True})
    ]


async def test_without_data_it_is_well_first() -> None:
    cloudwatch = FakeCloudWatch()
    name = f"{NAME}.notice"
    await store(cloudwatch).complete(WANTED[name], alarm_state(stated(name, "INSUFFICIENT_DATA")))
    (was_set, state), (put, arguments) = cloudwatch.calls
    assert (was_set, state["StateValue"]) == ("set_alarm_state", "OK")
    assert (put, arguments) == ("put_composite_alarm", arguments_of(WANTED[name]) | {"ActionsEnabled": True})


async def test_what_was_muted_meanwhile_stays_muted() -> None:
    cloudwatch = FakeCloudWatch()
    there = alarm_state(stated(SPEAKING, "OK") | {"ActionsEnabled": False})
    await store(cloudwatch).complete(WANTED[SPEAKING], there)
    assert cloudwatch.calls[0][1]["ActionsEnabled"] is False


@pytest.mark.parametrize(
    ("name", "changed"), [(SPEAKING, (OK_ACTIONS,)), (f"{NAME}.notice", tuple(sorted(PUT_LAST)))]
)
async def test_where_only_that_is_missing_nothing_else_is_put(name: str, changed: tuple[str, ...]) -> None:
    cloudwatch = FakeCloudWatch()
    half = Update(WANTED[name], present(WANTED[name]), changed)
    assert first_ok_is_no_news(WANTED[name], half)
    await store(cloudwatch).put(WANTED[name], half)
    assert cloudwatch.calls == []


async def test_another_suppressor_is_put_at_once() -> None:
    cloudwatch = FakeCloudWatch()
    name = f"{NAME}.notice"
    await store(cloudwatch).put(
        WANTED[name], Update(WANTED[name], present(WANTED[name]), ("ActionsSuppressor",))
    )
    ((put, arguments),) = cloudwatch.calls
    assert (put, arguments) == ("put_composite_alarm", arguments_of(WANTED[name]) | {"ActionsEnabled": True})


def test_what_tells_nobody_or_told_before_has_no_first_ok() -> None:
    assert not first_ok_is_no_news(WANTED[NAME], None)
    moved = Update(WANTED[SPEAKING], present(WANTED[SPEAKING]), ("Threshold",))
    assert not first_ok_is_no_news(WANTED[SPEAKING], moved)


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


async def test_an_answer_without_an_end_is_no_picture_to_plan_on() -> None:
    endless = FakeCloudWatch(*[{"MetricAlarms": [], "NextToken": "more"}] * (MAX_PAGES + 1))
    with pytest.raises(TooManyPages, match="DescribeAlarms"):
        await store(endless).present(Selection())


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


async def test_an_alarm_that_goes_while_it_is_looked_at_is_not_ours_and_no_failure() -> None:
    cloudwatch = FakeCloudWatch({"MetricAlarms": [described(NAME)]})
    cloudwatch.deleted.add(ACCOUNT.alarm_arn(NAME))
    (found,) = await store(cloudwatch).present(Selection())
    assert not found.ours


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
