"""An account of its own for each test: an emulator starts in less time than another one is swept."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from harness.evaluation import Account, running_account


@pytest_asyncio.fixture
async def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Account]:
    async with running_account(tmp_path, monkeypatch) as running:
        yield running
