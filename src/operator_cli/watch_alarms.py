"""`llm-platform watch alarms`: what rings now."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

from rich.table import Table

from llmplatform.clock import SystemClock
from operator_cli.console import ERR, OUT, print_table
from operator_cli.watch_account import applying_here
from watch.alarming.alarm_states import AlarmState
from watch.alarming.definitions import PREFIX
from watch.tables.rules import SEVERITIES

_DAY = timedelta(days=1)


def run_alarms(*, region: str, as_json: bool) -> None:
    """List the alarms that ring, the worst first."""
    found = [alarm for alarm in asyncio.run(_states(region)) if alarm.rings]
    found.sort(key=lambda alarm: (_rank(alarm), -alarm.since.timestamp()))
    if as_json:
        print(json.dumps([_facts(alarm) for alarm in found], indent=2))
        return
    if not found:
        OUT.print("nothing rings")
        return
    now = SystemClock().now()
    table = Table(box=None, pad_edge=False)
    for column in ("severity", "since", "alarm", "what"):
        table.add_column(column, no_wrap=True)
    table.add_column("why", overflow="fold")
    for alarm in found:
        held = f" (held: {alarm.suppressed_by})" if alarm.suppressed_by else ""
        muted = "" if alarm.actions_enabled else " (muted)"
        table.add_row(
            alarm.severity or "–",
            _since(alarm.since, now),
            alarm.name.removeprefix(PREFIX),
            f"{alarm.title}{held}{muted}",
            alarm.reason,
        )
    print_table(table)
    ERR.print(f"[dim]{len(found)} ring; parts of others are not listed[/dim]")


async def _states(region: str) -> tuple[AlarmState, ...]:
    async with applying_here(region) as applying:
        return await applying.store.states(state="ALARM")


def _rank(alarm: AlarmState) -> int:
    return len(SEVERITIES) if alarm.severity is None else SEVERITIES.index(alarm.severity)


def _since(moment: datetime, now: datetime) -> str:
    form = "%H:%M:%SZ" if now - moment < _DAY else "%Y-%m-%d %H:%MZ"
    return f"{moment:{form}}"


def _facts(alarm: AlarmState) -> dict[str, Any]:
    return {
        "alarm": alarm.name,
        "severity": alarm.severity,
        "title": alarm.title,
        "since": alarm.since.isoformat(),
        "reason": alarm.reason,
        "suppressed_by": alarm.suppressed_by,
        "actions_enabled": alarm.actions_enabled,
    }
