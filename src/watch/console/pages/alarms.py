"""Alarms: what rings, what happened and who was told; one alarm's page; and the runbooks.

An alarm's page is where its messages lead: it has the view with the time set around the moment of the alarm.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from fastapi import APIRouter, Request, Response

from watch.alarming.alarm_states import AlarmState, HistoryItem
from watch.alarming.definitions import PREFIX
from watch.console.faults import CannotBeRead
from watch.console.pages.asking import Asked, SignedIn
from watch.console.parts import ConsoleParts
from watch.console.rendering import address, as_csv, page
from watch.console.runbooks import runbook
from watch.console.tables import Cell, Column, Row, State, Table
from watch.console.timerange import TimeRange
from watch.console.viewer import NotThere, Viewer
from watch.reading.alarms import HISTORY_KEPT, AlarmsUnavailable, Subscription
from watch.tables.rules import Severity

_SEVERITY_STATES: Mapping[Severity | None, State] = {
    "critical": "critical",
    "warning": "warning",
    "information": "info",
    None: "info",
}
_STATES: Mapping[str, tuple[State, str]] = {
    "OK": ("ok", "OK"),
    "INSUFFICIENT_DATA": ("muted", "no data"),
}
_OUTCOMES: Mapping[str, State] = {"Succeeded": "ok", "Failed": "critical", "Suppressed": "muted"}
_ORDER = {"ALARM": 0, "OK": 1, "INSUFFICIENT_DATA": 2}


def routes(parts: ConsoleParts) -> APIRouter:
    """`/alarms`, `/alarms/{name}` and `/runbooks`."""
    router = APIRouter()

    async def seen_by(viewer: Viewer) -> list[AlarmState]:
        try:
            alarms = await parts.alarms.all()
        except AlarmsUnavailable as fault:
            raise CannotBeRead("the alarms") from fault
        return [alarm for alarm in alarms if _may_see(viewer, alarm)]

    @router.get("/alarms")
    async def all_alarms(request: Request, viewer: SignedIn, range_: Asked) -> Response:
        alarms = await seen_by(viewer)
        names = {alarm.name for alarm in alarms}
        wanted = _wanted(alarms, request.query_params)
        table = alarms_table(wanted).sorted_as(request.query_params)
        history, receivers = await asyncio.gather(_history(parts, range_, names), _receivers(parts, viewer))
        tables = [one for one in (table, history, receivers) if one is not None]
        if (file := as_csv(request, *tables)) is not None:
            return file
        return page(
            request,
            "alarms.html",
            viewer=viewer,
            title="Alarms",
            range=range_,
            ringing=[alarm for alarm in alarms if alarm.rings],
            severity_states=_SEVERITY_STATES,
            alarms=table,
            history=history,
            receivers=receivers,
            counts={state: sum(alarm.state == state for alarm in alarms) for state in _ORDER},
            asked=request.query_params,
            reloads_s=30,
        )

    @router.get("/alarms/{name:path}")
    async def one_alarm(request: Request, viewer: SignedIn, range_: Asked, name: str) -> Response:
        try:
            alarm = await parts.alarms.one(name)
        except AlarmsUnavailable as fault:
            raise CannotBeRead("the alarms") from fault
        if alarm is None or not _may_see(viewer, alarm):
            raise NotThere("alarm")
        history = await _history(parts, range_, {name}, name)
        if (file := as_csv(request, *(() if history is None else (history,)))) is not None:
            return file
        rule = alarm.rule
        return page(
            request,
            "alarm.html",
            viewer=viewer,
            title=alarm.title,
            range=range_,
            alarm=alarm,
            state=_state_cell(alarm),
            view=alarm.view(parts.clock.now()),
            runbook=None if rule is None else address(f"/runbooks/{rule.page}", {"about": alarm.name}),
            history=history,
        )

    @router.get("/runbooks")
    async def all_runbooks(request: Request, viewer: SignedIn) -> Response:
        return _runbook_page(request, viewer, None)

    @router.get("/runbooks/{name}")
    async def one_runbook(request: Request, viewer: SignedIn, name: str) -> Response:
        return _runbook_page(request, viewer, name)

    return router


def _runbook_page(request: Request, viewer: Viewer, name: str | None) -> Response:
    alarm_name = request.query_params.get("about", "")
    text = runbook(name, about_of(alarm_name))
    if text is None:
        raise NotThere("runbook")
    return page(request, "runbook.html", viewer=viewer, title="Runbook", text=text, about=alarm_name)


def about_of(alarm_name: str) -> dict[str, str]:
    """What a runbook's placeholders stand for, as an alarm's name tells."""
    subject = alarm_name.removeprefix(PREFIX).rpartition("/")[0]
    kind, _, rest = subject.partition("/")
    match kind:
        case "tenant":
            return {"tenant": rest}
        case "endpoint":
            return {"endpoint": rest.rpartition("/")[0]}
        case "model":
            return {"model": rest}
        case "scores":
            tenant, _, more = rest.partition("/")
            return {"tenant": tenant, "model": more.rpartition("/")[0], "dimension": more.rpartition("/")[2]}
        case "judge":
            return {"judge": rest}
        case _:
            return {}


def _may_see(viewer: Viewer, alarm: AlarmState) -> bool:
    tenant_id = alarm.tenant_id
    return viewer.sees_all if tenant_id is None else viewer.may_see(tenant_id)


def _wanted(alarms: list[AlarmState], query: Mapping[str, str]) -> list[AlarmState]:
    """The alarms that a query asks for: by state and part of the name; parts of composites on demand."""
    state, text = query.get("state", "ALARM"), query.get("name", "").strip().lower()
    parts = query.get("parts") == "yes"
    found = [
        alarm
        for alarm in alarms
        if (not state or alarm.state == state)
        and (not text or text in alarm.name.lower())
        and (parts or not alarm.is_part)
    ]
    return sorted(found, key=lambda alarm: (_ORDER[alarm.state], alarm.name))


def _state_cell(alarm: AlarmState) -> Cell:
    if alarm.state == "ALARM":
        note = "nobody is told: suppressed" if alarm.suppressed_by else None
        return Cell("ALARM", state=_SEVERITY_STATES[alarm.severity], note=note)
    state, text = _STATES[alarm.state]
    return Cell(text, state=state)


def alarms_table(alarms: Iterable[AlarmState]) -> Table:
    """Alarms, each with its state."""
    rows: list[Row] = [
        {
            "state": _state_cell(alarm),
            "alarm": Cell(alarm.title, href=f"/alarms/{alarm.name}"),
            "about": alarm.subject,
            "severity": alarm.severity,
            "since": alarm.since,
            "reason": alarm.reason or None,
        }
        for alarm in alarms
    ]
    return Table(
        name="alarms",
        caption="Alarms",
        columns=(
            Column("state", "State"),
            Column("alarm", "What is wrong"),
            Column("about", "About"),
            Column("severity", "Severity"),
            Column("since", "Since", "time"),
            Column("reason", "CloudWatch's reason", sortable=False),
        ),
        rows=rows,
        rests_on=f"{len(rows)} alarms",
        empty="No alarm is like that: choose another state, or a part of a name.",
    )


async def _history(
    parts: ConsoleParts, range_: TimeRange, names: Collection[str], name: str | None = None
) -> Table | None:
    """What happened to the alarms of these names, of which `name` alone is asked for where it is given."""
    try:
        found = await parts.alarms.history(name, range_.first, range_.end)
    except AlarmsUnavailable:
        return None
    read_to = max(found.read_to or range_.first, parts.clock.now() - HISTORY_KEPT)
    return history_table(
        (item for item in found.items if item.name in names),
        known_since=read_to if read_to > range_.first else None,
    )


def history_table(items: Iterable[HistoryItem], *, known_since: datetime | None = None) -> Table:
    """Changes of state and what was sent, newest first; `known_since` where that is not all of the time."""
    rows: list[Row] = [_history_row(item) for item in items if item.is_about_ringing]
    return Table(
        name="history",
        caption="What happened, and who was told",
        columns=(
            Column("at", "When", "time"),
            Column("what", "What"),
            Column("alarm", "Alarm"),
            Column("told", "Told"),
            Column("reason", "Reason", sortable=False),
        ),
        rows=rows,
        rests_on=None
        if known_since is None
        else f"what is known since {known_since:%Y-%m-%d %H:%M} UTC; of before nothing is",
        empty="Nothing happened in this time."
        if known_since is None
        else "Nothing is known to have happened: not all of this time could be looked at.",
    )


def _history_row(item: HistoryItem) -> Row:
    if item.kind == "Action":
        topic = (item.action or item.summary).rpartition(":")[2]
        return {
            "at": item.at,
            "what": Cell(item.outcome, state=_OUTCOMES.get(item.outcome or "", "info")),
            "alarm": Cell(item.name.removeprefix(PREFIX), href=f"/alarms/{item.name}"),
            "told": topic,
            "reason": None,
        }
    rang: tuple[State, str | None] = ("critical", item.state)
    state, text = _STATES.get(item.state or "", rang)
    return {
        "at": item.at,
        "what": Cell(text, state=state),
        "alarm": Cell(item.name.removeprefix(PREFIX), href=f"/alarms/{item.name}"),
        "told": None,
        "reason": item.reason or None,
    }


async def _receivers(parts: ConsoleParts, viewer: Viewer) -> Table | None:
    """Who is told; None where that cannot be read, or is not the viewer's to see."""
    if not viewer.sees_all:
        return None
    try:
        subscriptions = await parts.alarms.subscriptions()
    except AlarmsUnavailable:
        return None
    return receivers_table(subscriptions)


def receivers_table(subscriptions: Iterable[Subscription]) -> Table:
    """Who hears of alarms, by topic."""
    rows: list[Row] = [
        {
            "topic": one.topic.rpartition(":")[2],
            "protocol": one.protocol,
            "endpoint": one.endpoint,
            "confirmed": Cell("yes", state="ok") if one.confirmed else Cell("not yet", state="warning"),
        }
        for one in subscriptions
    ]
    return Table(
        name="receivers",
        caption="Who is told",
        columns=(
            Column("topic", "Topic"),
            Column("protocol", "By"),
            Column("endpoint", "Where"),
            Column("confirmed", "Confirmed"),
        ),
        rows=rows,
        empty="Nobody has subscribed to the alarms' topics: they ring here and nowhere else.",
    )
