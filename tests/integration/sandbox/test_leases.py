"""The worker's leases before it starts: made once, then only taken from their holders."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from llmplatform.aws.tables import STREAMS
from sandbox.emulator import Emulator, sandbox_session
from sandbox.leases import WORKER_NAME, free_leases
from sandbox.provision import create_stream

(STREAM,) = STREAMS


@pytest.fixture(name="clients")
async def clients_of_an_account(tmp_path: Path) -> AsyncIterator[tuple[Any, Any]]:
    session = sandbox_session()
    async with (
        Emulator(tmp_path) as aws,
        session.client("dynamodb", endpoint_url=aws.url) as dynamodb,
        session.client("kinesis", endpoint_url=aws.url) as kinesis,
    ):
        await create_stream(kinesis, STREAM)
        yield dynamodb, kinesis


async def leases(dynamodb: Any) -> dict[str, dict[str, Any]]:
    items = (await dynamodb.scan(TableName=WORKER_NAME))["Items"]
    return {item["leaseKey"]["S"]: item for item in items}


async def test_a_new_table_has_a_free_lease_for_each_shard_from_its_beginning(
    clients: tuple[Any, Any],
) -> None:
    dynamodb, kinesis = clients
    await free_leases(dynamodb, kinesis, stream=STREAM.name)
    shards = (await kinesis.list_shards(StreamName=STREAM.name))["Shards"]
    made = await leases(dynamodb)
    assert set(made) == {shard["ShardId"] for shard in shards}
    for lease in made.values():
        assert lease["checkpoint"] == {"S": "TRIM_HORIZON"}
        assert "leaseOwner" not in lease


async def test_a_held_lease_loses_its_holder_and_keeps_its_checkpoint(clients: tuple[Any, Any]) -> None:
    dynamodb, kinesis = clients
    await free_leases(dynamodb, kinesis, stream=STREAM.name)
    (shard, *_), before = await leases(dynamodb), await leases(dynamodb)
    held = {
        **before[shard],
        "leaseOwner": {"S": "a worker"},
        "leaseCounter": {"N": "7"},
        "checkpoint": {"S": "1"},
    }
    await dynamodb.put_item(TableName=WORKER_NAME, Item=held)
    await free_leases(dynamodb, kinesis, stream=STREAM.name)
    del held["leaseOwner"]
    assert await leases(dynamodb) == {**before, shard: held}
