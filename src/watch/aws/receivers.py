"""Who receives what a topic is told: subscriptions, and a queue of our own for the length of a test."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from watch.alarming.receiving import Notification, Receiver, notification_in, queue_policy, receiver

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_sns import SNSClient
    from types_aiobotocore_sqs import SQSClient

QUEUE_PREFIX: Final = "llm-platform-watch-test-"
_POLL_S: Final = 3
"""Within the time in which our clients expect an answer."""
_KEPT_S: Final = "300"
"""How long the queue keeps messages: should it be left behind, it holds nothing for long."""


async def receivers(sns: "SNSClient", topic_arn: str) -> tuple[Receiver, ...]:
    """Everybody who is subscribed to a topic, secrets masked."""
    found = []
    pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic_arn)
    async for page in pages:
        found += [
            receiver(one.get("Protocol", ""), one.get("Endpoint", ""), one.get("SubscriptionArn", ""))
            for one in page["Subscriptions"]
        ]
    return tuple(sorted(found, key=lambda one: (one.protocol, one.address)))


async def subscribe(sns: "SNSClient", topic_arn: str, protocol: str, endpoint: str) -> str:
    """Subscribe an address; the ARN of the subscription. It counts once the receiver has confirmed it."""
    answer = await sns.subscribe(
        TopicArn=topic_arn, Protocol=protocol, Endpoint=endpoint, ReturnSubscriptionArn=True
    )
    return answer["SubscriptionArn"]


class Listening:
    """A queue that gets what a topic is told."""

    def __init__(self, sqs: "SQSClient", queue_url: str) -> None:
        self._sqs = sqs
        self._queue_url = queue_url

    async def wait_for(self, alarm: str, state: str, *, within_s: float) -> Notification | None:
        """The notification that the alarm came into the state; None when none came in time."""
        deadline_s = time.monotonic() + within_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            answer = await self._sqs.receive_message(
                QueueUrl=self._queue_url,
                WaitTimeSeconds=min(_POLL_S, int(left_s)),
                MaxNumberOfMessages=10,
            )
            for message in answer.get("Messages", ()):
                found = notification_in(message.get("Body", ""))
                if found is not None and (found.alarm, found.state) == (alarm, state):
                    return found
        return None


@asynccontextmanager
async def listening(
    sns: "SNSClient", sqs: "SQSClient", topic_arn: str, unique: str
) -> AsyncIterator[Listening]:
    """A queue subscribed to a topic while the block runs; both are removed, whatever ends it."""
    made = await sqs.create_queue(
        QueueName=f"{QUEUE_PREFIX}{unique}", Attributes={"MessageRetentionPeriod": _KEPT_S}
    )
    queue_url = made["QueueUrl"]
    subscription = None
    try:
        attributes = await sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
        arn = attributes["Attributes"]["QueueArn"]
        await sqs.set_queue_attributes(
            QueueUrl=queue_url, Attributes={"Policy": queue_policy(arn, topic_arn)}
        )
        subscription = await subscribe(sns, topic_arn, "sqs", arn)
        yield Listening(sqs, queue_url)
    finally:
        if subscription is not None:
            await sns.unsubscribe(SubscriptionArn=subscription)
        await sqs.delete_queue(QueueUrl=queue_url)
