from collections.abc import AsyncIterator

import pytest

from harness.gateway import GatewayUnderTest, running_gateway


@pytest.fixture
async def acme() -> AsyncIterator[GatewayUnderTest]:
    """A gateway with one tenant whose every answer is sampled."""
    async with running_gateway(eval_sample_rate=1.0) as gateway:
        yield gateway
