"""CloudWatch and SNS as far as alarms are read from them: pages that a test puts in, and a fault."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from llmplatform.clock import Clock
from watch.reading.alarms import AlarmReader

SINCE = datetime(2026, 1, 31, 23, 40, tzinfo=UTC)


@dataclass
class AlarmPages:
    """Both clients in one."""

    metric: list[dict[str, Any]] = field(default_factory=list)
    composite: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    subscriptions: list[dict[str, Any]] = field(default_factory=list)
    broken: bool = False
    calls: int = 0

    def get_paginator(self, operation: str) -> "_Paginator":
        """As botocore's."""
        return _Paginator(self, operation)

    async def describe_alarms(self, *, AlarmNames: list[str], **_: Any) -> dict[str, Any]:  # noqa: N803  # AWS's
        """Those of these names."""
        self.calls += 1
        if self.broken:
            raise ClientError({"Error": {"Code": "InternalServiceFault", "Message": ""}}, "describe_alarms")
        kinds = {"MetricAlarms": self.metric, "CompositeAlarms": self.composite}
        return {
            kind: [one for one in alarms if one["AlarmName"] in AlarmNames] for kind, alarms in kinds.items()
        }

    def reader(self, clock: Clock) -> AlarmReader:
        """A reader of these pages."""
        client: Any = self
        return AlarmReader(client, client, clock)

    def put(self, name: str, state: str = "OK", **fields: Any) -> None:
        """An alarm; with an `AlarmRule` a composite."""
        alarm = {
            "AlarmName": name,
            "StateValue": state,
            "StateUpdatedTimestamp": SINCE,
            "StateTransitionedTimestamp": SINCE,
            "StateReason": "",
            "AlarmActions": [],
            "ActionsEnabled": True,
            **fields,
        }
        (self.composite if "AlarmRule" in fields else self.metric).append(alarm)


@dataclass
class _Paginator:
    pages: AlarmPages
    operation: str

    async def paginate(self, **asked: Any) -> AsyncIterator[dict[str, Any]]:
        self.pages.calls += 1
        if self.pages.broken:
            raise ClientError({"Error": {"Code": "InternalServiceFault", "Message": ""}}, self.operation)
        match self.operation:
            case "describe_alarms":
                yield {"MetricAlarms": self.pages.metric}
                yield {"CompositeAlarms": self.pages.composite}
            case "describe_alarm_history":
                wanted = asked.get("AlarmName")
                items = [item for item in self.pages.history if wanted in {None, item["AlarmName"]}]
                yield {"AlarmHistoryItems": items}
            case _:
                found = [one for one in self.pages.subscriptions if one["TopicArn"] == asked["TopicArn"]]
                yield {"Subscriptions": found}
