"""Who is on call in a drill: an HTTP subscriber of the alarms' topics, as PagerDuty's integration is one."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import web

from operator_cli.drill.course import Heard
from watch.alarming.receiving import notification_in

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_sns import SNSClient

_CONFIRMED_WITHIN_S: Final = 30.0


class Receiver:
    """Confirms its subscriptions and keeps what it is told."""

    def __init__(self) -> None:
        self.url = ""
        self.heard: list[Heard] = []
        self._confirmed: set[str] = set()
        self._came = asyncio.Condition()

    async def subscribe(self, sns: "SNSClient", topic_arns: Sequence[str]) -> None:
        """Subscribe to topics, and wait for SNS to take the confirmation. Raises TimeoutError."""
        for arn in topic_arns:
            await sns.subscribe(TopicArn=arn, Protocol="http", Endpoint=self.url)
        async with asyncio.timeout(_CONFIRMED_WITHIN_S), self._came:
            await self._came.wait_for(lambda: self._confirmed >= set(topic_arns))

    def find(self, alarm: str, state: str, after: datetime) -> Heard | None:
        """The first message since a moment that an alarm came into a state."""
        return next((one for one in self.heard if _is(one, alarm, state) and one.at >= after), None)

    async def wait_for(self, alarm: str, state: str, *, after: datetime, within_s: float) -> Heard | None:
        """The same, waited for; None when it did not come in time."""
        try:
            async with asyncio.timeout(within_s), self._came:
                await self._came.wait_for(lambda: self.find(alarm, state, after) is not None)
        except TimeoutError:
            return None
        return self.find(alarm, state, after)

    async def receive(self, request: web.Request) -> web.Response:
        """Take what SNS posts."""
        body = await request.text()
        at = datetime.now(UTC)
        envelope = json.loads(body)
        if request.headers.get("x-amz-sns-message-type") == "SubscriptionConfirmation":
            async with (
                aiohttp.ClientSession() as client,
                client.get(envelope["SubscribeURL"]) as visited,
            ):
                visited.raise_for_status()
            self._confirmed.add(envelope["TopicArn"])
        elif (said := notification_in(body)) is not None:
            self.heard.append(Heard(at, envelope["TopicArn"].rpartition(":")[2], said))
        async with self._came:
            self._came.notify_all()
        return web.Response()


@asynccontextmanager
async def serve_receiver() -> AsyncIterator[Receiver]:
    """Receive on loopback until the block ends."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/", receiver.receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        yield receiver
    finally:
        await runner.cleanup()


def _is(heard: Heard, alarm: str, state: str) -> bool:
    return (heard.said.alarm, heard.said.state) == (alarm, state)
