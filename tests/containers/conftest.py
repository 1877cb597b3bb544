"""What the tests of the image and of docker-compose.yml share: one stack, which is up while they run."""

from collections.abc import Iterator

import pytest

from harness.compose import Stack, stack_up


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with stack_up() as up:
        yield up
