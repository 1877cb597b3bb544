"""What a request's life is read from, in a test's own process, filled by the product's own encoders.

Both clients of DynamoDB are spoken: the lean one's `call`, and an SDK's methods. What a Query leaves out by
its filter is not left out here: the reader holds what it gets to the filters itself.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from llmplatform import ids
from llmplatform.aws.eval_content import ContentReader
from llmplatform.aws.eval_reader import EvalReader
from llmplatform.aws.ledger_reader import LedgerReader
from llmplatform.aws.tables import EVAL_RESULTS, REQUEST_LEDGER
from llmplatform.clock import Clock
from llmplatform.evaluations import EvalResult, encode_result
from llmplatform.invocation import Attempt, InvocationRecord, Outcome
from llmplatform.ledger import encode_item
from llmplatform.usage import TokenUsage, UsageSource
from watch.reading.calibrations import CalibrationReader
from watch.reading.lives import LifeReaders
from watch.reading.log_lines import LogLineReader
from watch.reading.requests import RequestSearch
from watch.reading.scores import ScoreReader
from watch.reading.traces import TraceReader

Item = dict[str, Any]


def make_call(started_ms: float, duration_ms: float, **fields: Any) -> Attempt:
    """A call of Bedrock that was answered, but for `fields`."""
    return Attempt(
        **{
            "endpoint_type": "bedrock",
            "model_id": "small",
            "backend_model_id": "vendor.small-v1:0",
            "endpoint_name": None,
            "price_key": "vendor.small/in-region",
            "outcome": Outcome.COMPLETED,
            "reason": "requested",
            "started_ms": started_ms,
            "duration_ms": duration_ms,
            "first_event_ms": None,
            "usage": TokenUsage(input_tokens=1, output_tokens=1),
            "usage_source": UsageSource.REPORTED,
            **fields,
        }
    )


class Pages:
    """One page of a paginator."""

    def __init__(self, page: Item) -> None:
        self._page = page

    async def __aiter__(self) -> AsyncIterator[Item]:
        """It, alone."""
        yield self._page


@dataclass
class Tables:
    """DynamoDB as far as lives are read from it."""

    ledger: list[Item] = field(default_factory=list)
    results: list[Item] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    fails: str | None = None
    """A table of which nothing can be read."""

    def put(self, *records: InvocationRecord) -> None:
        """Rows of the ledger, as the gateway writes them."""
        self.ledger += [encode_item(record) for record in records]

    def put_result(self, *results: EvalResult) -> None:
        """Rows of evaluations, as the worker writes them."""
        self.results += [encode_result(result) for result in results]

    async def call(self, operation: str, request: Mapping[str, Any] | bytes) -> Item:
        """The lean client's."""
        assert isinstance(request, Mapping)
        self.calls.append(operation)
        if operation == "BatchGetItem":
            return self._get(request["RequestItems"])
        return self._query(request)

    async def batch_get_item(self, **request: Any) -> Item:
        """An SDK's."""
        self.calls.append("BatchGetItem")
        return self._get(request["RequestItems"])

    def get_paginator(self, _operation: str) -> Self:
        """An SDK's."""
        return self

    def paginate(self, **request: Any) -> Pages:
        """An SDK's."""
        self.calls.append("Query")
        return Pages(self._query(request))

    def _get(self, asked: Mapping[str, Any]) -> Item:
        (table,) = asked
        self._check(table)
        wanted = [{name: value["S"] for name, value in key.items()} for key in asked[table]["Keys"]]
        found = [item for item in self.ledger if any(_has(item, key) for key in wanted)]
        return {"Responses": {table: found}}

    def _query(self, request: Mapping[str, Any]) -> Item:
        table = REQUEST_LEDGER if request["TableName"] == REQUEST_LEDGER.name else EVAL_RESULTS
        self._check(table.name)
        items = self.ledger if table is REQUEST_LEDGER else self.results
        index = next((one for one in table.indexes if one.name == request.get("IndexName")), None)
        partition, sort = (index or table).partition_key.name, (index or table).sort_key.name
        values = {
            name: value["S"] for name, value in request["ExpressionAttributeValues"].items() if "S" in value
        }
        key = next(values[name] for name in (":key", ":trace", ":tenant") if name in values)
        found = sorted(
            (item for item in items if item[partition]["S"] == key), key=lambda item: str(item[sort]["S"])
        )
        if ":before" in values:
            found = [item for item in found if item[sort]["S"] < values[":before"]]
        if ":newer" in values:
            found = [item for item in found if item[sort]["S"] > values[":newer"]]
        if table is EVAL_RESULTS and ":start" in values:
            found = [item for item in found if values[":start"] <= item[sort]["S"] <= values[":end"]]
        if not request.get("ScanIndexForward", True):
            found.reverse()
        if ":tenant" in values and ":trace" in values:
            found = [item for item in found if item["tenant_id"]["S"] == values[":tenant"]]
        limit = request.get("Limit")
        if limit is None or len(found) <= limit:
            return {"Items": found}
        last = found[limit - 1]
        return {"Items": found[:limit], "LastEvaluatedKey": {partition: last[partition], sort: last[sort]}}

    def _check(self, table: str) -> None:
        if table == self.fails:
            raise TimeoutError


def _has(item: Item, key: Mapping[str, str]) -> bool:
    return all(item[name]["S"] == value for name, value in key.items())


@dataclass
class Spans:
    """X-Ray."""

    documents: dict[str, list[Item]] = field(default_factory=dict)
    """Segments by trace, 32 hex digits."""
    fails: bool = False
    retrievals: list[Item] = field(default_factory=list)

    async def start_trace_retrieval(self, **request: Any) -> Item:
        """Begin."""
        if self.fails:
            raise TimeoutError
        self.retrievals.append(request)
        return {"RetrievalToken": str(len(self.retrievals) - 1)}

    async def list_retrieved_traces(self, *, RetrievalToken: str, **_: Any) -> Item:  # noqa: N803  # the SDK's
        """The segments of the traces that were asked for."""
        wanted = self.retrievals[int(RetrievalToken)]["TraceIds"]
        return {
            "RetrievalStatus": "COMPLETE",
            "Traces": [
                {"Id": ids.as_xray(id_), "Spans": [{"Document": json.dumps(one)} for one in documents]}
                for id_, documents in self.documents.items()
                if ids.as_xray(id_) in wanted
            ],
        }


@dataclass
class Log:
    """Logs Insights."""

    lines: list[str] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)

    async def start_query(self, **request: Any) -> Item:
        """Begin."""
        self.queries.append(request["queryString"])
        return {"queryId": "q"}

    async def get_query_results(self, **_: Any) -> Item:
        """All lines that name what was asked for."""
        wanted = self.queries[-1].partition("like /")[2].partition("/")[0]
        found = [
            [
                {"field": "@timestamp", "value": "2026-01-31 23:59:31.500"},
                {"field": "@message", "value": line},
            ]
            for line in self.lines
            if wanted in line
        ]
        return {"status": "Complete", "results": found}


@dataclass
class NoBucket:
    """An S3 without a record of a calibration."""

    def get_paginator(self, _operation: str) -> Self:
        """Its listing."""
        return self

    def paginate(self, **_: Any) -> Pages:
        """Nothing is listed."""
        return Pages({})


@dataclass
class Account:
    """All of it, and the readers over it."""

    tables: Tables
    spans: Spans
    log: Log
    readers: LifeReaders


def account(clock: Clock, *, content: ContentReader | None = None) -> Account:
    """An account in which nothing happened."""
    tables, spans, log, bucket = Tables(), Spans(), Log(), NoBucket()
    dynamodb: Any = tables

    async def bucket_of_history() -> str:
        return "history"

    def no_keys() -> Any:
        raise AssertionError("no content is sealed here")

    readers = LifeReaders(
        search=RequestSearch(dynamodb, clock),
        ledger=LedgerReader(dynamodb),
        traces=TraceReader(spans, clock),  # type: ignore[arg-type]  # as far as it is asked
        scores=ScoreReader(EvalReader(dynamodb, clock)),
        calibrations=CalibrationReader(bucket, bucket_of_history, clock),  # type: ignore[arg-type]  # likewise
        log_lines=LogLineReader(log),  # type: ignore[arg-type]  # likewise
        content=content or ContentReader(no_keys),
    )
    return Account(tables, spans, log, readers)
