from collections.abc import Mapping
from typing import Any

import pytest

from sandbox.service_metrics import (
    Answered,
    Figure,
    dynamodb_figures,
    item_bytes,
    kinesis_figures,
    logs_figures,
)

THROTTLED = {"__type": "com.amazonaws.kinesis.v20131202#ProvisionedThroughputExceededException"}
IN_STREAM = (("StreamName", "s"),)


def answered(
    operation: str, request: Mapping[str, Any], answer: Mapping[str, Any], status: int = 200
) -> Answered:
    return Answered(operation, request, status, answer, 2.5)


def unknown(_iterator: str) -> str | None:
    return None


def values(figures: Any) -> dict[tuple[str, str], float]:
    """By name and the values of the dimensions."""
    return {
        (figure.name, "/".join(value for _, value in figure.dimensions)): figure.value for figure in figures
    }


def test_a_poll_says_how_far_behind_it_is_and_that_it_was_not_throttled() -> None:
    record = {"Data": "aGVsbG8=", "PartitionKey": "key"}
    answer = {"Records": [record, record], "MillisBehindLatest": 4_000}
    poll = answered("GetRecords", {"ShardIterator": "i"}, answer)
    figures = list(kinesis_figures(poll, {"i": "s"}.get))
    assert (
        Figure("AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", "Milliseconds", IN_STREAM, 4e3) in figures
    )
    assert Figure("AWS/Kinesis", "GetRecords.Bytes", "Bytes", IN_STREAM, 16.0) in figures
    assert Figure("AWS/Kinesis", "ReadProvisionedThroughputExceeded", "Count", IN_STREAM, 0.0) in figures
    assert Figure("AWS/Kinesis", "GetRecords.Latency", "Milliseconds", IN_STREAM, 2.5) in figures


def test_a_throttled_poll_has_no_age() -> None:
    arn = "arn:aws:kinesis:us-east-1:1:stream/s"
    poll = answered("GetRecords", {"StreamARN": arn, "ShardIterator": "i"}, THROTTLED, 400)
    assert values(kinesis_figures(poll, unknown)) == {
        ("GetRecords.Success", "s"): 0.0,
        ("ReadProvisionedThroughputExceeded", "s"): 1.0,
    }


def test_a_poll_of_an_iterator_that_nobody_knows_is_of_no_stream() -> None:
    poll = answered("GetRecords", {"ShardIterator": "i"}, {"__type": "ExpiredIteratorException"}, 400)
    assert list(kinesis_figures(poll, unknown)) == []


def test_records_of_one_put_are_stored_throttled_or_failed() -> None:
    records = [{"Data": "aGk=", "PartitionKey": "k"}] * 4
    results = [
        {"SequenceNumber": "1"},
        {"ErrorCode": "ProvisionedThroughputExceededException"},
        {"ErrorCode": "InternalFailure"},
        {"SequenceNumber": "2"},
    ]
    put = answered("PutRecords", {"StreamName": "s", "Records": records}, {"Records": results})
    found = values(kinesis_figures(put, unknown))
    assert found["PutRecords.TotalRecords", "s"] == 4
    assert found["PutRecords.SuccessfulRecords", "s"] == found["IncomingRecords", "s"] == 2
    assert found["PutRecords.ThrottledRecords", "s"] == found["WriteProvisionedThroughputExceeded", "s"] == 1
    assert found["PutRecords.FailedRecords", "s"] == 1
    assert found["IncomingBytes", "s"] == 2 * 3


def test_a_put_that_is_throttled_whole_has_stored_nothing() -> None:
    records = [{"Data": "aGk=", "PartitionKey": "k"}] * 3
    put = answered("PutRecords", {"StreamName": "s", "Records": records}, THROTTLED, 400)
    found = values(kinesis_figures(put, unknown))
    assert found["PutRecords.Success", "s"] == 0
    assert found["PutRecords.ThrottledRecords", "s"] == 3
    assert ("IncomingRecords", "s") not in found
    one = values(kinesis_figures(answered("PutRecord", {"StreamName": "s"}, THROTTLED, 400), unknown))
    assert one == {("PutRecord.Success", "s"): 0.0, ("WriteProvisionedThroughputExceeded", "s"): 1.0}


def test_an_item_is_measured_as_dynamodb_measures_it() -> None:
    item = {
        "id": {"S": "é"},
        "n": {"N": "1234"},
        "raw": {"B": "aGVsbG8="},
        "on": {"BOOL": True},
        "many": {"L": [{"S": "ab"}, {"NULL": True}]},
        "deep": {"M": {"x": {"S": "y"}}},
        "set": {"SS": ["a", "bc"]},
    }
    assert item_bytes(item) == (2 + 2) + (1 + 3) + (3 + 5) + (2 + 1) + (4 + 8) + (4 + 6) + (3 + 3)


def item(size: int) -> dict[str, Any]:
    return {"k": {"S": "x" * (size - 1)}}


@pytest.mark.parametrize(
    ("operation", "request_", "answer", "units"),
    [
        ("GetItem", {"TableName": "t"}, {}, 0.5),
        ("GetItem", {"TableName": "t", "ConsistentRead": True}, {"Item": item(4_097)}, 2),
        ("Query", {"TableName": "t"}, {"Items": [item(3_000)] * 3, "Count": 3}, 1.5),
        (
            "BatchGetItem",
            {"RequestItems": {"t": {"Keys": [{}, {}]}}},
            {"Responses": {"t": [item(5_000)]}},
            1.5,
        ),
        ("TransactGetItems", {"TransactItems": [{"Get": {"TableName": "t"}}]}, {}, 2),
        ("PutItem", {"TableName": "t", "Item": item(1_025)}, {}, 2),
        ("DeleteItem", {"TableName": "t", "Key": item(10)}, {}, 1),
        (
            "BatchWriteItem",
            {
                "RequestItems": {
                    "t": [{"PutRequest": {"Item": item(3_000)}}, {"DeleteRequest": {"Key": item(9)}}]
                }
            },
            {},
            4,
        ),
        (
            "TransactWriteItems",
            {
                "TransactItems": [
                    {"Put": {"TableName": "t", "Item": item(10)}},
                    {"Update": {"TableName": "u"}},
                ]
            },
            {},
            2,
        ),
    ],
)
def test_capacity_is_counted_by_the_size_of_the_items(
    operation: str, request_: dict[str, Any], answer: dict[str, Any], units: float
) -> None:
    found = values(dynamodb_figures(answered(operation, request_, answer)))
    consumed = {name: value for (name, table), value in found.items() if "Consumed" in name and table == "t"}
    assert list(consumed.values()) == [units]


def test_a_read_of_an_index_is_the_indexs() -> None:
    query = answered("Query", {"TableName": "t", "IndexName": "by-trace"}, {"Items": [], "Count": 0})
    found = values(dynamodb_figures(query))
    assert found["ConsumedReadCapacityUnits", "t/by-trace"] == 0.5
    assert ("ConsumedReadCapacityUnits", "t") not in found
    assert found["SuccessfulRequestLatency", "t/Query"] == 2.5


def test_a_throttled_batch_counts_each_of_its_items_and_the_request_once() -> None:
    writes = {"t": [{"PutRequest": {"Item": item(9)}}] * 3}
    refused = {"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException"}
    found = values(dynamodb_figures(answered("BatchWriteItem", {"RequestItems": writes}, refused, 400)))
    assert found == {("ThrottledRequests", "t/BatchWriteItem"): 1.0, ("WriteThrottleEvents", "t"): 3.0}


def test_items_that_a_batch_gives_back_were_throttled() -> None:
    writes = {"t": [{"PutRequest": {"Item": item(9)}}] * 3}
    answer = {"UnprocessedItems": {"t": writes["t"][:2]}}
    found = values(dynamodb_figures(answered("BatchWriteItem", {"RequestItems": writes}, answer)))
    assert found["WriteThrottleEvents", "t"] == 2
    assert ("ThrottledRequests", "t/BatchWriteItem") not in found


def test_a_fault_of_the_service_and_a_failed_condition_are_told_apart() -> None:
    put = {"TableName": "t", "Item": item(9)}
    fault = answered("PutItem", put, {"__type": "InternalServerError"}, 500)
    condition = answered("PutItem", put, {"__type": "x#ConditionalCheckFailedException"}, 400)
    assert values(dynamodb_figures(fault)) == {("SystemErrors", "t/PutItem"): 1.0}
    assert values(dynamodb_figures(condition)) == {("ConditionalCheckFailedRequests", "t"): 1.0}


def test_administration_has_no_figures() -> None:
    assert list(dynamodb_figures(answered("DescribeTable", {"TableName": "t"}, {}))) == []
    assert list(kinesis_figures(answered("ListShards", {"StreamName": "s"}, {}), unknown)) == []
    assert list(logs_figures(answered("FilterLogEvents", {"logGroupName": "g"}, {}))) == []


def test_log_events_that_were_refused_did_not_come_in() -> None:
    put = {"logGroupName": "g", "logEvents": [{"timestamp": 1, "message": "zwölf"}]}
    assert values(logs_figures(answered("PutLogEvents", put, {}))) == {
        ("IncomingBytes", "g"): 6.0,
        ("IncomingLogEvents", "g"): 1.0,
    }
    assert list(logs_figures(answered("PutLogEvents", put, {"__type": "x"}, 400))) == []
