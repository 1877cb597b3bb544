"""An alarm as it stands and what became of it, as CloudWatch tells: which rule, about what, since when. Pure.

What an alarm is about is read from its name, as `definitions` makes it; one that only begins as ours do is
shown with what CloudWatch itself says of it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

from watch.alarming.definitions import NOTICE, PREFIX, rule_named
from watch.tables.rules import MetricRule, Rule, Severity

State = Literal["ALARM", "OK", "INSUFFICIENT_DATA"]
HistoryKind = Literal["StateUpdate", "Action", "ConfigurationUpdate"]

_BEFORE: Final = timedelta(minutes=30)
_AFTER: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class AlarmState:
    """One alarm of ours, now."""

    name: str
    state: State
    since: datetime
    """When it last changed its state."""
    reason: str
    description: str
    rule: Rule | None
    """None for a name that is in no table."""
    notifies: tuple[str, ...]
    """ARNs of what is told when it rings."""
    actions_enabled: bool
    suppressed_by: str | None
    """Why nobody is told just now: CloudWatch's word for it."""
    composite: bool

    @property
    def key(self) -> str:
        """Key of its rule."""
        return self.name.rpartition("/")[2].removesuffix(NOTICE)

    @property
    def subject(self) -> str:
        """What it is about, as in its name: `tenant/acme`."""
        return self.name.removeprefix(PREFIX).rpartition("/")[0]

    @property
    def tenant_id(self) -> str | None:
        """The tenant that it is about; None for what belongs to no tenant."""
        kind, _, rest = self.subject.partition("/")
        return rest.partition("/")[0] if kind in {"tenant", "scores"} else None

    @property
    def title(self) -> str:
        """What is wrong, in words."""
        return self.rule.title if self.rule is not None else self.name

    @property
    def severity(self) -> Severity | None:
        """How bad it is; None for what is in no table."""
        return None if self.rule is None else self.rule.severity

    @property
    def rings(self) -> bool:
        """Whether it rings for people, and not for another alarm that speaks for it."""
        return self.state == "ALARM" and not self.is_part

    @property
    def is_part(self) -> bool:
        """Whether another alarm speaks for it: a composite that it is a part of, or its own notice."""
        if not isinstance(self.rule, MetricRule) or self.composite:
            return False
        return not self.rule.notifies or (self.rule.suppressed_by is not None and not self.notifies)

    def view(self, now: datetime) -> str:
        """The page about its subject, with the time set around the moment at which it changed."""
        first = self.since - _BEFORE
        last = min(self.since + _AFTER, now) if self.state != "ALARM" else now
        kind, _, rest = self.subject.partition("/")
        query: dict[str, str] = {}
        match kind:
            case "tenant":
                path = f"/tenants/{rest}"
            case "endpoint":
                path = f"/endpoints/{quote(rest.rpartition('/')[0], safe='')}"
            case "model":
                path = f"/models/{quote(rest, safe='')}"
            case "scores":
                path, query = _scores_view(rest)
            case "judge":
                path = "/evaluations"
            case _:
                path = "/platform"
        query |= {"from": f"{first:%Y-%m-%dT%H:%MZ}", "to": f"{last:%Y-%m-%dT%H:%MZ}"}
        return f"{path}?{urlencode(query, safe=':')}"


def _scores_view(rest: str) -> tuple[str, dict[str, str]]:
    tenant_id, _, more = rest.partition("/")
    model_id, _, dimension = more.rpartition("/")
    return f"/evaluations/{tenant_id}", {"model": model_id, "dimension": dimension}


def alarm_state(document: Mapping[str, Any]) -> AlarmState:
    """The alarm that an entry of DescribeAlarms tells of, metric or composite."""
    return AlarmState(
        name=document["AlarmName"],
        state=document["StateValue"],
        since=document.get("StateTransitionedTimestamp") or document["StateUpdatedTimestamp"],
        reason=document.get("StateReason", ""),
        description=document.get("AlarmDescription", ""),
        rule=rule_named(document["AlarmName"]),
        notifies=tuple(document.get("AlarmActions", ())),
        actions_enabled=document.get("ActionsEnabled", True),
        suppressed_by=document.get("ActionsSuppressedBy"),
        composite="AlarmRule" in document,
    )


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """Something that happened to an alarm."""

    name: str
    at: datetime
    kind: HistoryKind
    summary: str
    state: State | None = None
    """What it became, of a change of state."""
    before: State | None = None
    reason: str = ""
    action: str | None = None
    """ARN of what was told, of an action."""
    outcome: str | None = None
    """`Succeeded`, `Failed` or `Suppressed`, of an action."""

    @property
    def is_about_ringing(self) -> bool:
        """Whether it rang, ended or told somebody; not that data came, or a setting changed."""
        return self.kind == "Action" or "ALARM" in {self.state, self.before}


def history_item(document: Mapping[str, Any]) -> HistoryItem:
    """The item that an entry of DescribeAlarmHistory tells of; data that cannot be read is left out."""
    try:
        data = json.loads(document.get("HistoryData") or "{}")
    except ValueError:
        data = {}
    known = data if isinstance(data, dict) else {}
    new, old = known.get("newState", {}), known.get("oldState", {})
    return HistoryItem(
        name=document["AlarmName"],
        at=document["Timestamp"],
        kind=document["HistoryItemType"],
        summary=document.get("HistorySummary", ""),
        state=new.get("stateValue"),
        before=old.get("stateValue"),
        reason=new.get("stateReason", ""),
        action=known.get("notificationResource"),
        outcome=known.get("actionState"),
    )
