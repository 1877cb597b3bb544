"""A notification is read from its envelope, and receivers are shown without what opens them."""

import json

import pytest

from watch.alarming.receiving import masked, notification_in, queue_policy, receiver

MESSAGE = {
    "AlarmName": "llm-platform/tenant/acme/latency-p99",
    "AlarmDescription": "Answers take too long",
    "NewStateValue": "ALARM",
    "OldStateValue": "OK",
    "NewStateReason": "Threshold Crossed: 1 datapoint [61234.0] was greater than the threshold (60000.0).",
    "StateChangeTime": "2026-11-29T19:59:57.054+0000",
}
ENVELOPE = {
    "Type": "Notification",
    "Subject": "ALARM: ...",
    "Message": json.dumps(MESSAGE),
    "Timestamp": "2026-11-29T19:59:57.100Z",
}


def test_a_notification_says_what_a_person_reads() -> None:
    found = notification_in(json.dumps(ENVELOPE))
    assert found is not None
    assert (found.alarm, found.state) == ("llm-platform/tenant/acme/latency-p99", "ALARM")
    assert "61234.0" in found.text()
    assert "OK -> ALARM at 2026-11-29T19:59:57.054+0000" in found.text()
    assert found.published_at.isoformat() == "2026-11-29T19:59:57.100000+00:00"


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{}", json.dumps({**ENVELOPE, "Message": "hello"}), json.dumps({**ENVELOPE, "Message": "{}"})],
)
def test_anything_else_is_no_notification(body: str) -> None:
    assert notification_in(body) is None


@pytest.mark.parametrize(
    ("protocol", "endpoint", "shown"),
    [
        (
            "https",
            "https://user:pw@events.pagerduty.com:443/integration/SECRET/enqueue?k=1",
            "https://events.pagerduty.com/...",
        ),
        ("email", "jane.doe@example.com", "...@example.com"),
        ("email-json", "jane.doe@example.com", "...@example.com"),
        ("sms", "+15551234567", "...67"),
        ("sqs", "arn:aws:sqs:us-east-1:123456789012:q", "arn:aws:sqs:us-east-1:123456789012:q"),
    ],
)
def test_what_opens_a_receiver_is_not_shown(protocol: str, endpoint: str, shown: str) -> None:
    assert masked(protocol, endpoint) == shown


def test_a_receiver_counts_once_it_has_confirmed() -> None:
    assert not receiver("https", "https://a.example/x", "PendingConfirmation").confirmed
    assert receiver("https", "https://a.example/x", "arn:aws:sns:us-east-1:1:t:1").confirmed


def test_a_queue_takes_messages_of_one_topic_alone() -> None:
    (statement,) = json.loads(queue_policy("arn:queue", "arn:topic"))["Statement"]
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": "arn:topic"}}
    assert statement["Resource"] == "arn:queue"
