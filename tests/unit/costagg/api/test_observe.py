"""What stands around every request: here, that nobody works for a client that is gone."""

import asyncio
import logging

import pytest

from costagg.api.observe import Message, Receive, Scope, Send, observing
from llmplatform.testing import FakeClock


def a_request(*messages: Message) -> tuple[Scope, Receive]:
    """A request whose client sends these messages, and then nothing more."""
    waiting = list(messages)

    async def receive() -> Message:
        return waiting.pop(0) if waiting else await asyncio.Future()

    return {"type": "http", "method": "GET"}, receive


async def nowhere(_message: Message) -> None:
    """A client that takes what it is sent."""


REQUEST: Message = {"type": "http.request", "body": b"", "more_body": False}
GONE: Message = {"type": "http.disconnect"}


async def test_a_client_that_hangs_up_ends_the_work_for_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="costagg.api")
    ended: list[str] = []

    async def reads_for_long(_scope: Scope, _receive: Receive, _send: Send) -> None:
        try:
            await asyncio.Future()
        finally:
            ended.append("reading")

    async with asyncio.timeout(60):
        await observing(reads_for_long, FakeClock())(*a_request(REQUEST, GONE), nowhere)
    assert ended == ["reading"]
    (line,) = caplog.records
    assert line.__dict__["status"] is None


async def test_an_answer_that_has_begun_is_ended_in_order() -> None:
    done: list[str] = []

    async def answers(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.01)
        done.append("answer")

    async with asyncio.timeout(60):
        await observing(answers, FakeClock())(*a_request(REQUEST, GONE), nowhere)
    assert done == ["answer"]


async def test_a_bug_is_logged_and_ends_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise LookupError

    async with asyncio.timeout(60):
        await observing(fails, FakeClock())(*a_request(REQUEST), nowhere)
    assert "a request failed" in caplog.messages
    assert len(asyncio.all_tasks()) == 1
