"""The story of `watch apply`: read the world and the alarms, plan, hold against the budgets, then put.

What is decided is in `definitions`, `planning` and `counting`; this only asks and tells.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

import aioboto3
from botocore.exceptions import ClientError

from llmplatform.catalogue import Catalogue
from llmplatform.clock import Clock
from llmplatform.errors import PlatformFault
from llmplatform.prices import PriceTable
from watch.alarming.counting import Budgets, Standing, over_budget, standing
from watch.alarming.definitions import AccountNames, AlarmDefinition, MetricAlarm, definitions
from watch.alarming.planning import Plan, Selection, first_ok_is_no_news, plan
from watch.aws.alarm_store import AlarmStore, batches
from watch.aws.pacer import Pacer
from watch.aws.world_reader import Seen, WorldReader
from watch.limits import Limits
from watch.settings import WatchSettings

Progress = Callable[[str, int, int], None]
"""What is being done, how many of it are done, how many there are."""

_COMPLETED_AT_ONCE: Final = 25
"""Ten seconds at the quota: their states are not older than that when they are acted on."""


class OverBudget(PlatformFault):
    """There would be more alarms or series than there may be; the message says what takes how many."""

    code = "over_budget"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What alarms are made by, besides what is read."""

    catalogue: Catalogue
    limits: Limits
    prices: PriceTable
    budgets: Budgets
    bands: bool = True
    console_url: str | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, with all that it rests on."""

    plan: Plan
    seen: Seen
    standing: Standing
    over: tuple[str, ...]
    """Budgets that are not kept; while there are any, nothing is applied."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a plan."""

    created: int
    updated: int
    removed: int
    failed: tuple[tuple[str, str], ...]
    """Alarms that CloudWatch did not take, with what it said."""
    throttled: int


class Applying:
    """Plans and applies, through open clients."""

    def __init__(
        self, store: AlarmStore, world: WorldReader, account: AccountNames, pacer: Pacer, clock: Clock
    ) -> None:
        self.store = store
        self.account = account
        self._world = world
        self._pacer = pacer
        self._clock = clock

    async def plan(self, wanted: Wanted, selection: Selection) -> Planned:
        """What is to be done. Raises what the SDK raises: nothing is planned on half a picture."""
        seen = await self._world.read(wanted.catalogue)
        present = await self.store.present(selection)
        there = None if selection.platform_wide else frozenset(alarm.name for alarm in present)
        desired = self._desired(seen, wanted, there)
        made = plan(desired, present, selection, left_alone=frozenset(seen.broken))
        stands = standing(
            made,
            [alarm for alarm in present if alarm.ours or not alarm.name.startswith(selection.prefixes)],
            desired,
            seen.series,
            wanted.prices,
            at=self._today(),
            region=self.account.region,
        )
        return Planned(made, seen, stands, over_budget(stands, wanted.budgets))

    async def apply(self, planned: Planned, progress: Progress = lambda _what, _done, _all: None) -> Applied:
        """Do it, paced. One alarm that CloudWatch refuses does not keep the others from being put.

        Raises OverBudget, before anything is done. Cut off, it goes on from there when it is run again.
        """
        if planned.over and not planned.plan.empty:
            raise OverBudget("; ".join(planned.over))
        failed: list[tuple[str, str]] = []
        created = updated = removed = 0
        puts = list(planned.plan.puts())
        incomplete: list[AlarmDefinition] = []
        for done, (definition, update) in enumerate(puts, 1):
            try:
                await self.store.put(definition, update)
            except ClientError as error:
                failed.append((definition.name, _said(error)))
            else:
                created += update is None
                updated += update is not None
                if first_ok_is_no_news(definition, update):
                    incomplete.append(definition)
            progress("put", done, len(puts))
        failed += await self._complete(incomplete, progress)
        done = 0
        waiting = batches(planned.plan.remove)
        while waiting:
            batch = waiting.pop(0)
            try:
                await self.store.delete(batch)
            except ClientError as error:
                if len(batch) > 1:  # one of them keeps the others: a composite of somebody else's names it
                    waiting = [[alarm] for alarm in batch] + waiting
                    continue
                failed.append((batch[0].name, _said(error)))
            else:
                removed += len(batch)
            done += len(batch)
            progress("remove", done, len(planned.plan.remove))
        return Applied(created, updated, removed, tuple(failed), self._pacer.throttled)

    async def _complete(
        self, incomplete: Sequence[AlarmDefinition], progress: Progress
    ) -> list[tuple[str, str]]:
        """Have new alarms tell when they are well again; those that could not be told, with why."""
        failed: list[tuple[str, str]] = []
        for start in range(0, len(incomplete), _COMPLETED_AT_ONCE):
            some = incomplete[start : start + _COMPLETED_AT_ONCE]
            states = await self.store.states(names=[definition.name for definition in some])
            there = {state.name: state for state in states}
            for done, definition in enumerate(some, start + 1):
                try:
                    if definition.name in there:  # else somebody has deleted it since
                        await self.store.complete(definition, there[definition.name])
                except ClientError as error:
                    failed.append((definition.name, _said(error)))
                progress("complete", done, len(incomplete))
        return failed

    def _desired(
        self, seen: Seen, wanted: Wanted, there: frozenset[str] | None
    ) -> tuple[AlarmDefinition, ...]:
        account = replace(self.account, console_url=wanted.console_url)
        return tuple(
            definition
            for definition in definitions(seen.world, wanted.limits, account, there=there)
            if wanted.bands or not (isinstance(definition, MetricAlarm) and definition.band)
        )

    def _today(self) -> date:
        return self._clock.now().date()


@asynccontextmanager
async def open_applying(
    session: aioboto3.Session, region: str, clock: Clock, *, puts_per_s: float
) -> AsyncIterator[Applying]:
    """The clients of an account, as the environment names it, closed at the end of the block."""
    async with (
        session.client("sts") as sts,
        session.client("ssm") as ssm,
        session.client("cloudwatch") as cloudwatch,
        session.client("resourcegroupstaggingapi") as tagging,
    ):
        identity = await sts.get_caller_identity()
        partition = identity["Arn"].split(":")[1]
        pacer = Pacer(clock, puts_per_s=puts_per_s)
        yield Applying(
            AlarmStore(cloudwatch, tagging, pacer),
            WorldReader(ssm, cloudwatch, clock, pacer),
            AccountNames(identity["Account"], region, partition=partition),
            pacer,
            clock,
        )


def budgets_of(settings: WatchSettings) -> Budgets:
    """How many there may be."""
    return Budgets(settings.max_series, settings.max_alarms, settings.max_bands)


def _said(error: ClientError) -> str:
    problem = error.response["Error"]
    return f"{problem.get('Code', 'unknown')}: {problem.get('Message', '')}"
