"""Clients of the gateway: tenants that ask, stream the answers, and take note of what failed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from operator_cli.drill.requests import Request

_TIMEOUT: Final = httpx.Timeout(10.0, read=60.0)
_AT_ONCE: Final = 16
"""Of one client: more would wait for a slow endpoint."""


def _question(number: int) -> str:
    return f"Question {number}: how high is the Eiffel Tower?"


@dataclass(frozen=True, slots=True)
class Lane:
    """A tenant that asks one model, again and again."""

    tenant: str
    api_key: str
    model: str
    every_s: float
    question: Callable[[int], str] = _question


class Clients:
    """All clients; what became of their requests is in `requests`."""

    def __init__(self, base_url: str) -> None:
        self.requests: list[Request] = []
        self._http = httpx.AsyncClient(base_url=base_url, timeout=_TIMEOUT, trust_env=False)
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def asking(self, lane: Lane) -> AsyncIterator[None]:
        """Ask while the block runs."""
        task = self.start(lane)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def start(self, lane: Lane) -> "asyncio.Task[None]":
        """Ask until the end, or until the task is cancelled."""
        task = asyncio.create_task(self._ask_on(lane), name=f"client {lane.tenant} {lane.model}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Stop asking."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.aclose()

    async def ask(self, lane: Lane, number: int = 1) -> Request:
        """Ask once."""
        at, started_s = datetime.now(UTC), time.monotonic()
        try:
            failure = await self._answered(lane, number)
        except httpx.HTTPError as error:
            failure = type(error).__name__
        request = Request(at, lane.tenant, lane.model, failure, 1_000 * (time.monotonic() - started_s))
        self.requests.append(request)
        return request

    async def _ask_on(self, lane: Lane) -> None:
        places = asyncio.Semaphore(_AT_ONCE)
        number = 0

        async def in_place() -> None:
            try:
                await self.ask(lane, number)
            finally:
                places.release()

        async with asyncio.TaskGroup() as asked:
            while True:
                await places.acquire()
                number += 1
                asked.create_task(in_place())
                await asyncio.sleep(lane.every_s)

    async def _answered(self, lane: Lane, number: int) -> str | None:
        """Why there is no whole answer; None where there is one."""
        body = {
            "model": lane.model,
            "stream": True,
            "messages": [{"role": "user", "content": lane.question(number)}],
        }
        headers = {"authorization": f"Bearer {lane.api_key}"}
        async with self._http.stream("POST", "/chat/completions", json=body, headers=headers) as response:
            if response.is_error:
                await response.aread()
                return f"HTTP {response.status_code} {_code(response.content)}".rstrip()
            finished = False
            async for line in response.aiter_lines():
                data = line.removeprefix("data: ")
                if data in {line, "[DONE]"}:
                    continue
                chunk: dict[str, Any] = json.loads(data)
                if "error" in chunk:
                    return f"cut by {chunk['error'].get('code') or chunk['error'].get('type')}"
                finished |= any(choice.get("finish_reason") for choice in chunk.get("choices", ()))
            return None if finished else "ended early"


def _code(content: bytes) -> str:
    try:
        error = json.loads(content)["error"]
        return str(error.get("code") or error.get("type") or "")
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
