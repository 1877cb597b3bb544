"""An account of its own for each test: an emulator starts in less time than another one is swept."""

import logging
from collections.abc import AsyncIterator, Iterator
from io import StringIO
from pathlib import Path

import pytest
import pytest_asyncio

from harness.evaluation import Account, running_account
from llmplatform.process.logging import OURS, configure_logging


@pytest_asyncio.fixture
async def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Account]:
    async with running_account(tmp_path, monkeypatch) as running:
        yield running


@pytest.fixture
def logs() -> Iterator[StringIO]:
    """What the process logs, as it would on stderr; logging is afterwards as it was."""
    names = ("", *OURS)
    levels = {name: logging.getLogger(name).level for name in names}
    handlers = logging.getLogger().handlers[:]
    written = StringIO()
    configure_logging("evalworker", stream=written)
    yield written
    logging.getLogger().handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
