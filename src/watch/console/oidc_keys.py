"""The public keys that load balancers sign with, fetched by id and kept. Asks AWS's endpoint of the region.

A key never changes under its id. An id that the endpoint does not know is remembered for a while, so that
who sends invented ones makes us ask little.
"""

import asyncio
from collections import OrderedDict
from typing import Final, TypeVar

import aiohttp

from llmplatform.clock import Clock
from llmplatform.errors import GatewayOverloaded, Unauthenticated

_MOST_KEPT: Final = 64
_UNKNOWN_FOR_S: Final = 60.0
_MOST_BYTES: Final = 4_096
_RETRY_AFTER_S: Final = 5
_AT_ONCE: Final = 4

KeptT = TypeVar("KeptT")


class AlbKeys:
    """Public keys by id, as PEM."""

    def __init__(self, http: aiohttp.ClientSession, url: str, clock: Clock) -> None:
        self._http = http
        self._url = url
        self._clock = clock
        self._keys: OrderedDict[str, str] = OrderedDict()
        self._unknown_ns: OrderedDict[str, int] = OrderedDict()
        self._asking = asyncio.Semaphore(_AT_ONCE)

    async def key(self, kid: str) -> str:
        """The key with this id.

        Raises Unauthenticated where there is none, GatewayOverloaded where the endpoint cannot be asked.
        """
        known = self._keys.get(kid)
        if known is not None:
            return known
        unknown_ns = self._unknown_ns.get(kid)
        if unknown_ns is not None and self._clock.monotonic_ns() - unknown_ns < _UNKNOWN_FOR_S * 1e9:
            raise Unauthenticated("the load balancer's header is not valid")
        async with self._asking:
            pem = await self._fetch(kid)
        if pem is None:
            _keep(self._unknown_ns, kid, self._clock.monotonic_ns())
            raise Unauthenticated("the load balancer's header is not valid")
        _keep(self._keys, kid, pem)
        return pem

    async def _fetch(self, kid: str) -> str | None:
        try:
            async with self._http.get(f"{self._url}/{kid}", allow_redirects=False) as answer:
                if answer.status in {403, 404}:
                    return None
                answer.raise_for_status()
                body = await answer.content.read(_MOST_BYTES)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise GatewayOverloaded(
                "the load balancer's keys cannot be read now", retry_after_s=_RETRY_AFTER_S
            ) from error
        return body.decode("ascii", "replace")


def _keep(kept: OrderedDict[str, KeptT], kid: str, value: KeptT) -> None:
    kept[kid] = value
    if len(kept) > _MOST_KEPT:
        kept.popitem(last=False)
