"""The evaluation worker's leases, put in order before it starts: each shard has one, and nobody holds it.

A Kinesis Client Library cannot tell a worker that was stopped from one that is slow, and waits until a held
lease has expired: 24 s after a restart, and 35 s on a new table (kcl-rs 0.1.4 on this emulator). A free
lease is taken after 5 s. Nothing is risked: a lease has one holder at a time whoever frees it, and what was
read stays checkpointed. A real account needs none of this: its workers are replaced one by one.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_kinesis import KinesisClient

WORKER_NAME: Final = "llm-platform-evalworker"
"""The worker's own default; its lease table has the same name."""


async def free_leases(
    dynamodb: "DynamoDBClient", kinesis: "KinesisClient", *, stream: str, table: str = WORKER_NAME
) -> None:
    """Take all leases from their holders; without a table, make it with a lease for each shard."""
    try:
        await dynamodb.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        )
    except dynamodb.exceptions.ResourceInUseException:
        leases = (await dynamodb.scan(TableName=table, ProjectionExpression="leaseKey"))["Items"]
        for lease in leases:
            await dynamodb.update_item(TableName=table, Key=lease, UpdateExpression="REMOVE leaseOwner")
        return
    await dynamodb.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1})
    for shard in (await kinesis.list_shards(StreamName=stream))["Shards"]:
        if "ParentShardId" not in shard:  # children get theirs when the parent is read
            await dynamodb.put_item(TableName=table, Item=_new_lease(shard))


def _new_lease(shard: Any) -> Any:
    """A lease as the library makes it for a shard that is to be read from its beginning."""
    hashes = shard["HashKeyRange"]
    return {
        "leaseKey": {"S": shard["ShardId"]},
        "entityType": {"S": "LEASE"},
        "checkpoint": {"S": "TRIM_HORIZON"},
        "checkpointSubSequenceNumber": {"N": "0"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        "leaseCounter": {"N": "0"},
        "startingHashKey": {"S": hashes["StartingHashKey"]},
        "endingHashKey": {"S": hashes["EndingHashKey"]},
    }
