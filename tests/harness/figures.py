"""A platform's figures, made up and alike each time: fifty tenants of many sizes, a slow endpoint, a gap."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from zlib import crc32

_GAP = (timedelta(minutes=70), timedelta(minutes=62))
_MS = {"time_to_first_token": 420.0, "total_latency": 6_500.0, "gateway_overhead": 1.4}
_PERCENTILES = {"p50": 1.0, "p99": 4.2, "Average": 1.3, "Maximum": 6.0}


def figures(
    name: str, dimensions: Mapping[str, str], statistic: str, times: Sequence[datetime]
) -> list[float | None]:
    """The values of a series: a day's wave, its own size by its name, and none where nothing is published."""
    about = "/".join(dimensions.values())
    size = 60.0 if about == "gateway" else 0.2 + crc32(about.encode()) % 1_000 / 250
    if len(times) == 1:
        return [_value(name, statistic, size, None)]
    period_s = (times[1] - times[0]).total_seconds()
    newest = times[-1]
    return [
        None
        if _GAP[1] <= newest - time < _GAP[0]
        else _value(name, statistic, size * (1 + 0.3 * math.sin(time.timestamp() / 3_000)), period_s)
        for time in times
    ]


def _value(name: str, statistic: str, size: float, period_s: float | None) -> float | None:  # noqa: C901, PLR0911  # a table
    seconds = period_s or 10_800.0
    if name == "request_count":
        return float(round(size * seconds / 12))
    if name in {"input_token_count", "output_token_count", "InputTokenCount", "OutputTokenCount"}:
        return float(round(size * seconds * (110 if "nput" in name else 24)))
    if statistic == "SampleCount":
        return float(round(size * seconds / 15))
    if name in {"request_failed", "ttft_slow"}:
        return 0.0 if size < 2 else round(min(size, 4) / 400, 5)  # the larger half
    if name in _MS:
        size = min(size, 4.0)
        return _MS[name] * (0.6 + size / 5) * _PERCENTILES[statistic]
    if name.endswith(("_usd",)):
        return round(size * 31.4, 4)
    if name in {"GPUUtilization", "GPUMemoryUtilization"}:
        return 4 * min(99.0, 60 + size * 9)
    if name.endswith(("_percent", "Utilization")):
        return round(20 + size * 24, 2)
    if name.endswith("Latency") or name == "TimeToFirstToken":
        return 190_000.0 * (0.6 + size / 5)
    if name in {"availability", "trace_propagated", "sampling_factor"}:
        return 1.0
    if name in {"circuit_open", "scores_missing"}:
        return 0.0
    if name in {"Invocation4XXErrors", "sink_dropped", "EMFParsingErrors", "judge_failed"}:
        return None
    return round(size * 17, 1)
