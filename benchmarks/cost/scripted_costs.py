"""The table of costs that the job writes to, as far as a measurement needs it: it keeps the status rows.

Every hour was computed before, so that there is something to sweep: of each owner's hour a query finds one
line of that run, and lines that are put are looked at and forgotten.
"""

import re
from typing import Any, Final

from day import HOURS

from llmplatform.aws.patient_dynamodb import ROWS_PER_CALL
from llmplatform.aws.tables import TENANT_COST
from llmplatform.costs import STATUS, HourStatus, Item, encode_status

_KEY: Final = TENANT_COST.partition_key.name
_SORT: Final = TENANT_COST.sort_key.name
_SET: Final = re.compile(r"(#\w+) = (:\w+)")
_ADD: Final = re.compile(r"(#\w+) (:\w+)")


class ScriptedCosts:
    """Answers decoded requests; a condition is demanded where the store has one, and always holds."""

    def __init__(self) -> None:
        before = (encode_status(HourStatus(hour, "open", claimed_run=1, run=1)) for hour in HOURS)
        self._statuses: dict[tuple[str, str], Item] = {_place(status): status for status in before}

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """What DynamoDB answers."""
        if operation == "BatchWriteItem":
            (writes,) = request["RequestItems"].values()
            assert len(writes) <= ROWS_PER_CALL
            for write in writes:
                row = write["PutRequest"]["Item"] if "PutRequest" in write else write["DeleteRequest"]["Key"]
                assert "#" in row[_SORT]["S"]
            return {}
        if operation == "UpdateItem":
            return {"Attributes": self._update(request)}
        if operation == "GetItem":
            status = self._statuses.get(_place(request["Key"]))
            return {} if status is None else {"Item": status}
        assert operation == "Query"
        return self._query(request["ExpressionAttributeValues"])

    def _update(self, request: dict[str, Any]) -> Item:
        assert "ConditionExpression" in request or request["ReturnValues"] == "ALL_NEW"
        names, values = request["ExpressionAttributeNames"], request["ExpressionAttributeValues"]
        row = self._statuses.setdefault(_place(request["Key"]), dict(request["Key"]))
        to_set, _, to_add = request["UpdateExpression"].partition("ADD")
        for name, value in _SET.findall(to_set):
            row[names[name]] = values[value]
        for name, value in _ADD.findall(to_add):
            row[names[name]] = _added(row.get(names[name]), values[value])
        return row

    def _query(self, values: dict[str, Any]) -> dict[str, Any]:
        """A day's status rows, or a line of an owner's hour from an earlier run."""
        if ":hour" in values:
            return {"Items": [{_SORT: {"S": f"{values[':hour']['S']}an-earlier-run"}}]}
        ((partition,),) = (value.values() for value in values.values())
        assert partition.startswith(STATUS)
        return {"Items": [row for (key, _), row in self._statuses.items() if key == partition]}


def _place(item: Item) -> tuple[str, str]:
    return item[_KEY]["S"], item[_SORT]["S"]


def _added(before: dict[str, Any] | None, value: dict[str, Any]) -> dict[str, Any]:
    """A number and a number, or a set and a set."""
    if before is None:
        return value
    if "N" in value:
        return {"N": str(int(before["N"]) + int(value["N"]))}
    return {"SS": sorted({*before["SS"], *value["SS"]})}
