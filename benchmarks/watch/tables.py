"""A DynamoDB that holds what the console reads: ledger, scores, drift, workers, costs. It writes nothing."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import orjson
from ledger import LedgerRows
from world import JUDGE, TENANTS, Place, Requests, catalogue, midnight, minutes, models_of, place_of_trace

from llmplatform.aws.tables import (
    EVAL_DETECTOR,
    EVAL_MINUTES,
    EVAL_RESULTS,
    LEDGER_SHARDS,
    REQUEST_LEDGER,
    TENANT_COST,
)
from llmplatform.costs import STATUS, CostLine, HourStatus, encode_line, encode_status
from llmplatform.eval_heartbeat import WORKERS, Heartbeat, encode_heartbeat
from llmplatform.eval_series import MinuteScores, Series, encode_minute, minute_text
from llmplatform.eval_status import (
    LOOKED,
    STATUS_ENTRY,
    STATUSES,
    FallStatus,
    Look,
    SeriesStatus,
    encode_look,
    encode_statuses,
)
from llmplatform.evaluations import JUDGE_DIMENSIONS, moment_text

PAGE_BYTES: Final = 1_048_576
_SCORES_EVERY_MIN: Final = 5
_CLASSES: Final = ("input", "output", "cache_read", "cache_write")
_DAYS_OF_COST: Final = 60

Asked = dict[str, Any]


class ScriptedTables:
    """Answers Query, GetItem and BatchGetItem."""

    def __init__(self, requests: Requests, started: datetime) -> None:
        self.rows = LedgerRows(requests)
        self._requests = requests
        self._started = started

    def answer(self, operation: str, asked: Asked) -> bytes:
        """What DynamoDB answers, as JSON."""
        if operation == "BatchGetItem":
            return self._batch(asked["RequestItems"])
        if operation == "GetItem":
            assert asked["TableName"] == TENANT_COST.name
            began = midnight(self._started) - timedelta(days=_DAYS_OF_COST)
            return orjson.dumps({"Item": asked["Key"] | {"hour": {"S": began.isoformat()}}})
        assert operation == "Query", operation
        queries: dict[str, Callable[[Asked], bytes]] = {
            REQUEST_LEDGER.name: self._ledger,
            EVAL_RESULTS.name: self._results,
            EVAL_MINUTES.name: self._minutes,
            EVAL_DETECTOR.name: self._workers,
            TENANT_COST.name: self._costs,
        }
        return queries[asked["TableName"]](asked)

    # -- the ledger

    def _ledger(self, asked: Asked) -> bytes:
        values = {
            name: next(iter(value.values())) for name, value in asked["ExpressionAttributeValues"].items()
        }
        if ":trace" in values:
            place = self._there(values[":trace"])
            return _page([] if place is None else [self.rows.row(place)])
        tenant_id, hour_text, shard = values[":key"].split("#")
        if tenant_id not in TENANTS:
            return _page([])
        tenant = TENANTS.index(tenant_id)
        hour = int(datetime.fromisoformat(f"{hour_text}:00:00+00:00").timestamp()) // 3_600
        now = datetime.now(UTC)
        last = self._below(tenant, hour, int(shard), values.get(":before"))
        first = self._below(tenant, hour, int(shard), values[":newer"]) if ":newer" in values else 0
        assert not asked["ScanIndexForward"]
        items: list[bytes] = []
        size = scanned = 0
        for number in range(last - 1, first - 1, -1):
            place = Place(tenant, hour, int(shard), number)
            completed_at = self.rows.completed_at(place)
            if completed_at >= now:
                continue
            scanned += 1
            size += (
                len(self.rows.kind(place).row) * 2 // 3
            )  # without types and punctuation, which do not count
            if self._matches(place, completed_at, values):
                items.append(self.rows.row(place))
            if number > first and (scanned == asked.get("Limit") or size >= PAGE_BYTES):
                position = {
                    "tenant_hour_shard": {"S": values[":key"]},
                    "request_id": {"S": self._requests.request_id(place)},
                }
                return _page(items, position, scanned)
        return _page(items, scanned=scanned)

    def _below(self, tenant: int, hour: int, shard: int, request_id: str | None) -> int:
        """How many requests of a partition have a smaller id."""
        count = self._requests.count(tenant, hour)
        if request_id is None:
            return count
        number = 0
        known = self._requests.place_of(request_id)
        if known is not None and (known.tenant, known.hour, known.shard) == (tenant, hour, shard):
            return known.number
        lower, upper = 0, count
        while lower < upper:
            number = (lower + upper) // 2
            if self._requests.request_id(Place(tenant, hour, shard, number)) < request_id:
                lower = number + 1
            else:
                upper = number
        return lower

    def _matches(self, place: Place, completed_at: datetime, values: dict[str, str]) -> bool:
        record = self.rows.kind(place).record
        if not values[":start"] <= completed_at.isoformat() < values[":end"]:
            return False
        if values.get(":outcome", record.outcome.value) != record.outcome.value:
            return False
        if values.get(":model", record.requested_model_id) not in {
            record.model_id,
            record.requested_model_id,
        }:
            return False
        if ":ttft" in values:
            ttft_ms = record.time_to_first_token_ms or 0
            return ttft_ms > float(values[":ttft"]) or record.total_latency_ms > float(values[":total"])
        return values.get(":error_code", record.error_code) == record.error_code

    def _there(self, trace: str) -> Place | None:
        place = place_of_trace(trace.replace("-", ""))
        if place is None or place.number >= self._requests.count(place.tenant, place.hour):
            return None
        return place

    # -- scores

    def _results(self, asked: Asked) -> bytes:
        values = {name: value["S"] for name, value in asked["ExpressionAttributeValues"].items()}
        if ":trace" in values:
            place = self._there(values[":trace"])
            return _page([self.rows.result(place)] if place is not None and place.sampled else [])
        after = asked.get("ExclusiveStartKey")
        end = min(values[":end"], moment_text(datetime.now(UTC)))
        if after is not None:
            end = after["result_key"]["S"]
        items: list[bytes] = []
        size, tenant = 0, TENANTS.index(values[":tenant"])
        for hour in reversed(self._requests.hours):
            if (hour + 1) * 3_600 <= datetime.fromisoformat(values[":start"]).timestamp():
                break
            for item in self.rows.scored(tenant, hour):
                if not values[":start"] <= item["result_key"]["S"] < end:
                    continue
                items.append(orjson.dumps(_projected(item, asked)))
                size += 3_000
                if size >= PAGE_BYTES:
                    position = {name: item[name] for name in ("tenant_id", "result_key")}
                    return _page(items, position)
        return _page(items)

    def _minutes(self, asked: Asked) -> bytes:
        values = {name: value["S"] for name, value in asked["ExpressionAttributeValues"].items()}
        first = max(datetime.fromisoformat(values[":first"]), self._started - timedelta(days=8))
        first += timedelta(minutes=-first.minute % _SCORES_EVERY_MIN)
        last = min(datetime.fromisoformat(values[":last"]), datetime.now(UTC))
        template = _minute_row(values[":series"])
        marker = minute_text(_A_MINUTE).encode()
        return _page(
            [
                template.replace(marker, minute_text(at).encode())
                for at in minutes(first, last, _SCORES_EVERY_MIN)
            ]
        )

    def _batch(self, tables: dict[str, Any]) -> bytes:
        ((table, asked),) = tables.items()
        if table == EVAL_DETECTOR.name:
            owners = [key[EVAL_DETECTOR.partition_key.name]["S"] for key in asked["Keys"]]
            items = [self._standing(owner) for owner in owners if owner in TENANTS]
        else:
            assert table == REQUEST_LEDGER.name, table
            places = (self._requests.place_of(key["request_id"]["S"]) for key in asked["Keys"])
            items = [self.rows.row(place) for place in places if place is not None]
        return b'{"Responses":{"%b":[%b]},"UnprocessedKeys":{}}' % (table.encode(), b",".join(items))

    def _standing(self, tenant: str) -> bytes:
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        statuses = [
            self._status(Series(tenant, model, name, JUDGE), now)
            for model in models_of(tenant)
            for name in JUDGE_DIMENSIONS
        ]
        return orjson.dumps(
            {
                EVAL_DETECTOR.partition_key.name: {"S": tenant},
                EVAL_DETECTOR.sort_key.name: {"S": STATUS_ENTRY},
                STATUSES: encode_statuses(statuses),
                LOOKED: encode_look(Look(at=now)),
            }
        )

    def _status(self, series: Series, now: datetime) -> SeriesStatus:
        fallen = TENANTS.index(series.tenant_id) % 10 == 7 and series.dimension == JUDGE_DIMENSIONS[0]  # noqa: PLR2004
        onset = now - timedelta(hours=6)
        return SeriesStatus(
            key=series.key,
            status="fallen" if fallen else "steady",
            current=True,
            began=self._started - timedelta(days=30),
            latest=now,
            folded_to=now,
            baseline_mean=4.1,
            baseline_samples=9_000,
            fall=FallStatus(onset, onset + timedelta(minutes=20), 4.1, 3.4) if fallen else None,
            drop_percent=17.0 if fallen else 0.4,
            dropped=fallen,
        )

    def _workers(self, asked: Asked) -> bytes:
        assert asked["ExpressionAttributeValues"][":workers"]["S"] == WORKERS
        now = datetime.now(UTC)
        last_at = {tenant: {"read": now, "scored": now} for tenant in TENANTS}
        return _page(
            [
                orjson.dumps(
                    encode_heartbeat(
                        Heartbeat(
                            worker=f"worker-{number}",
                            started_at=self._started,
                            at=now,
                            read=25_000,
                            scored=24_900,
                            known=50,
                            skipped={"budget": 50},
                            parked={},
                            unfinished=0,
                            lag_s=2.0,
                            judge_failed={},
                            last_at=last_at,
                        )
                    )
                )
                for number in range(3)
            ]
        )

    # -- costs

    def _costs(self, asked: Asked) -> bytes:
        owner, _, day = asked["ExpressionAttributeValues"][":day"]["S"].partition("#")
        first = datetime.fromisoformat(f"{day}T00:00:00+00:00")
        hours = [hour for hour in (first + timedelta(hours=at) for at in range(24)) if hour < self._started]
        if owner == STATUS:
            return _page([_status_row(hour, self._started) for hour in hours])
        if owner not in TENANTS:
            return _page([])
        return _page([row for hour in hours for row in _cost_rows(owner, hour)])


_A_MINUTE: Final = datetime(2101, 1, 1, 1, 1, tzinfo=UTC)


def _page(items: list[bytes], position: dict[str, Any] | None = None, scanned: int | None = None) -> bytes:
    more = b"" if position is None else b',"LastEvaluatedKey":' + orjson.dumps(position)
    counts = (len(items), len(items) if scanned is None else scanned)
    return b'{"Items":[%b],"Count":%d,"ScannedCount":%d%b}' % (b",".join(items), *counts, more)


def _projected(item: dict[str, Any], asked: Asked) -> dict[str, Any]:
    names = asked.get("ExpressionAttributeNames")
    return item if names is None else {name: item[name] for name in names.values() if name in item}


@lru_cache(maxsize=10_000)
def _minute_row(series: str) -> bytes:
    scores = MinuteScores(_A_MINUTE, 6, 120.0, 492.0, 2_064.0, (0, 0, 1, 3, 2))
    return orjson.dumps(encode_minute(Series.of(series), scores))


@lru_cache(maxsize=2_000)
def _status_row(hour: datetime, now: datetime) -> bytes:
    amounts = {tenant: Decimal("0.123456789") * (50 - at) for at, tenant in enumerate(TENANTS)}
    status = HourStatus(
        hour,
        "closed" if now - hour > timedelta(hours=7) else "open",
        claimed_run=2,
        run=2,
        computed_at=hour + timedelta(hours=7),
        ledger_rows=41_666,
        amounts_usd={**amounts, "_unused": Decimal("1.5"), "_platform": Decimal("0.75")},
        price_version="2026-11-23",
        client_tokens=dict.fromkeys(TENANTS, (1200000, 340000)),
    )
    return orjson.dumps(encode_status(status))


def _cost_rows(owner: str, hour: datetime) -> Iterator[bytes]:
    for model_id in models_of(owner):
        model = catalogue().models[model_id]
        for name in _CLASSES:
            yield orjson.dumps(
                encode_line(
                    CostLine(
                        tenant_id=owner,
                        hour=hour,
                        layer="inference",
                        service="AmazonBedrock",
                        endpoint_type=model.endpoint_type,
                        model_id=model_id,
                        endpoint_name=model.endpoint_name,
                        price_key=model.price_key,
                        region="us-east-1",
                        service_tier="default",
                        charge_class=name,
                        unit="tokens",
                        quantity=Decimal(1_234_567),
                        unit_price_usd=Decimal("0.000003"),
                        amount_usd=Decimal("3.703701"),
                        requests=900,
                        usage_source="reported",
                        computed_from="request-ledger",
                        allocation_method="direct/1",
                        price_version="2026-11-23",
                    ),
                    2,
                )
            )


assert LEDGER_SHARDS == 8  # noqa: PLR2004  # kinds and scores are spread over as many
