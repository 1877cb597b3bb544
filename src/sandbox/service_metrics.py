"""What Kinesis, DynamoDB and CloudWatch Logs publish to CloudWatch of one call that they answered.

Names, units and dimensions are those of their documentation. Of throttles and errors there is a figure only
where the service sends one: Kinesis sends zeros with every call, DynamoDB sends nothing. No store and no
clock, and nothing is imported but the standard library: the emulator's interpreter loads this file too.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

Json = Mapping[str, Any]
Dimensions = tuple[tuple[str, str], ...]

_KINESIS = "AWS/Kinesis"
_DYNAMODB = "AWS/DynamoDB"
_LOGS = "AWS/Logs"

_OK = 200
_SYSTEM_ERROR = 500
_THROTTLES = frozenset(
    {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}
)
_CONDITION_FAILED = "ConditionalCheckFailedException"
_READ_UNIT_BYTES = 4096
_WRITE_UNIT_BYTES = 1024
_READS = frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"})
_WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})


class Answered(NamedTuple):
    """A call and its answer, both decoded."""

    operation: str
    request: Json
    status: int
    answer: Json
    elapsed_ms: float

    @property
    def error(self) -> str:
        """The error's name, empty where there is none."""
        return "" if self.status == _OK else str(self.answer.get("__type", "")).rpartition("#")[2]

    @property
    def throttled(self) -> bool:
        """Whether the whole call was refused for being one too many."""
        return self.error in _THROTTLES


class Figure(NamedTuple):
    """One value of one metric."""

    namespace: str
    name: str
    unit: str
    dimensions: Dimensions
    value: float


def kinesis_figures(call: Answered, stream_of: Callable[[str], str | None]) -> Iterator[Figure]:
    """Figures of a put or a poll; `stream_of` knows the stream of a shard iterator."""
    stream = call.request.get("StreamName") or _last_part(call.request.get("StreamARN"))
    if call.operation == "GetRecords":
        stream = stream or stream_of(str(call.request.get("ShardIterator")))
        figures = _polled(call)
    elif call.operation == "PutRecord":
        figures = _put_one(call)
    elif call.operation == "PutRecords":
        figures = _put_many(call)
    else:
        return
    if stream:
        of_stream = (("StreamName", str(stream)),)
        for name, unit, value in figures:
            yield Figure(_KINESIS, name, unit, of_stream, value)


def _polled(call: Answered) -> Iterator[tuple[str, str, float]]:
    yield "GetRecords.Success", "Count", float(call.status == _OK)
    yield "ReadProvisionedThroughputExceeded", "Count", float(call.throttled)
    if call.status != _OK:
        return
    records = call.answer.get("Records", ())
    yield "GetRecords.Records", "Count", float(len(records))
    yield "GetRecords.Bytes", "Bytes", float(sum(_record_bytes(record) for record in records))
    yield "GetRecords.Latency", "Milliseconds", call.elapsed_ms
    yield "GetRecords.IteratorAgeMilliseconds", "Milliseconds", float(call.answer["MillisBehindLatest"])


def _put_one(call: Answered) -> Iterator[tuple[str, str, float]]:
    yield "PutRecord.Success", "Count", float(call.status == _OK)
    yield "WriteProvisionedThroughputExceeded", "Count", float(call.throttled)
    if call.status != _OK:
        return
    size = float(_record_bytes(call.request))
    yield "PutRecord.Bytes", "Bytes", size
    yield "PutRecord.Latency", "Milliseconds", call.elapsed_ms
    yield "IncomingRecords", "Count", 1.0
    yield "IncomingBytes", "Bytes", size


def _put_many(call: Answered) -> Iterator[tuple[str, str, float]]:
    records = call.request.get("Records", ())
    if call.status == _OK:
        errors = [result.get("ErrorCode") for result in call.answer.get("Records", ())]
    else:
        errors = [call.error] * len(records)
    throttled = sum(error in _THROTTLES for error in errors)
    stored = [record for record, error in zip(records, errors, strict=False) if not error]
    yield "PutRecords.Success", "Count", float(bool(stored))
    yield "PutRecords.TotalRecords", "Count", float(len(records))
    yield "PutRecords.SuccessfulRecords", "Count", float(len(stored))
    yield "PutRecords.ThrottledRecords", "Count", float(throttled)
    yield "PutRecords.FailedRecords", "Count", float(len(records) - len(stored) - throttled)
    yield "WriteProvisionedThroughputExceeded", "Count", float(throttled)
    if not stored:
        return
    size = float(sum(_record_bytes(record) for record in stored))
    yield "PutRecords.Bytes", "Bytes", size
    yield "PutRecords.Latency", "Milliseconds", call.elapsed_ms
    yield "IncomingRecords", "Count", float(len(stored))
    yield "IncomingBytes", "Bytes", size


def _record_bytes(record: Json) -> int:
    """Bytes of a record's data, which is base64 on the wire, and of its key."""
    return _decoded_bytes(record.get("Data", "")) + len(str(record.get("PartitionKey", "")).encode())


def dynamodb_figures(call: Answered) -> Iterator[Figure]:
    """Figures of a read or a write of items; administration has none."""
    if call.operation not in _READS | _WRITES:
        return
    tables = _tables(call.request)
    kind = "Read" if call.operation in _READS else "Write"
    for table, count in tables.items():
        of_table = (("TableName", table),)
        of_operation = (*of_table, ("Operation", call.operation))
        if call.status == _OK:
            yield Figure(_DYNAMODB, "SuccessfulRequestLatency", "Milliseconds", of_operation, call.elapsed_ms)
            if call.operation in ("Query", "Scan"):
                returned = float(call.answer.get("Count", 0))
                yield Figure(_DYNAMODB, "ReturnedItemCount", "Count", of_operation, returned)
        elif call.throttled:
            yield Figure(_DYNAMODB, "ThrottledRequests", "Count", of_operation, 1.0)
            yield Figure(_DYNAMODB, f"{kind}ThrottleEvents", "Count", of_table, float(count))
        elif call.status >= _SYSTEM_ERROR:
            yield Figure(_DYNAMODB, "SystemErrors", "Count", of_operation, 1.0)
        elif call.error == _CONDITION_FAILED:
            yield Figure(_DYNAMODB, "ConditionalCheckFailedRequests", "Count", of_table, 1.0)
    if call.status == _OK:
        for dimensions, units in _consumed(call, tables).items():
            yield Figure(_DYNAMODB, f"Consumed{kind}CapacityUnits", "Count", dimensions, units)
        for table, left in _unprocessed(call.answer).items():
            yield Figure(_DYNAMODB, f"{kind}ThrottleEvents", "Count", (("TableName", table),), float(left))


def _tables(request: Json) -> Counter[str]:
    """Each table that a request names, with how many of its items the request is about."""
    if "TableName" in request:
        return Counter([_last_part(request["TableName"])])
    tables: Counter[str] = Counter()
    for table, asked in request.get("RequestItems", {}).items():
        tables[_last_part(table)] += len(asked["Keys"] if isinstance(asked, Mapping) else asked)
    for item in request.get("TransactItems", ()):
        tables.update(_last_part(action["TableName"]) for action in item.values())
    return tables


def _unprocessed(answer: Json) -> dict[str, int]:
    """Items of a batch that the service gave back."""
    left = {table: len(items) for table, items in answer.get("UnprocessedItems", {}).items()}
    return left | {table: len(keys["Keys"]) for table, keys in answer.get("UnprocessedKeys", {}).items()}


def _consumed(call: Answered, tables: Counter[str]) -> dict[Dimensions, float]:
    """Capacity units by table, or by index where one was read: measured by the items as they travelled.

    What a filter or a projection hid, and what an update left as it was, the wire does not show: there the
    units are a lower bound. The share of the indexes in a write is not counted, as AWS keeps it apart.
    """
    units: dict[Dimensions, float] = {}
    for table, count in tables.items():
        dimensions: Dimensions = (("TableName", table),)
        if "IndexName" in call.request:
            dimensions += (("GlobalSecondaryIndexName", str(call.request["IndexName"])),)
        units[dimensions] = _units(call, table, count)
    return units


def _units(call: Answered, table: str, count: int) -> float:
    return _units_read(call, table, count) if call.operation in _READS else _units_written(call, table)


def _units_read(call: Answered, table: str, count: int) -> float:
    request, answer = call.request, call.answer
    match call.operation:
        case "GetItem":
            return _read_units(item_bytes(answer.get("Item", {})), request)
        case "BatchGetItem":
            asked = request["RequestItems"].get(table, {})
            found = answer.get("Responses", {}).get(table, ())
            missing = max(0, count - len(found)) * _read_units(0, asked)
            return missing + sum(_read_units(item_bytes(item), asked) for item in found)
        case "TransactGetItems":
            return 2.0 * count
        case _:
            return _read_units(sum(item_bytes(item) for item in answer.get("Items", ())), request)


def _units_written(call: Answered, table: str) -> float:
    request = call.request
    match call.operation:
        case "BatchWriteItem":
            puts = [write.get("PutRequest", {}) for write in request["RequestItems"].get(table, ())]
            return sum(_write_units(put.get("Item", {})) for put in puts)
        case "TransactWriteItems":
            actions = [action for item in request["TransactItems"] for action in item.values()]
            mine = [action for action in actions if _last_part(action["TableName"]) == table]
            return sum(2.0 * _write_units(_written(action)) for action in mine)
        case _:
            return _write_units(_written(request))


def _written(action: Json) -> Json:
    """What is seen of the item that a put, an update, a delete or a check is about."""
    return action.get("Item") or {**action.get("Key", {}), **action.get("ExpressionAttributeValues", {})}


def _read_units(size: int, asked: Json) -> float:
    return max(1, math.ceil(size / _READ_UNIT_BYTES)) * (1.0 if asked.get("ConsistentRead") else 0.5)


def _write_units(item: Json) -> float:
    return float(max(1, math.ceil(item_bytes(item) / _WRITE_UNIT_BYTES)))


def item_bytes(item: Json) -> int:
    """Size of an item as DynamoDB counts it, from its attributes as they are on the wire."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Json) -> int:
    (kind, held), *_ = value.items()
    size = 1  # a truth or nothing
    match kind:
        case "S":
            size = len(held.encode())
        case "N":
            size = len(held) // 2 + 1
        case "B":
            size = _decoded_bytes(held)
        case "SS" | "NS" | "BS":
            size = sum(_value_bytes({kind[0]: one}) for one in held)
        case "L":
            size = 3 + sum(1 + _value_bytes(one) for one in held)
        case "M":
            size = 3 + len(held) + item_bytes(held)
    return size


def logs_figures(call: Answered) -> Iterator[Figure]:
    """Figures of events that were put; `IncomingBytes` is their text."""
    if call.operation != "PutLogEvents" or call.status != _OK:
        return
    of_group = (("LogGroupName", str(call.request["logGroupName"])),)
    events = call.request.get("logEvents", ())
    size = sum(len(event["message"].encode()) for event in events)
    yield Figure(_LOGS, "IncomingBytes", "Bytes", of_group, float(size))
    yield Figure(_LOGS, "IncomingLogEvents", "None", of_group, float(len(events)))


def _decoded_bytes(encoded: str) -> int:
    return len(encoded) * 3 // 4 - encoded[-2:].count("=")


def _last_part(arn: str | None) -> str:
    """A resource's name from its ARN, or the name itself."""
    return (arn or "").rpartition("/")[2]
