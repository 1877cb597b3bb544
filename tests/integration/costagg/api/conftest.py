"""The billing API before one emulated account for all tests of a file; each finds the table empty."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from costagg.api import reading
from harness.billing import Billing, billing
from llmplatform.aws import access, parameters
from llmplatform.aws.tables import TENANT_COST
from sandbox.emulator import Emulator, sandbox_session
from sandbox.provision import create_table


@pytest.fixture(autouse=True, scope="module")
def patient() -> Iterator[None]:
    """A busy machine may take its time; how long is waited is held elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        for source in (access, parameters):
            patch.setattr(source, "READ_WITHIN_S", 60.0)
        patch.setattr(reading, "ANSWER_WITHIN_S", 120.0)
        yield


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
