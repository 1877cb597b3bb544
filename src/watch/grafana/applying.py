"""Put the dashboards into Grafana: what is new or changed is saved, what is as it should be is left alone.

1. Search for what has our tag; of that only what has a uid of ours is ours.
2. Read each dashboard that is wanted and is there, and compare: an unchanged one is not saved again, so its
   version says how often it changed.
3. Make folders, save dashboards.
4. Delete ours that nothing wants any more, a tenant's that is gone, and its folder once it is empty.
5. Read again which tenants have a dashboard.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from watch.grafana.cells import Board, Folder, is_ours
from watch.grafana.client import Found, Grafana, Stored
from watch.grafana.dashboards import TAG, Json, encode
from watch.grafana.drawing import Places

Step = Literal["create", "update", "keep", "delete"]
MESSAGE: Final = "llm-platform watch dashboards apply"
_AT_ONCE: Final = 4
_GRAFANAS: Final = frozenset({"id", "version"})
"""What Grafana itself writes into a dashboard."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to become of one dashboard."""

    step: Step
    uid: str
    title: str
    folder: str
    """Its uid."""
    dashboard: Json | None = None
    """None for one that goes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is to be done."""

    folders: tuple[Folder, ...]
    changes: tuple[Change, ...]
    leaving: tuple[str, ...] = ()
    """Folders, by uid, of which a dashboard goes and none stays."""

    def count(self, step: Step) -> int:
        """How many dashboards it is that step for."""
        return sum(change.step == step for change in self.changes)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return self.count("keep") == len(self.changes)


async def plan(
    grafana: Grafana, boards: Sequence[Board], places: Places, *, spared: Iterable[str] = ()
) -> Plan:
    """What applying would do; changes nothing.

    Dashboards of `spared` tenants stay, wanted or not: where a policy cannot be read, no tenant is gone.
    """
    gate = asyncio.Semaphore(_AT_ONCE)

    async def stored(board: Board) -> Stored | None:
        async with gate:
            return await grafana.dashboard(board.uid)

    found = [one for one in await grafana.tagged(TAG) if is_ours(one.uid)]
    known = await asyncio.gather(*map(stored, boards))
    changes = [_change(board, places, there) for board, there in zip(boards, known, strict=True)]
    wanted = {board.uid for board in boards}
    keep = {f"tenant:{tenant}" for tenant in spared}
    going = [one for one in found if one.uid not in wanted and keep.isdisjoint(one.tags)]
    changes += [Change("delete", one.uid, one.title, one.folder_uid) for one in going]
    return Plan(_folders(boards), tuple(changes), _left(going, boards))


async def carry_out(grafana: Grafana, plan: Plan) -> None:
    """Do what is planned. Raises GrafanaFault: what was done until then stays, and the next run goes on."""
    saved = [change for change in plan.changes if change.step in {"create", "update"}]
    needed = {change.folder for change in saved}
    for folder in plan.folders:
        if folder.uid in needed:
            await grafana.put_folder(folder.uid, folder.title)
    for change in saved:
        if change.dashboard is not None:
            await grafana.put_dashboard(change.dashboard, change.folder, MESSAGE)
    for change in plan.changes:
        if change.step == "delete":
            await grafana.delete_dashboard(change.uid)
    for uid in plan.leaving:
        await grafana.delete_folder(uid)


async def tenants_without(grafana: Grafana, tenants: Iterable[str]) -> list[str]:
    """The tenants that have no dashboard of ours; there must be none."""
    tags = {tag for one in await grafana.tagged(TAG) if is_ours(one.uid) for tag in one.tags}
    return [tenant for tenant in tenants if f"tenant:{tenant}" not in tags]


def is_as_wanted(wanted: Any, stored: Any) -> bool:
    """Whether what is stored says what is wanted. Grafana may add fields, and no item to a list."""
    if isinstance(wanted, Mapping):
        return isinstance(stored, Mapping) and all(
            name in stored and is_as_wanted(value, stored[name]) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(stored, list) and len(wanted) == len(stored) and all(map(is_as_wanted, wanted, stored))
        )
    return bool(wanted == stored)


def _change(board: Board, places: Places, there: Stored | None) -> Change:
    dashboard = encode(board, places)
    step: Step = "create"
    if there is not None:
        same = there.folder_uid == board.folder.uid and is_as_wanted(_comparable(dashboard), there.dashboard)
        step = "keep" if same else "update"
    return Change(step, board.uid, board.title, board.folder.uid, dashboard)


def _comparable(dashboard: Json) -> Json:
    """Without what Grafana may raise by itself: it migrates what it stores to the newest schema."""
    return {name: value for name, value in dashboard.items() if name not in {*_GRAFANAS, "schemaVersion"}}


def _folders(boards: Iterable[Board]) -> tuple[Folder, ...]:
    return tuple({board.folder.uid: board.folder for board in boards}.values())


def _left(going: Iterable[Found], boards: Iterable[Board]) -> tuple[str, ...]:
    staying = {board.folder.uid for board in boards}
    folders = dict.fromkeys(one.folder_uid for one in going)
    return tuple(uid for uid in folders if is_ours(uid) and uid not in staying)
