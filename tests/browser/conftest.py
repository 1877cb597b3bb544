"""One world and one browser for all tests here, in one event loop; each test has a person of its own.

`--shots DIR` has the journeys take the pictures of the README.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from harness.chromium import NewPerson, Person, chromium, person
from harness.night.world import World, night
from harness.wall_clock import DAY, well_within

_HERE = Path(__file__).parent
_TOLD_IN: Final = timedelta(minutes=20)
_WITHIN_S: Final = 1_800  # the first test waits for the world, and that for midnight where it is near


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shots", type=Path, help="where the journeys put pictures of pages")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.timeout(_WITHIN_S))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    await well_within(DAY, left=_TOLD_IN)  # what was spent today is looked at for as long
    async with night(tmp_path_factory.mktemp("night")) as made:
        yield made


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest.fixture
def new_person(world: World, browser: Browser, request: pytest.FixtureRequest) -> NewPerson:
    shots: Path | None = request.config.getoption("--shots")
    if shots is not None:
        shots.mkdir(parents=True, exist_ok=True)

    def make(**options: Any) -> AbstractAsyncContextManager[Person]:
        return person(browser, world.console_url, shots=shots, **options)

    return make


@pytest_asyncio.fixture(loop_scope="session")
async def somebody(new_person: NewPerson) -> AsyncIterator[Person]:
    """Not signed in."""
    async with new_person() as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def operator(somebody: Person, world: World) -> Person:
    """Signed in, on the overview."""
    await somebody.goto("/")
    await somebody.sign_in(world.operator_key)
    return somebody
