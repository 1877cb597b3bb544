"""Tenant isolation, as an adversary would try it: every route of every process, whatever is sent."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio

from integration.isolation.cases import cases
from integration.isolation.comparing import Comparing, difference, told_of
from integration.isolation.framing import AMBIGUOUS, ambiguous
from integration.isolation.routes import PROCESSES, ROUTES, Process, routes_of
from integration.isolation.spellings import bearer
from integration.isolation.subjects import Subject
from integration.isolation.trying import Case, ask_for, with_query
from integration.isolation.wire import Answer, Connection, Sent
from integration.isolation.world import World, attacked

pytestmark = pytest.mark.asyncio(loop_scope="module")

CASES = tuple(cases())
AT_ONCE = 8
NOTHING = Sent("GET", "/")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with attacked(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def comparing(world: World) -> Mapping[str, Comparing]:
    """By tenant."""
    return {of.tenant: Comparing(of, world.nobody) for of in (*world.others, world.nobody)}


@pytest.mark.parametrize("process", PROCESSES)
async def test_the_sweep_knows_every_route(process: Process) -> None:
    known = {(route.method, route.path) for route in ROUTES if route.process == process}
    there = await routes_of(process)
    assert there - known == set(), "add it to ROUTES in tests/integration/isolation/routes.py"
    assert known - there == set(), "it is gone: take it out of ROUTES"


async def test_what_is_kept_from_others_is_there_to_be_seen(world: World) -> None:
    for one in world.others:
        found: set[str] = set()
        for route in ROUTES:
            if route.own is not None and route.open_to != "anybody":
                page = ask_for(route, world, one, route.own).with_headers(bearer(one.key))
                for sent in (page, with_query(page, "format=csv")):
                    answer = await world.wire.asked(world.urls[route.process], sent)
                    found |= told_of([one], answer, NOTHING)
        assert found == one.said


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
async def test_nothing_is_told_of_another_tenant(
    world: World, comparing: Mapping[str, Comparing], number: int
) -> None:
    case = CASES[number]
    # With the one or the other in turn; with both where the answer is more than a refusal, and compared.
    others = world.others if case.compared == "in form" else (world.others[number % 2],)
    told = {of.tenant: await _tried(world, case, of, comparing[of.tenant]) for of in others}
    if case.compared != "not":
        of_nobody = await _tried(world, case, world.nobody, comparing[world.nobody.tenant])
        for of in others:
            for its, nobodys in zip(told[of.tenant], of_nobody, strict=True):
                assert its == nobodys, difference(its, nobodys)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("wrong", AMBIGUOUS)
async def test_what_can_be_read_in_two_ways_is_refused_with_all_behind_it(
    world: World, process: Process, wrong: str
) -> None:
    headers, between = AMBIGUOUS[wrong]
    url, (one, *_) = world.urls[process], world.others
    hidden = Sent("GET", f"/tenants/{one.tenant}", (bearer(world.attacker.key),))
    connection = await Connection.to(url)
    try:
        connection.send(ambiguous(url, "/readyz", headers, between, hidden), "POST")
        answer = await connection.answer()
        assert answer is not None
        assert answer.status == 400
        assert await connection.ended() == b""
    finally:
        connection.close()


async def _tried(world: World, case: Case, of: Subject, comparing: Comparing) -> list[tuple[int, str]]:
    """The case with a subject's words: each answer is as it has to be, and says nothing of others."""
    sent = tuple(case.sends(world, of))
    answers = await _asked_all(world, case, sent)
    for one, answer in zip(sent, answers, strict=True):
        assert answer.status in case.statuses, (one, answer)
        assert told_of(world.others, answer, one) == set(), (one, answer)
    return [comparing.comparable(answer, numbers=case.compared == "exactly") for answer in answers]


async def _asked_all(world: World, case: Case, sent: tuple[Sent, ...]) -> list[Answer]:
    turns = asyncio.Semaphore(AT_ONCE)

    async def ask(one: Sent) -> Answer:
        async with turns:
            return await world.wire.asked(world.urls[case.process], one)

    return await asyncio.gather(*map(ask, sent))
