"""Scores on their way to CloudWatch: EMF lines of `LLMPlatform/EvalScores`, readings of a minute together."""

from collections import defaultdict
from datetime import datetime
from typing import Final

from llmplatform.emf import MAX_VALUES_PER_METRIC, encode_figures
from llmplatform.eval_series import minute_of
from llmplatform.evaluations import EvalResult
from llmplatform.metrics import EVAL_SCORE, EVAL_SCORES
from llmplatform.sinks import Sink

FLUSH_S: Final = 5.0
"""How long a reading may wait for others of its minute: CloudWatch's own advice."""

_Series = tuple[datetime, str, str, str]


class ScoreLines:
    """Collects new results and hands lines to a sink; never blocks, never raises."""

    def __init__(self, sink: Sink[bytes]) -> None:
        self._sink = sink
        self._waiting: defaultdict[_Series, list[float]] = defaultdict(list)

    def add(self, result: EvalResult) -> None:
        """Take a result that was stored now, for the first time."""
        minute = minute_of(result.event_at)
        for dimension, value in result.values.items():
            series = (minute, result.tenant_id, result.model_id, dimension)
            readings = self._waiting[series]
            readings.append(value)
            if len(readings) == MAX_VALUES_PER_METRIC:
                self._write(series, self._waiting.pop(series))

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, defaultdict(list)
        for series, readings in waiting.items():
            self._write(series, readings)

    def _write(self, series: _Series, readings: list[float]) -> None:
        minute, tenant_id, model_id, dimension = series
        dimensions = {"tenant_id": tenant_id, "model_id": model_id, "eval_dimension": dimension}
        self._sink.accept(encode_figures(minute, EVAL_SCORES, dimensions, {EVAL_SCORE.name: readings}))
