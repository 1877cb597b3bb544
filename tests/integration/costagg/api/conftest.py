"""The billing API before one emulated account for all tests of a file; each finds the table empty."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from harness.billing import Billing, billing
from llmplatform.aws.tables import TENANT_COST
from sandbox.emulator import Emulator, sandbox_session
from sandbox.provision import create_table


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="account")
async def whole_account(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Billing]:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        async with sandbox_session().client("dynamodb", endpoint_url=aws.url) as dynamodb:
            await create_table(dynamodb, TENANT_COST)
        async with billing(aws.url) as made:
            yield made


@pytest_asyncio.fixture(loop_scope="module")
async def api(account: Billing) -> Billing:
    await account.clear()
    return account
