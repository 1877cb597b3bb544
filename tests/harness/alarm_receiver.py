"""Who is on call: an HTTP endpoint that confirms its subscriptions and keeps what SNS sends."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aioboto3
import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

WITHIN_S = 60.0


@dataclass(slots=True)
class AlarmReceiver:
    """`notifications` are envelopes as they came; `messages` what CloudWatch wrote into them."""

    url: str = ""
    notifications: list[dict[str, Any]] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    _forgotten: int = 0
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)

    def messages(self, topic_arn: str | None = None) -> list[dict[str, Any]]:
        """What CloudWatch wrote to a topic, in the order in which it came."""
        return [
            json.loads(envelope["Message"])
            for envelope in self.notifications
            if topic_arn in {None, envelope["TopicArn"]}
        ]

    async def wait_for(self, topic_arn: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for so many messages to a topic. Raises TimeoutError."""
        async with asyncio.timeout(WITHIN_S), self._came:
            await self._came.wait_for(lambda: len(self.messages(topic_arn)) >= count)
        return self.messages(topic_arn)

    async def all_told(self, cloudwatch: Any) -> None:
        """Wait until all is here that an account's alarms say they have sent. Raises TimeoutError."""
        pages = cloudwatch.get_paginator("describe_alarm_history").paginate(
            AlarmTypes=["MetricAlarm", "CompositeAlarm"], HistoryItemType="Action"
        )
        summaries = [item["HistorySummary"] async for page in pages for item in page["AlarmHistoryItems"]]
        sent = sum(summary.startswith("Successfully") for summary in summaries)
        async with asyncio.timeout(WITHIN_S), self._came:
            await self._came.wait_for(lambda: self._forgotten + len(self.notifications) >= sent)

    def forget(self) -> None:
        """Keep nothing of what came so far."""
        self._forgotten += len(self.notifications)
        self.notifications.clear()

    async def subscribe(self, session: aioboto3.Session, endpoint_url: str, topic: str) -> str:
        """Make a topic, subscribe to it and confirm; its ARN."""
        async with session.client("sns", endpoint_url=endpoint_url) as sns:
            arn: str = (await sns.create_topic(Name=topic))["TopicArn"]
            await sns.subscribe(TopicArn=arn, Protocol="http", Endpoint=self.url)
        async with asyncio.timeout(WITHIN_S), self._came:
            await self._came.wait_for(lambda: arn in self.confirmed)
        return arn

    async def receive(self, request: web.Request) -> web.Response:
        """Take one envelope."""
        envelope = json.loads(await request.text())
        if request.headers["x-amz-sns-message-type"] == "SubscriptionConfirmation":
            async with aiohttp.ClientSession() as client, client.get(envelope["SubscribeURL"]) as visited:
                visited.raise_for_status()
            self.confirmed.append(envelope["TopicArn"])
        else:
            self.notifications.append(envelope)
        async with self._came:
            self._came.notify_all()
        return web.Response()


@contextlib.asynccontextmanager
async def serve_receiver() -> AsyncIterator[AlarmReceiver]:
    """Receive on loopback until the block ends."""
    receiver = AlarmReceiver()
    app = web.Application()
    app.router.add_post("/", receiver.receive)
    async with TestServer(app) as server:
        receiver.url = str(server.make_url("/"))
        yield receiver
