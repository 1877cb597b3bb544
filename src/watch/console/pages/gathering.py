"""What several pages read at once: metrics, how scores stand, what rings. What cannot be read is None."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from watch.alarming.alarm_states import AlarmState
from watch.console.parts import ConsoleParts
from watch.console.viewer import Viewer
from watch.metric_queries import Figures, Wanted
from watch.quality import Standing
from watch.reading.alarms import AlarmsUnavailable
from watch.reading.standing import StandingUnavailable


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a page was told."""

    figures: Figures
    standing: Standing | None
    """None where it cannot be read."""
    ringing: tuple[AlarmState, ...] | None
    """What the viewer may see of it, the worst first; None where it cannot be read."""


async def gathered(
    parts: ConsoleParts, viewer: Viewer, wants: Iterable[Wanted], tenants: Iterable[str] = ()
) -> Gathered:
    """All of it, each from its own service, at the same time."""
    figures, standing, ringing = await asyncio.gather(
        parts.metrics.read(wants), _standing(parts, tenants), _ringing(parts, viewer)
    )
    return Gathered(figures, standing, ringing)


async def _standing(parts: ConsoleParts, tenants: Iterable[str]) -> Standing | None:
    try:
        return await parts.standing.of(tenants)
    except StandingUnavailable:
        return None


async def _ringing(parts: ConsoleParts, viewer: Viewer) -> tuple[AlarmState, ...] | None:
    try:
        ringing = await parts.alarms.ringing()
    except AlarmsUnavailable:
        return None
    if viewer.sees_all:
        return ringing
    return tuple(
        alarm for alarm in ringing if alarm.tenant_id is not None and viewer.may_see(alarm.tenant_id)
    )
