"""What must be done so that the alarms that are there become those that there should be. Pure.

Ours is what has our tag, whatever its name; what has none is not touched, and where it has the name of one
that should be there it is named as refused. Applied once, the next plan is empty.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from watch.alarming.alarm_wire import Fields, Kind, fields_of, kind_of
from watch.alarming.definitions import (
    MANAGED,
    MANAGED_BY,
    PREFIX,
    SCOPE_TAG,
    TENANT_TAG,
    AlarmDefinition,
    CompositeAlarm,
    in_order,
    prefixes_of_tenant,
    tenant_of,
)

OK_ACTIONS: Final = "OKActions"
PUT_LAST: Final = frozenset(
    {OK_ACTIONS, "ActionsSuppressor", "ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod"}
)
"""What an alarm has from its second put on, see `first_ok_is_no_news`."""
TAGS: Final = "tags"
"""Named as a changed field where it is the tags that differ."""
_OF_A_TENANT: Final = frozenset({"tenant", "scores"})


@dataclass(frozen=True, slots=True)
class Selection:
    """Which alarms a plan is about; the others are left as they are."""

    platform_wide: bool = False
    """Those about the platform too: the deployment's to make."""
    tenant: str | None = None
    """Only this tenant's."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the names of all that it takes in begin with."""
        return (PREFIX,) if self.tenant is None else prefixes_of_tenant(self.tenant)

    def wants(self, definition: AlarmDefinition) -> bool:
        """Whether it takes in an alarm that there should be."""
        target = definition.told.target
        return self._takes(target.scope, tenant_of(target))

    def owns(self, tags: Mapping[str, str]) -> bool:
        """Whether it takes in an alarm of ours that is there."""
        return self._takes(tags.get(SCOPE_TAG, ""), tags.get(TENANT_TAG))

    def _takes(self, scope: str, tenant: str | None) -> bool:
        if self.tenant is not None:
            return scope in _OF_A_TENANT and tenant == self.tenant
        return self.platform_wide or scope != "platform"


@dataclass(frozen=True, slots=True)
class PresentAlarm:
    """An alarm that is there. `fields` as in `alarm_wire`."""

    name: str
    kind: Kind
    arn: str
    fields: Fields
    tags: Mapping[str, str] = field(default_factory=dict)
    actions_enabled: bool = True
    depends_on: frozenset[str] = frozenset()

    @property
    def ours(self) -> bool:
        """Whether we made it."""
        return self.tags.get(MANAGED_BY) == MANAGED


@dataclass(frozen=True, slots=True)
class Update:
    """An alarm of ours that is not as it should be."""

    definition: AlarmDefinition
    present: PresentAlarm
    changed: tuple[str, ...]
    """Its members that differ, and `tags`."""


def first_ok_is_no_news(definition: AlarmDefinition, update: Update | None) -> bool:
    """Whether an alarm has yet to learn whom to tell that it is well.

    CloudWatch begins with a state that is unknown, and a new alarm that is found well tells so: hundreds, on
    the day a platform is set up. So an alarm is put without `PUT_LAST` first, and with it once it has a state
    (and with its suppressor, or the first OK would be held, and told after the wait). Cut off in between, it
    rings all the same, and the next plan finds what is missing.
    """
    return bool(definition.told.actions) and (update is None or OK_ACTIONS in update.changed)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An alarm that cannot be put for one that is there."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done, in an order in which CloudWatch takes it: puts, then removals."""

    create: tuple[AlarmDefinition, ...] = ()
    """Children before the composites that name them."""
    update: tuple[Update, ...] = ()
    remove: tuple[PresentAlarm, ...] = ()
    """Composites first, each before those that it names."""
    unchanged: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    muted: tuple[str, ...] = ()
    """Alarms whose actions somebody has disabled: left so."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.create or self.update or self.remove)

    def puts(self) -> Iterator[tuple[AlarmDefinition, Update | None]]:
        """What is put, new or changed, children before composites."""
        updates = {update.definition.name: update for update in self.update}
        everything = (*self.create, *(update.definition for update in self.update))
        for definition in everything:
            if not isinstance(definition, CompositeAlarm):
                yield definition, updates.get(definition.name)
        for composite in in_order(each for each in everything if isinstance(each, CompositeAlarm)):
            yield composite, updates.get(composite.name)


def plan(
    desired: Iterable[AlarmDefinition],
    present: Iterable[PresentAlarm],
    selection: Selection,
    *,
    left_alone: frozenset[str] = frozenset(),
) -> Plan:
    """What must be done for what is selected.

    `left_alone` are tenants of whom nobody knows what they should have, since their documents do not parse:
    their alarms stay.
    """
    wanted = {definition.name: definition for definition in desired if selection.wants(definition)}
    there = {alarm.name: alarm for alarm in present}
    create: list[AlarmDefinition] = []
    update: list[Update] = []
    refused: list[Refusal] = []
    unchanged: list[str] = []
    for name, definition in wanted.items():
        alarm = there.get(name)
        if alarm is None:
            create.append(definition)
        elif not alarm.ours:
            refused.append(Refusal(name, f"an alarm of this name is there without the tag {MANAGED_BY}"))
        elif alarm.kind != kind_of(definition):
            refused.append(Refusal(name, f"a {alarm.kind} alarm of this name is there: delete it"))
        elif changed := _changed(definition, alarm):
            update.append(Update(definition, alarm, changed))
        else:
            unchanged.append(name)
    remove = [
        alarm
        for alarm in there.values()
        if alarm.ours
        and alarm.name not in wanted
        and selection.owns(alarm.tags)
        and alarm.tags.get(TENANT_TAG) not in left_alone
    ]
    return Plan(
        tuple(create),
        tuple(update),
        tuple(_removable(remove)),
        tuple(unchanged),
        tuple(refused),
        tuple(name for name in wanted if name in there and not there[name].actions_enabled),
    )


def _changed(definition: AlarmDefinition, alarm: PresentAlarm) -> tuple[str, ...]:
    wanted, there = fields_of(definition), alarm.fields
    names = dict.fromkeys((*wanted, *there))
    changed = [name for name in names if wanted.get(name) != there.get(name)]
    if any(alarm.tags.get(key) != value for key, value in definition.told.tags):
        changed.append(TAGS)
    return tuple(changed)


def _removable(alarms: Iterable[PresentAlarm]) -> Iterator[PresentAlarm]:
    """Composites, each before those that it depends on, then metric alarms, on which nothing rests by then.

    A circle of composites, which CloudWatch does not take away, comes as it is and is refused there.
    """
    everything = tuple(alarms)
    waiting = {alarm.name: alarm for alarm in everything if alarm.kind == "composite"}
    while waiting:
        needed = frozenset().union(*(alarm.depends_on for alarm in waiting.values()))
        ready = [alarm for alarm in waiting.values() if alarm.name not in needed] or list(waiting.values())
        yield from ready
        for alarm in ready:
            del waiting[alarm.name]
    yield from (alarm for alarm in everything if alarm.kind == "metric")
