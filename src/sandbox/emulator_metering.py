"""Meters the emulator's services from within its process, where it publishes nothing of them itself.

A handler is wrapped; the call is looked at after its answer has been given, so that no answer waits for a
metric or fails with one. A series has one statistic set a minute, as AWS sends it: the emulator looks
through all its points at each question. What is worth a figure is `service_metrics`' to say. Loaded by the
emulator's interpreter: nothing but the standard library, and nothing of ours, is imported.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

log = logging.getLogger("metering")

Handler = Callable[..., Awaitable[tuple[int, Any, Any]]]
Observe = Callable[[str, dict[str, Any], int, dict[str, Any], float], Iterable[Any]]
"""Takes operation, request, status, answer and milliseconds; gives figures (see `service_metrics.Figure`)."""

_MINUTE_S = 60


class MinuteStore:
    """Figures folded into the emulator's own points; `bucket` gives the list of a series' points."""

    def __init__(
        self, bucket: Callable[[tuple[str, str, str]], list[Any]], dims_key: Callable[[dict[str, str]], str]
    ) -> None:
        self._bucket = bucket
        self._dims_key = dims_key

    def add(self, figure: Any, now_s: float) -> None:
        """Count a figure in the statistic set of its minute, which is made if there is none."""
        dimensions = dict(figure.dimensions)
        points = self._bucket((figure.namespace, figure.name, self._dims_key(dimensions)))
        minute = now_s // _MINUTE_S * _MINUTE_S
        value = figure.value
        if not points or points[-1]["Timestamp"] != minute:
            statistics = {"SampleCount": 0.0, "Sum": 0.0, "Minimum": value, "Maximum": value}
            points.append(
                {
                    "Timestamp": minute,
                    "Unit": figure.unit,
                    "Dimensions": dimensions,
                    "Value": value,
                    "_stat": statistics,
                }
            )
        point = points[-1]
        statistics = point["_stat"]
        statistics["SampleCount"] += 1
        statistics["Sum"] += value
        statistics["Minimum"] = min(statistics["Minimum"], value)
        statistics["Maximum"] = max(statistics["Maximum"], value)
        point["Value"] = statistics["Sum"] / statistics["SampleCount"]


def metered(handler: Handler, observe: Observe, store: MinuteStore) -> Handler:
    """The handler, with each call counted once it is answered."""

    async def handle(
        method: str, path: str, headers: Any, body: Any, query_params: Any
    ) -> tuple[int, Any, Any]:
        started = time.perf_counter()
        status, answer_headers, answer = await handler(method, path, headers, body, query_params)
        elapsed_ms = (time.perf_counter() - started) * 1000
        target = headers.get("x-amz-target", "")
        # The callback inherits the account and region of this request, which the emulator has in its context.
        asyncio.get_running_loop().call_soon(_count, target, body, status, answer, elapsed_ms)
        return status, answer_headers, answer

    def _count(target: str, body: Any, status: int, answer: Any, elapsed_ms: float) -> None:
        try:
            request, answered = json.loads(body or b"{}"), json.loads(answer or b"{}")
            now_s = time.time()
            for figure in observe(target.rpartition(".")[2], request, status, answered, elapsed_ms):
                store.add(figure, now_s)
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not reach the emulator
            log.warning("a call was not metered (%s): %s", target, type(error).__name__)

    return handle
