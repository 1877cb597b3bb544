"""What the workers last said of themselves, for the drift job, the command and the console."""

from typing import TYPE_CHECKING, Final

from llmplatform.aws.tables import EVAL_DETECTOR
from llmplatform.errors import TelemetryFault
from llmplatform.eval_heartbeat import WORKERS, Heartbeat, decode_heartbeat

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_dynamodb import DynamoDBClient

_MAX_PAGES: Final = 10
"""A heartbeat is a few kilobytes, and a page a megabyte: more workers than any stream has shards."""


async def heartbeats(dynamodb: "DynamoDBClient") -> tuple[Heartbeat, ...]:
    """Those of workers that have told of themselves within two days, the latest first.

    What another version wrote is left out, as if that worker had said nothing. What DynamoDB raises, passes.
    """
    pages = dynamodb.get_paginator("query").paginate(
        TableName=EVAL_DETECTOR.name,
        KeyConditionExpression="#owner = :workers",
        ExpressionAttributeNames={"#owner": EVAL_DETECTOR.partition_key.name},
        ExpressionAttributeValues={":workers": {"S": WORKERS}},
    )
    heard = []
    read = 0
    async for page in pages:
        for item in page["Items"]:
            try:
                heard.append(decode_heartbeat(item))
            except TelemetryFault:
                continue
        read += 1
        if read == _MAX_PAGES:
            break
    return tuple(sorted(heard, key=lambda beat: beat.at, reverse=True))
