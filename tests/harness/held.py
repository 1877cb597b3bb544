"""A scripted model that falls silent until a test lets it go on: what happens meanwhile has its time."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from sandbox.engines.engine import Batch, GenerationRequest
from sandbox.engines.scripted import Script, ScriptedEngine, ScriptedGeneration
from sandbox.runtime import SandboxRuntime


class _Silent(ScriptedGeneration):
    """An answer that comes to a stop."""

    def __init__(self, answer: ScriptedGeneration, pieces: int, go_on: asyncio.Event) -> None:
        super().__init__(answer._script, answer._events)
        self._pieces = pieces
        self._go_on = go_on

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """As the script has them; a stream has begun before the silence."""
        yield ()
        said = 0
        async with aclosing(super().batches()) as batches:
            async for batch in batches:
                if said == self._pieces:
                    await self._go_on.wait()
                said += 1
                yield batch


class _Held(ScriptedEngine):
    def __init__(self, script: Script, pieces: int, go_on: asyncio.Event) -> None:
        super().__init__(script)
        self._pieces = pieces
        self._go_on = go_on

    def generate(self, request: GenerationRequest) -> ScriptedGeneration:
        return _Silent(super().generate(request), self._pieces, self._go_on)


def hold(runtime: SandboxRuntime, name: str, script: Script, *, pieces: int = 0) -> asyncio.Event:
    """Have a model answer by a script, and fall silent after so many pieces of it until this is set.

    Pieces come one by one where the script has an interval.
    """
    go_on = asyncio.Event()
    runtime.scripts[name] = script
    runtime.scripts._engines[name] = _Held(script, pieces, go_on)
    return go_on
