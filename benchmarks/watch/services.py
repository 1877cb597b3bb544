"""What the console and `watch apply` ask of other services: parameters, identity, topics, traces, files."""

import re
from collections.abc import Callable
from typing import Any, Final

import orjson
from ledger import LedgerRows
from world import ACCOUNT, JUDGE, parameters, place_of_trace

from llmplatform.aws.tables import CALIBRATIONS_PREFIX

_PAGE: Final = 10
"""Of parameters: the most that GetParametersByPath gives."""
_CALIBRATION: Final = f"{CALIBRATIONS_PREFIX}{JUDGE}/2026-10-01T00:00:00Z.json"
_TOPIC: Final = re.compile(r"TopicArn=([^&]+)")


class ScriptedParameters:
    """Parameter Store."""

    def __init__(self) -> None:
        self._values = parameters()

    def answer(self, operation: str, asked: dict[str, Any]) -> bytes:
        """What it answers."""
        if operation == "GetParameters":
            found = [name for name in asked["Names"] if name in self._values]
            return orjson.dumps({"Parameters": self._told(found), "InvalidParameters": []})
        assert operation == "GetParametersByPath", operation
        names = sorted(name for name in self._values if name.startswith(asked["Path"]))
        first = int(asked.get("NextToken", 0))
        answer: dict[str, Any] = {"Parameters": self._told(names[first : first + _PAGE])}
        if first + _PAGE < len(names):
            answer["NextToken"] = str(first + _PAGE)
        return orjson.dumps(answer)

    def _told(self, names: list[str]) -> list[dict[str, Any]]:
        return [{"Name": name, "Type": "String", "Value": self._values[name], "Version": 1} for name in names]


TRACES: Final = frozenset({"StartTraceRetrieval", "ListRetrievedTraces"})


def traces(rows: LedgerRows, operation: str, asked: dict[str, Any]) -> bytes:
    """X-Ray: the spans of those that were kept, found at once; a retrieval's token is what it looks for."""
    if operation == "StartTraceRetrieval":
        return orjson.dumps({"RetrievalToken": " ".join(asked["TraceIds"])})
    found = []
    for xray_id in asked["RetrievalToken"].split():
        place = place_of_trace(xray_id.replace("-", "")[1:])
        if place is not None and place.number < rows.requests.count(place.tenant, place.hour):
            spans = [
                {"Id": span["id"], "Document": orjson.dumps(span).decode()} for span in rows.spans(place)
            ]
            found.append({"Id": xray_id, "Spans": spans})
    return orjson.dumps({"RetrievalStatus": "COMPLETE", "TraceFormat": "XRAY", "Traces": found})


def files(path: str) -> bytes:
    """S3: the history's bucket, with one calibration of the judge and nothing parked."""
    if "list-type=2" not in path:
        return b'{"calibrated_at":"2026-10-01T00:00:00+00:00","passed":true}'
    keys = [_CALIBRATION] if f"prefix={CALIBRATIONS_PREFIX.rstrip('/')}" in path.replace("%2F", "/") else []
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-10-01T00:00:00.000Z</LastModified><Size>60</Size></Contents>"
        for key in keys
    )
    return (
        f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><KeyCount>{len(keys)}</KeyCount>'
        f"<IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
    ).encode()


def identity(_: str) -> str:
    """STS: who asks."""
    arn = f"arn:aws:iam::{ACCOUNT}:user/benchmark"
    return f"<Account>{ACCOUNT}</Account><Arn>{arn}</Arn><UserId>1</UserId>"


def subscriptions(body: str) -> str:
    """SNS: one receiver a topic."""
    topic = _TOPIC.search(body)
    arn = topic[1].replace("%3A", ":") if topic else ""
    return (
        f"<Subscriptions><member><SubscriptionArn>{arn}:1</SubscriptionArn><Owner>{ACCOUNT}</Owner>"
        f"<Protocol>https</Protocol><Endpoint>https://events.example.com/key</Endpoint><TopicArn>{arn}</TopicArn>"
        "</member></Subscriptions>"
    )


XML_ANSWERS: Final[dict[str, Callable[[str], str]]] = {
    "GetCallerIdentity": identity,
    "ListSubscriptionsByTopic": subscriptions,
}
