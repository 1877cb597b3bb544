"""An emulated account, one for all tests of the stores, with a table and a bucket for each test."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from evalworker.stores.objects import Objects
from evalworker.stores.results import Results
from harness.eval_stores import results_at
from llmplatform.aws.tables import EVAL_RESULTS
from sandbox.emulator import Emulator, sandbox_session
from sandbox.provision import create_table


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="aws")
async def emulated(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        yield aws


@pytest_asyncio.fixture(loop_scope="module")
async def dynamodb(aws: Emulator) -> AsyncIterator[Any]:
    async with sandbox_session().client("dynamodb", endpoint_url=aws.url) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def table(dynamodb: Any) -> str:
    """The name of an empty table of results."""
    name = f"{EVAL_RESULTS.name}-{secrets.token_hex(4)}"
    await create_table(dynamodb, replace(EVAL_RESULTS, name=name))
    return name


@pytest_asyncio.fixture(loop_scope="module")
async def results(aws: Emulator, table: str) -> AsyncIterator[Results]:
    async with results_at(aws.url, table) as store:
        yield store


@pytest_asyncio.fixture(loop_scope="module")
async def s3(aws: Emulator) -> AsyncIterator[Any]:
    async with sandbox_session().client("s3", endpoint_url=aws.url) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def bucket(s3: Any) -> str:
    """The name of an empty bucket."""
    name = f"history-{secrets.token_hex(4)}"
    await s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def objects(s3: Any, bucket: str) -> Objects:
    return Objects(s3, bucket)
