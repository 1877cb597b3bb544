"""Alarms in CloudWatch: reading those that are there with their tags, putting and deleting.

Thin: what is put is told by `watch.alarming.alarm_wire`, how fast by the pacer. Tags come from the resource
tagging API, a hundred a call; it may be a minute behind, so what it does not know of an alarm that matters is
asked of CloudWatch itself, one by one.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from llmplatform.aws.refusals import error_code
from watch.alarming.alarm_states import AlarmState, State, alarm_state
from watch.alarming.alarm_wire import Kind, arguments_of, children_of, kind_of, normal, tags_of
from watch.alarming.definitions import MANAGED, MANAGED_BY, PREFIX, AlarmDefinition
from watch.alarming.pacing import MAX_DELETED_AT_ONCE
from watch.alarming.planning import PUT_LAST, TAGS, PresentAlarm, Selection, Update, first_ok_is_no_news
from watch.aws.pacer import Pacer
from watch.aws.pages import pages

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_cloudwatch import CloudWatchClient
    from types_aiobotocore_resourcegroupstaggingapi import ResourceGroupsTaggingAPIClient

_PAGE: Final = 100
"""The most that DescribeAlarms and GetResources give at once."""
_GONE: Final = frozenset({"ResourceNotFound", "ResourceNotFoundException"})
_TAGS_AT_ONCE: Final = 4
_NEW: Final = "New, and no data yet: well until there is some that says otherwise."


class AlarmStore:
    """The alarms of an account and region, through open clients."""

    def __init__(
        self,
        cloudwatch: "CloudWatchClient",
        tagging: "ResourceGroupsTaggingAPIClient",
        pacer: Pacer,
    ) -> None:
        self._cloudwatch = cloudwatch
        self._tagging = tagging
        self._pacer = pacer

    async def present(self, selection: Selection) -> tuple[PresentAlarm, ...]:
        """Every alarm whose name begins like ours, with the tags of those that are selected."""
        found = [(kind, alarm) async for kind, alarm in self._described(PREFIX)]
        tags = await self._owned()
        unknown = [
            alarm["AlarmArn"]
            for _, alarm in found
            if alarm["AlarmArn"] not in tags and alarm["AlarmName"].startswith(selection.prefixes)
        ]
        tags |= await self._tags_of(unknown)
        return tuple(_present(kind, alarm, tags.get(alarm["AlarmArn"], {})) for kind, alarm in found)

    async def states(
        self, *, state: State | None = None, names: Sequence[str] | None = None
    ) -> tuple[AlarmState, ...]:
        """Alarms named like ours, or these, as they are now; the newest change first."""
        if names is None:
            found = [alarm_state(alarm) async for _, alarm in self._described(PREFIX, state)]
        else:
            found = [alarm_state(alarm) async for _, alarm in self._named(names)]
        return tuple(sorted(found, key=lambda alarm: (alarm.since, alarm.name), reverse=True))

    async def put(self, definition: AlarmDefinition, update: Update | None) -> None:
        """Make an alarm, or change one that is there: its state stays, and whether it acts.

        One whose first OK is no news is put without what `complete` then gives it.
        """
        arguments = arguments_of(definition)
        incomplete = first_ok_is_no_news(definition, update)
        if incomplete:
            arguments = {name: value for name, value in arguments.items() if name not in PUT_LAST}
        if update is None:
            arguments["Tags"] = tags_of(definition)
        else:
            arguments["ActionsEnabled"] = update.present.actions_enabled
            if TAGS in update.changed:  # a put changes the tags of no alarm that is there
                await self._pacer.call(
                    "TagResource",
                    lambda: self._cloudwatch.tag_resource(
                        ResourceARN=update.present.arn,
                        Tags=tags_of(definition),  # type: ignore[arg-type]  # of the stub's own dicts
                    ),
                )
            if not set(update.changed) - {TAGS} - (PUT_LAST if incomplete else set()):
                return
        await self._put(kind_of(definition), arguments)

    async def complete(self, definition: AlarmDefinition, there: AlarmState) -> None:
        """Give an alarm all that it is to have, and before that a state if it has none.

        Nothing that rings is missed: without data it is OK until there is some, a metric alarm is evaluated
        every minute, and a composite anew when it is put.
        """
        if there.state == "INSUFFICIENT_DATA":
            await self.set_state(definition.name, "OK", _NEW)
        await self._put(
            kind_of(definition), arguments_of(definition) | {"ActionsEnabled": there.actions_enabled}
        )

    async def delete(self, batch: Sequence[PresentAlarm]) -> None:
        """Delete what one call takes, see `batches`."""
        names = [alarm.name for alarm in batch]
        await self._pacer.call("DeleteAlarms", lambda: self._cloudwatch.delete_alarms(AlarmNames=names))

    async def set_state(self, name: str, state: State, reason: str) -> None:
        """Set an alarm's state, until it is next evaluated."""
        await self._pacer.call(
            "SetAlarmState",
            lambda: self._cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason=reason),
        )

    async def _put(self, kind: Kind, arguments: Mapping[str, Any]) -> None:
        if kind == "composite":
            await self._pacer.call(
                "PutCompositeAlarm", lambda: self._cloudwatch.put_composite_alarm(**arguments)
            )
        else:
            await self._pacer.call("PutMetricAlarm", lambda: self._cloudwatch.put_metric_alarm(**arguments))

    async def _described(
        self, prefix: str, state: State | None = None
    ) -> AsyncIterator[tuple[Kind, Mapping[str, Any]]]:
        asked: dict[str, Any] = {"AlarmNamePrefix": prefix}
        if state is not None:
            asked["StateValue"] = state
        async for found in self._pages(asked):
            yield found

    async def _named(self, names: Sequence[str]) -> AsyncIterator[tuple[Kind, Mapping[str, Any]]]:
        for start in range(0, len(names), _PAGE):
            async for found in self._pages({"AlarmNames": list(names[start : start + _PAGE])}):
                yield found

    async def _pages(self, asked: dict[str, Any]) -> AsyncIterator[tuple[Kind, Mapping[str, Any]]]:
        request = asked | {"AlarmTypes": ["MetricAlarm", "CompositeAlarm"], "MaxRecords": _PAGE}
        for _ in pages("DescribeAlarms"):
            page = await self._pacer.call(
                "DescribeAlarms", lambda: self._cloudwatch.describe_alarms(**request)
            )
            for alarm in page.get("MetricAlarms", ()):
                yield "metric", alarm
            for composite in page.get("CompositeAlarms", ()):
                yield "composite", composite
            token = page.get("NextToken")
            if not token:
                return
            request["NextToken"] = token

    async def _owned(self) -> dict[str, dict[str, str]]:
        """Tags by ARN of all alarms with our tag, as far as the tagging API knows."""
        tags: dict[str, dict[str, str]] = {}
        request: dict[str, Any] = {
            "ResourceTypeFilters": ["cloudwatch:alarm"],
            "TagFilters": [{"Key": MANAGED_BY, "Values": [MANAGED]}],
            "ResourcesPerPage": _PAGE,
        }
        for _ in pages("GetResources"):
            page = await self._pacer.call("GetResources", lambda: self._tagging.get_resources(**request))
            for resource in page["ResourceTagMappingList"]:
                arn = resource.get("ResourceARN", "")
                tags[arn] = {tag["Key"]: tag["Value"] for tag in resource.get("Tags", ())}
            token = page.get("PaginationToken")
            if not token:
                break
            request["PaginationToken"] = token
        return tags

    async def _tags_of(self, arns: Collection[str]) -> dict[str, dict[str, str]]:
        limit = asyncio.Semaphore(_TAGS_AT_ONCE)

        async def read(arn: str) -> tuple[str, dict[str, str]]:
            async with limit:
                try:
                    answer = await self._pacer.call(
                        "ListTagsForResource",
                        lambda: self._cloudwatch.list_tags_for_resource(ResourceARN=arn),
                    )
                except ClientError as error:
                    if error_code(error) not in _GONE:
                        raise
                    return arn, {}  # somebody deleted it since it was described: without tags it is not ours
            return arn, {tag["Key"]: tag["Value"] for tag in answer["Tags"]}

        async with asyncio.TaskGroup() as tasks:
            reads = [tasks.create_task(read(arn)) for arn in arns]
        return dict(each.result() for each in reads)


def batches(alarms: Sequence[PresentAlarm]) -> list[list[PresentAlarm]]:
    """What one DeleteAlarms takes, in order: a hundred metric alarms, or one composite."""
    made: list[list[PresentAlarm]] = []
    for alarm in alarms:
        last = made[-1] if made else None
        if (
            last is not None
            and alarm.kind == "metric"
            and last[0].kind == "metric"
            and len(last) < MAX_DELETED_AT_ONCE
        ):
            last.append(alarm)
        else:
            made.append([alarm])
    return made


def _present(kind: Kind, alarm: Mapping[str, Any], tags: Mapping[str, str]) -> PresentAlarm:
    return PresentAlarm(
        name=alarm["AlarmName"],
        kind=kind,
        arn=alarm["AlarmArn"],
        fields=normal(kind, alarm),
        tags=dict(tags),
        actions_enabled=alarm.get("ActionsEnabled", True),
        depends_on=children_of(alarm) if kind == "composite" else frozenset(),
    )
