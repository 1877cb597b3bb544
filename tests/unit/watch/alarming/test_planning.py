"""A plan makes the alarms that are there those that there should be, and touches nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.alarm_world import ACME, GLOBEX, WORLD, alarms, foreign, present
from watch.alarming.alarm_wire import fields_of, kind_of
from watch.alarming.definitions import MANAGED_BY, AlarmDefinition, CompositeAlarm
from watch.alarming.planning import TAGS, Plan, PresentAlarm, Selection, plan
from watch.limits import Limits
from watch.tables.targets import Scores, World

ALL = Selection(platform_wide=True)
WANTED = alarms()


@dataclass
class Store:
    """CloudWatch, as far as it refuses: a composite without its children, and children that are needed."""

    alarms: dict[str, PresentAlarm] = field(default_factory=dict)

    def apply(self, made: Plan) -> None:
        for definition, update in made.puts():
            if isinstance(definition, CompositeAlarm):
                assert definition.depends_on <= self.alarms.keys(), definition.name
            before = self.alarms.get(definition.name)
            assert (before is not None) == (update is not None)
            assert before is None or before.ours
            put = present(definition)
            tags = put.tags if before is None else {**before.tags, **put.tags}
            enabled = True if before is None else before.actions_enabled
            self.alarms[put.name] = replace(put, tags=tags, actions_enabled=enabled)
        for alarm in made.remove:
            assert self.alarms[alarm.name].ours
            users = [other.name for other in self.alarms.values() if alarm.name in other.depends_on]
            assert not users, (alarm.name, users)
            del self.alarms[alarm.name]


def stored(definitions: Iterable[AlarmDefinition]) -> Store:
    return Store({one.name: present(one) for one in definitions})


def test_in_an_empty_account_everything_is_made() -> None:
    made = plan(WANTED.values(), (), ALL)
    assert [one.name for one in made.create] == list(WANTED)
    assert not made.update
    assert not made.remove


def test_a_second_plan_is_empty() -> None:
    store = Store()
    store.apply(plan(WANTED.values(), (), ALL))
    again = plan(WANTED.values(), store.alarms.values(), ALL)
    assert again.empty
    assert set(again.unchanged) == set(WANTED)


def test_a_changed_objective_changes_its_alarms_and_names_the_members() -> None:
    store = stored(WANTED.values())
    slower = ACME.model_copy(update={"objectives": ACME.objectives.model_copy(update={"ttft_p99_ms": 2_000})})
    made = plan(alarms(replace(WORLD, tenants=(slower, GLOBEX))).values(), store.alarms.values(), ALL)
    assert {one.definition.name: one.changed for one in made.update} == {
        "llm-platform/tenant/acme/ttft-p99": ("AlarmDescription", "Threshold"),
        "llm-platform/tenant/acme/ttft-p99.notice": ("AlarmDescription",),
    }
    assert not made.create
    assert not made.remove


def test_a_tenant_that_is_gone_takes_its_alarms_with_it() -> None:
    store = stored(WANTED.values())
    gone = plan(
        alarms(replace(WORLD, tenants=(GLOBEX,), scores=WORLD.scores[1:])).values(),
        store.alarms.values(),
        ALL,
    )
    assert {alarm.name for alarm in gone.remove} == {
        name for name in WANTED if name.startswith(("llm-platform/tenant/acme/", "llm-platform/scores/acme/"))
    }
    store.apply(gone)


def test_composites_go_before_what_they_name() -> None:
    store = stored(WANTED.values())
    everything = plan((), store.alarms.values(), ALL)
    kinds = [alarm.kind for alarm in everything.remove]
    assert kinds == sorted(kinds)  # composites, then metric alarms
    store.apply(everything)
    assert not store.alarms


def test_what_has_no_tag_of_ours_is_not_touched_and_is_named() -> None:
    name = "llm-platform/tenant/acme/ttft-p99"
    store = stored(WANTED.values())
    theirs = replace(foreign(store.alarms[name]), fields={"Threshold": 1.0})
    store.alarms[name] = theirs
    made = plan(WANTED.values(), store.alarms.values(), ALL)
    assert made.empty
    assert [(one.name, MANAGED_BY in one.reason) for one in made.refused] == [(name, True)]
    assert not plan((), [theirs], ALL).remove


def test_another_kind_of_alarm_in_the_way_is_named() -> None:
    name = "llm-platform/tenant/acme/ttft-p99"
    made = plan(WANTED.values(), [replace(present(WANTED[name]), kind="composite")], ALL)
    assert [one.name for one in made.refused] == [name]
    assert name not in {one.name for one in made.create}


def test_lost_tags_are_put_back_and_others_tags_stay() -> None:
    name = "llm-platform/tenant/acme/ttft-p99"
    alarm = present(WANTED[name])
    changed = replace(alarm, tags={**alarm.tags, "llm-platform:severity": "critical", "team": "search"})
    store = Store({name: changed})
    made = plan([WANTED[name]], store.alarms.values(), ALL)
    assert [one.changed for one in made.update] == [(TAGS,)]
    store.apply(made)
    assert store.alarms[name].tags == {**alarm.tags, "team": "search"}


def test_what_somebody_muted_stays_muted_and_is_told() -> None:
    name = "llm-platform/tenant/acme/latency-p99"
    store = stored(WANTED.values())
    store.alarms[name] = replace(store.alarms[name], actions_enabled=False)
    made = plan(WANTED.values(), store.alarms.values(), ALL)
    assert made.empty
    assert made.muted == (name,)


def test_by_default_the_deployments_alarms_are_left_alone() -> None:
    store = stored(WANTED.values())
    made = plan((), store.alarms.values(), Selection())
    assert {alarm.tags["llm-platform:scope"] for alarm in made.remove} == {
        "tenant",
        "endpoint",
        "model",
        "scores",
        "judge",
    }
    fresh = plan(WANTED.values(), (), Selection())
    assert "platform" not in {one.told.target.scope for one in fresh.create}


def test_one_tenants_plan_is_about_it_alone() -> None:
    fresh = plan(WANTED.values(), (), Selection(tenant="acme"))
    assert {one.name for one in fresh.create} == {
        name for name in WANTED if name.startswith(Selection(tenant="acme").prefixes)
    }
    gone = plan((), stored(WANTED.values()).alarms.values(), Selection(tenant="acme"))
    assert len(gone.remove) == len(fresh.create)


def test_a_tenants_prefix_is_not_anothers() -> None:
    assert not "llm-platform/tenant/acme-2/ttft-p99".startswith(Selection(tenant="acme").prefixes)


def test_alarms_of_a_tenant_whose_documents_do_not_parse_stay() -> None:
    store = stored(WANTED.values())
    made = plan(
        alarms(replace(WORLD, tenants=(GLOBEX,), scores=WORLD.scores[1:])).values(),
        store.alarms.values(),
        ALL,
        left_alone=frozenset({"acme"}),
    )
    assert made.empty


WORLDS = st.builds(
    World,
    st.just(WORLD.catalogue),
    st.lists(st.sampled_from((ACME, GLOBEX)), unique_by=lambda one: one.tenant_id).map(tuple),
    st.lists(
        st.builds(
            Scores, st.sampled_from(("acme", "globex")), st.sampled_from(("m1", "m2")), st.just("tone")
        ),
        max_size=3,
        unique=True,
    ).map(tuple),
    st.lists(st.sampled_from(("j1", "j2")), unique=True).map(tuple),
)
SELECTIONS = st.builds(Selection, st.booleans(), st.sampled_from((None, "acme", "globex")))


@settings(max_examples=40)
@given(before=WORLDS, after=WORLDS, selection=SELECTIONS, gpu=st.integers(50, 99), data=st.data())
def test_any_world_becomes_any_other_and_then_nothing_is_left_to_do(
    before: World, after: World, selection: Selection, gpu: int, data: st.DataObject
) -> None:
    store = stored(alarms(before).values())
    theirs = set(data.draw(st.lists(st.sampled_from(sorted(store.alarms)), max_size=3)))
    for name in theirs:
        store.alarms[name] = foreign(store.alarms[name])
    untouched = {
        name: alarm
        for name, alarm in store.alarms.items()
        if name in theirs or not selection.owns(alarm.tags)
    }
    wanted = alarms(after, Limits(gpu_percent=gpu)).values()
    made = plan(wanted, store.alarms.values(), selection)
    needed_by_theirs = {child for name in theirs for child in store.alarms[name].depends_on}
    if not needed_by_theirs & {alarm.name for alarm in made.remove}:
        store.apply(made)
        again = plan(wanted, store.alarms.values(), selection)
        assert again.empty
        assert {one.name for one in again.refused} == {one.name for one in made.refused}
        for name, alarm in untouched.items():
            assert store.alarms[name] == alarm


@pytest.mark.parametrize(
    "name", ["llm-platform/tenant/acme/ttft-p99.notice", "llm-platform/tenant/acme/ttft-p99"]
)
def test_each_member_that_differs_is_named(name: str) -> None:
    definition = WANTED[name]
    for member in fields_of(definition):
        alarm = present(definition)
        changed = replace(alarm, fields={**alarm.fields, member: "other"})
        made = plan([definition], [changed], ALL)
        assert [one.changed for one in made.update] == [(member,)]
        assert kind_of(definition) == changed.kind
