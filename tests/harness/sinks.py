"""A sink that keeps what it is given, for tests that look at it."""

import asyncio
from typing import Generic, TypeVar

from llmplatform.sinks import SinkCounts

ItemT = TypeVar("ItemT")


class KeepingSink(Generic[ItemT]):
    """Delivers to a list."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts = SinkCounts()
        self.items: list[ItemT] = []
        self._arrived = asyncio.Event()

    def accept(self, item: ItemT) -> None:
        self.items.append(item)
        self.counts.accepted += 1
        self.counts.delivered += 1
        self._arrived.set()

    async def nth(self, number: int, *, within_s: float = 60.0) -> ItemT:
        """The `number`th item, from 1, waited for."""
        async with asyncio.timeout(within_s):
            while len(self.items) < number:
                self._arrived.clear()
                await self._arrived.wait()
        return self.items[number - 1]

    async def start(self) -> None:
        pass

    async def flush(self, deadline_s: float) -> None:
        pass
