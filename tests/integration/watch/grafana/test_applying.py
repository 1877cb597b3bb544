"""Dashboards put into a Grafana over a socket: once, again, changed, and taken away."""

import copy
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from harness.grafana_api import TOKEN, VIEWER_TOKEN, GrafanaApi, grafana_api
from harness.watched import ACME, GLOBEX, WORLD
from watch.grafana.applying import Plan, carry_out, plan, tenants_without
from watch.grafana.boards import boards, folder_of
from watch.grafana.client import Grafana, GrafanaFault
from watch.grafana.drawing import Places
from watch.limits import Limits
from watch.tables.targets import World

PLACES = Places("https://watch.example.com")
WITHOUT_GLOBEX = World(WORLD.catalogue, (ACME,))


@pytest_asyncio.fixture(name="api")
async def workspace() -> AsyncIterator[GrafanaApi]:
    async with grafana_api() as held:
        yield held


async def applied(api: GrafanaApi, world: World = WORLD, places: Places = PLACES) -> Plan:
    """What was done."""
    async with Grafana.at(api.url, TOKEN) as grafana:
        done = await plan(grafana, boards(world, Limits()), places)
        await carry_out(grafana, done)
        return done


def uid_of(tenant: str) -> str:
    return next(board.uid for board in boards(WORLD, Limits()) if board.tenant_id == tenant)


async def test_every_tenant_has_a_dashboard_in_a_folder_of_its_own(api: GrafanaApi) -> None:
    done = await applied(api)
    assert (done.count("create"), len(api.dashboards)) == (6, 6)
    for policy in (ACME, GLOBEX):
        stored = api.dashboards[uid_of(policy.tenant_id)]
        assert stored["folder_uid"] == folder_of(policy).uid
        assert api.folders[folder_of(policy).uid] == f"LLM tenant {policy.tenant_id}"
    async with Grafana.at(api.url, TOKEN) as grafana:
        assert await tenants_without(grafana, ["acme", "globex", "initech"]) == ["initech"]


@pytest.mark.parametrize("migrates_to", [None, 42])
async def test_what_is_as_it_should_be_is_not_saved_again(api: GrafanaApi, migrates_to: int | None) -> None:
    api.migrates_to = migrates_to
    await applied(api)
    saved = len(api.saves)
    again = await applied(api)
    assert again.is_empty
    assert len(api.saves) == saved
    assert {api.version(uid) for uid in api.dashboards} == {1}


async def test_what_changed_is_saved_and_nothing_else(api: GrafanaApi) -> None:
    await applied(api)
    edited = api.dashboards[uid_of("acme")]
    by_hand = copy.deepcopy(edited["dashboard"])
    by_hand["panels"] = by_hand["panels"][:-1]
    api.put(by_hand, edited["folder_uid"])
    api.dashboards[uid_of("globex")]["folder_uid"] = ""
    done = await applied(api)
    assert {change.uid for change in done.changes if change.step == "update"} == {
        uid_of("acme"),
        uid_of("globex"),
    }
    assert (api.version(uid_of("acme")), api.version(uid_of("globex"))) == (3, 2)
    assert api.dashboards[uid_of("globex")]["folder_uid"] == folder_of(GLOBEX).uid


async def test_a_tenant_that_is_gone_takes_its_dashboard_and_its_empty_folder_along(api: GrafanaApi) -> None:
    await applied(api)
    done = await applied(api, WITHOUT_GLOBEX)
    assert done.count("delete") == 1
    assert uid_of("globex") not in api.dashboards
    assert folder_of(GLOBEX).uid not in api.folders
    assert folder_of(ACME).uid in api.folders


async def test_what_is_not_ours_stays(api: GrafanaApi) -> None:
    await applied(api)
    api.put({"uid": "by-hand", "title": "Mine", "tags": ["llm-platform"]}, folder_of(GLOBEX).uid)
    await applied(api, WITHOUT_GLOBEX)
    assert set(api.dashboards) > {"by-hand"}
    assert folder_of(GLOBEX).uid in api.folders, "somebody's dashboard is in it"


async def test_a_tenant_whose_policy_cannot_be_read_keeps_its_dashboard(api: GrafanaApi) -> None:
    await applied(api)
    async with Grafana.at(api.url, TOKEN) as grafana:
        done = await plan(grafana, boards(WITHOUT_GLOBEX, Limits()), PLACES, spared=["globex"])
    assert done.count("delete") == 0


async def test_planning_changes_nothing(api: GrafanaApi) -> None:
    async with Grafana.at(api.url, TOKEN) as grafana:
        await plan(grafana, boards(WORLD, Limits()), PLACES)
    assert (api.folders, api.dashboards) == ({}, {})


@pytest.mark.parametrize(
    ("token", "said"), [("nobody", "401.*GRAFANA_TOKEN"), (VIEWER_TOKEN, "403.*role Editor")]
)
async def test_a_refusal_says_what_to_do(api: GrafanaApi, token: str, said: str) -> None:
    async with Grafana.at(api.url, token) as grafana:
        with pytest.raises(GrafanaFault, match=said):
            await carry_out(grafana, await plan(grafana, boards(WORLD, Limits()), PLACES))


async def test_a_folder_that_somebody_else_named_so_is_not_taken(api: GrafanaApi) -> None:
    api.folders["by-hand"] = "LLM tenant acme"
    with pytest.raises(GrafanaFault, match=r"409 .*same name"):
        await applied(api)


async def test_a_missing_folder_and_an_older_version_are_told_apart(api: GrafanaApi) -> None:
    async with Grafana.at(api.url, TOKEN) as grafana:
        with pytest.raises(GrafanaFault, match="404 folder not found"):
            await grafana.put_dashboard({"uid": "x", "title": "X"}, "nowhere", "")
    assert api.put({"uid": "x", "title": "X"}).status == 200
    assert api.put({"uid": "x", "title": "X", "version": 7}).status == 412


async def test_a_grafana_that_is_not_there_is_named() -> None:
    async with Grafana.at("http://127.0.0.1:9", TOKEN) as grafana:
        with pytest.raises(GrafanaFault, match=r"127\.0\.0\.1:9.*cannot be reached"):
            await grafana.tagged("llm-platform")
