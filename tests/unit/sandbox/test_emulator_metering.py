import asyncio
import time
from collections import defaultdict
from typing import Any

from sandbox.emulator_metering import MinuteStore, metered
from sandbox.service_metrics import Figure

OF_TABLE = (("TableName", "t"),)


def figure(value: float) -> Figure:
    return Figure("AWS/DynamoDB", "ReturnedItemCount", "Count", OF_TABLE, value)


def store() -> tuple[MinuteStore, dict[tuple[str, str, str], list[Any]]]:
    points: defaultdict[tuple[str, str, str], list[Any]] = defaultdict(list)
    return MinuteStore(points.__getitem__, ",".join), points


def test_a_series_has_one_statistic_set_a_minute() -> None:
    minutes, points = store()
    for value, now_s in ((3.0, 61.0), (1.0, 119.9), (5.0, 120.0)):
        minutes.add(figure(value), now_s)
    first, second = points["AWS/DynamoDB", "ReturnedItemCount", "TableName"]
    assert first["Timestamp"] == 60
    assert first["_stat"] == {"SampleCount": 2.0, "Sum": 4.0, "Minimum": 1.0, "Maximum": 3.0}
    assert first["Value"] == 2.0
    assert (first["Unit"], first["Dimensions"]) == ("Count", {"TableName": "t"})
    assert (second["Timestamp"], second["_stat"]["Sum"]) == (120, 5.0)


async def test_a_call_is_counted_after_it_is_answered() -> None:
    minutes, points = store()
    seen: list[tuple[Any, ...]] = []

    async def handler(*_: Any) -> tuple[int, Any, Any]:
        return 200, {}, b'{"Count": 2}'

    def observe(*call: Any) -> list[Figure]:
        seen.append(call)
        return [figure(2.0)]

    handle = metered(handler, observe, minutes)
    started = time.perf_counter()
    answer = await handle("POST", "/", {"x-amz-target": "DynamoDB_20120810.Scan"}, b'{"TableName": "t"}', {})
    assert answer == (200, {}, b'{"Count": 2}')
    took_ms = (time.perf_counter() - started) * 1_000
    assert not points
    await asyncio.sleep(0)
    ((operation, request, status, answered, elapsed_ms),) = seen
    assert (operation, request, status, answered) == ("Scan", {"TableName": "t"}, 200, {"Count": 2})
    assert 0 <= elapsed_ms <= took_ms
    assert len(points) == 1


async def test_what_cannot_be_counted_is_answered_all_the_same() -> None:
    minutes, points = store()

    async def handler(*_: Any) -> tuple[int, Any, Any]:
        return 400, {}, b"\xa1not json"

    handle = metered(handler, lambda *_: [figure(1.0)], minutes)
    assert await handle("POST", "/", {}, b"", {}) == (400, {}, b"\xa1not json")
    await asyncio.sleep(0)
    assert not points
