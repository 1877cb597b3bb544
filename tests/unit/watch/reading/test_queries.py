"""An answer is waited for; whoever ends the wait, the question is called off."""

import asyncio
from collections.abc import Awaitable

import pytest

from llmplatform.errors import TelemetryFault
from watch.reading.queries import answered


class Question:
    """Never answered; how it takes being called off is the test's."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.asked = asyncio.Event()
        self.called_off = 0
        self._refusal = refusal

    async def ask(self) -> str:
        self.asked.set()
        return "running"

    async def call_off(self) -> None:
        self.called_off += 1
        if self._refusal is not None:
            raise self._refusal

    def waited_for(self, within_s: float) -> Awaitable[str]:
        return answered(
            self.ask, running=lambda told: told == "running", call_off=self.call_off, within_s=within_s
        )


async def test_one_that_has_no_answer_in_time_is_called_off() -> None:
    question = Question()
    with pytest.raises(TimeoutError):
        await question.waited_for(0.01)
    assert question.called_off == 1


async def test_one_that_cannot_be_called_off_is_late_all_the_same() -> None:
    question = Question(TelemetryFault("it has ended already"))
    with pytest.raises(TimeoutError):
        await question.waited_for(0.01)


async def test_one_whose_asker_leaves_is_called_off() -> None:
    question = Question()
    waiting = asyncio.ensure_future(question.waited_for(60))
    await question.asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert question.called_off == 1
