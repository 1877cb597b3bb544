"""A notification as it arrives at a receiver, and receivers as they may be shown. Pure.

SNS wraps CloudWatch's JSON into an envelope (for SQS and HTTPS; "Amazon SNS message and JSON formats"). An
address may hold a secret (the integration key is in PagerDuty's URL): it is shown without.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

PENDING: Final = "PendingConfirmation"


@dataclass(frozen=True, slots=True)
class Notification:
    """What a receiver gets of an alarm's change of state."""

    subject: str
    alarm: str
    state: str
    old_state: str
    reason: str
    """With the value, of a metric alarm."""
    changed_at: str
    description: str
    published_at: datetime

    def text(self) -> str:
        """As a person gets it: e-mail and chat show subject and these fields."""
        return "\n".join(
            (
                self.subject,
                "",
                self.description,
                "",
                f"State: {self.old_state} -> {self.state} at {self.changed_at}",
                f"Reason: {self.reason}",
            )
        )


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is subscribed to a topic, as it may be shown."""

    protocol: str
    address: str
    confirmed: bool


def notification_in(body: str) -> Notification | None:
    """The notification in a message of SNS; None for anything else, such as a confirmation."""
    try:
        envelope = json.loads(body)
        message = json.loads(envelope["Message"])
        return Notification(
            subject=envelope.get("Subject") or "",
            alarm=message["AlarmName"],
            state=message["NewStateValue"],
            old_state=message.get("OldStateValue", ""),
            reason=message.get("NewStateReason", ""),
            changed_at=message.get("StateChangeTime", ""),
            description=message.get("AlarmDescription") or "",
            published_at=datetime.fromisoformat(envelope["Timestamp"]),
        )
    except (ValueError, KeyError, TypeError):
        return None


def receiver(protocol: str, endpoint: str, subscription_arn: str) -> Receiver:
    """A subscription of a topic, its secrets masked."""
    return Receiver(protocol, masked(protocol, endpoint), subscription_arn != PENDING)


def masked(protocol: str, endpoint: str) -> str:
    """An address without what opens it: the host of a URL, the domain of a mailbox, the end of a number."""
    if protocol in {"http", "https"}:
        return f"{protocol}://{urlsplit(endpoint).hostname}/..."
    if protocol.startswith("email"):
        return f"...@{endpoint.rpartition('@')[2]}"
    if protocol == "sms":
        return f"...{endpoint[-2:]}"
    return endpoint


def queue_policy(queue_arn: str, topic_arn: str) -> str:
    """Lets one topic, and nobody else, send to a queue."""
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
