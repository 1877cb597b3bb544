"""The load balancers' public keys, over a socket: asked for once, and not for ever where there is none."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from llmplatform.errors import GatewayOverloaded, Unauthenticated
from llmplatform.testing import FakeClock
from watch.console.oidc_keys import AlbKeys

KID = "12345678-1234-1234-1234-123456789012"


class Endpoint:
    """AWS's endpoint of one region."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.match_info["kid"])
        known = self.asked[-1] == KID and self.status == 200
        return web.Response(text="a key") if known else web.Response(status=self.status)


@pytest_asyncio.fixture
async def endpoint() -> Endpoint:
    return Endpoint()


@pytest_asyncio.fixture
async def keys(endpoint: Endpoint) -> AsyncIterator[tuple[AlbKeys, FakeClock]]:
    app = web.Application()
    app.router.add_get("/{kid}", endpoint.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    clock = FakeClock()
    async with aiohttp.ClientSession() as http:
        yield AlbKeys(http, f"http://127.0.0.1:{port}", clock), clock
    await runner.cleanup()


async def test_a_key_is_asked_for_once(keys: tuple[AlbKeys, FakeClock], endpoint: Endpoint) -> None:
    assert [await keys[0].key(KID) for _ in range(3)] == ["a key"] * 3
    assert endpoint.asked == [KID]


@pytest.mark.parametrize("status", [403, 404])
async def test_an_invented_key_is_asked_for_once_a_minute(
    keys: tuple[AlbKeys, FakeClock], endpoint: Endpoint, status: int
) -> None:
    source, clock = keys
    endpoint.status = status
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await source.key(KID)
    assert len(endpoint.asked) == 1
    clock.advance(s=61)
    endpoint.status = 200
    assert await source.key(KID) == "a key"


async def test_an_endpoint_that_fails_makes_no_good_header_bad(
    keys: tuple[AlbKeys, FakeClock], endpoint: Endpoint
) -> None:
    endpoint.status = 500
    with pytest.raises(GatewayOverloaded):
        await keys[0].key(KID)
    endpoint.status = 200
    assert await keys[0].key(KID) == "a key"
