"""What pages of evaluations are read from, in a test's own process, filled by the product's own encoders."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from corpus.eval_results import JUDGE
from harness.ledger_table import Account, Pages, account
from llmplatform.aws.tables import EVAL_DETECTOR, EVAL_MINUTES
from llmplatform.clock import Clock
from llmplatform.eval_heartbeat import WORKERS, Heartbeat, encode_heartbeat
from llmplatform.eval_series import JUDGE_BINS, MinuteScores, Series, encode_minute, minute_of
from llmplatform.eval_status import (
    LOOKED,
    STATUS_ENTRY,
    STATUSES,
    Look,
    SeriesStatus,
    encode_look,
    encode_statuses,
)
from llmplatform.evaluations import JUDGE_DIMENSIONS
from watch.reading.aws_calls import count_call
from watch.reading.evaluating import EvaluatingReader
from watch.reading.evaluations import EvaluationReaders
from watch.reading.minutes import MinuteReader
from watch.reading.standing import StandingReader

Item = dict[str, Any]


def minute(at: datetime, *scores: int, rate: float = 0.05) -> MinuteScores:
    """A minute in which these scores were given, 1 to 5."""
    return MinuteScores(
        minute=minute_of(at),
        n=len(scores),
        weight=len(scores) / rate,
        weighted_sum=sum(scores) / rate,
        weighted_sum_squares=sum(score**2 for score in scores) / rate,
        counts=tuple(scores.count(int(one)) for one in JUDGE_BINS),
    )


def status_of(series: Series, now: datetime, **fields: Any) -> SeriesStatus:
    """A steady series that has scored for ten days, but for `fields`."""
    return SeriesStatus(
        **{
            "key": series.key,
            "status": "steady",
            "current": True,
            "began": now - timedelta(days=10),
            "latest": now,
            "folded_to": now,
            "baseline_mean": 4.2,
            "baseline_samples": 2_400,
            "drop_percent": 1.5,
            "dropped": False,
            **fields,
        }
    )


def series_of(tenant: str = "acme", dimension: str = "relevance", epoch: str = JUDGE.identity) -> Series:
    """A series of the small model."""
    return Series(tenant, "small", dimension, epoch)


def all_series(tenant: str = "acme") -> list[Series]:
    """Those of one judge."""
    return [series_of(tenant, dimension) for dimension in JUDGE_DIMENSIONS]


def heartbeat(now: datetime, *, tenant: str = "acme", **fields: Any) -> Heartbeat:
    """A worker that was heard of a moment ago."""
    return Heartbeat(
        **{
            "worker": "worker-1",
            "started_at": now - timedelta(hours=3),
            "at": now - timedelta(seconds=8),
            "read": 1_200,
            "scored": 1_100,
            "known": 10,
            "skipped": {"budget": 80},
            "parked": {"undecodable": 10},
            "unfinished": 3,
            "lag_s": 2.5,
            "judge_failed": {"malformed": 2},
            "last_at": {tenant: {"read": now - timedelta(seconds=20), "scored": now - timedelta(hours=2)}},
            **fields,
        }
    )


@dataclass
class Detector:
    """DynamoDB as far as minutes, standings and heartbeats are read from it."""

    minutes: dict[str, dict[str, Item]] = field(default_factory=dict)
    rows: dict[str, Item] = field(default_factory=dict)
    workers: list[Item] = field(default_factory=list)
    fails: set[str] = field(default_factory=set)
    """Of `minutes`, `standing` and `workers` those that cannot be read."""
    queries: int = 0

    def put_minutes(self, series: Series, minutes: Iterable[MinuteScores]) -> None:
        """Rows as the drift job writes them."""
        rows = self.minutes.setdefault(series.key, {})
        for one in minutes:
            item = encode_minute(series, one)
            rows[item["minute"]["S"]] = item

    def put_statuses(self, tenant: str, *statuses: SeriesStatus, look: Look | None = None) -> None:
        """A tenant's row."""
        item: Item = {
            EVAL_DETECTOR.partition_key.name: {"S": tenant},
            EVAL_DETECTOR.sort_key.name: {"S": STATUS_ENTRY},
            STATUSES: encode_statuses(statuses),
        }
        if look is not None:
            item[LOOKED] = encode_look(look)
        self.rows[tenant] = item

    async def call_undecoded(self, operation: str, request: Mapping[str, Any]) -> bytes:
        """The lean client's."""
        count_call()
        assert (operation, request["TableName"]) == ("Query", EVAL_MINUTES.name)
        if "minutes" in self.fails:
            raise TimeoutError
        self.queries += 1
        values = {name: value["S"] for name, value in request["ExpressionAttributeValues"].items()}
        of_series = self.minutes.get(values[":series"], {})
        found = [of_series[at] for at in sorted(of_series) if values[":first"] <= at <= values[":last"]]
        return json.dumps({"Items": found}).encode()

    async def batch_get_item(self, **request: Any) -> Item:
        """An SDK's."""
        count_call()
        if "standing" in self.fails:
            raise TimeoutError
        asked = request["RequestItems"][EVAL_DETECTOR.name]["Keys"]
        owners = [key[EVAL_DETECTOR.partition_key.name]["S"] for key in asked]
        return {"Responses": {EVAL_DETECTOR.name: [self.rows[one] for one in owners if one in self.rows]}}

    def get_paginator(self, _operation: str) -> Self:
        """An SDK's."""
        return self

    def paginate(self, **request: Any) -> Pages:
        """An SDK's."""
        count_call()
        assert request["ExpressionAttributeValues"] == {":workers": {"S": WORKERS}}
        if "workers" in self.fails:
            raise TimeoutError
        return Pages({"Items": self.workers})

    def put_worker(self, *beats: Heartbeat) -> None:
        """Rows as workers write them."""
        self.workers += [encode_heartbeat(beat) for beat in beats]


@dataclass
class Bucket:
    """S3, as far as parked records are listed."""

    keys: dict[str, datetime] = field(default_factory=dict)
    fails: bool = False

    async def list_objects_v2(self, **request: Any) -> Item:
        """The first of a listing."""
        count_call()
        if self.fails:
            raise TimeoutError
        found = [key for key in sorted(self.keys) if key.startswith(request["Prefix"])]
        listed = [{"Key": key, "LastModified": self.keys[key]} for key in found[: request["MaxKeys"]]]
        return {"Contents": listed, "IsTruncated": len(found) > len(listed)}


@dataclass
class Scored:
    """All of it, and the parts of a console that reads it."""

    detector: Detector
    bucket: Bucket
    account: Account
    parts: dict[str, Any]


def scored(clock: Clock) -> Scored:
    """An account in which nothing was scored yet."""
    detector, bucket, made = Detector(), Bucket(), account(clock)
    dynamodb: Any = detector
    s3: Any = bucket

    async def history() -> str:
        return "history"

    parts = {
        "clock": clock,
        "lives": made.readers,
        "standing": StandingReader(dynamodb, clock),
        "evaluations": EvaluationReaders(
            minutes=MinuteReader(dynamodb), evaluating=EvaluatingReader(dynamodb, s3, history, clock)
        ),
    }
    return Scored(detector, bucket, made, parts)
