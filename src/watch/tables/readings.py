"""A metric read one way: what panels draw and alarms hold against a threshold.

A reading of a metric that is in no table, by dimensions that it is not published with, or by a statistic that
CloudWatch does not have, cannot be made. A dimension's value that begins with `$` is a variable: the thing in
question, a tenant or an endpoint, fills it in. Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from llmplatform import metric_queries
from llmplatform.metrics import METRICS, Metric
from watch.tables.native import NATIVE_METRICS

STATISTICS: Final = frozenset({"Average", "Sum", "Minimum", "Maximum", "SampleCount"})
_PERCENTILE: Final = re.compile(r"p(?:\d{1,2}(?:\.\d{1,2})?|100)")
_KNOWN: Final = {**METRICS, **NATIVE_METRICS}

Series = metric_queries.Series
"""One series of CloudWatch and one statistic of it: what a call asks for."""

Dimensions = tuple[tuple[str, str], ...]
"""Names and values, in the order of the metric's dimension set."""

TENANT: Final = "$tenant_id"
MODEL: Final = "$model_id"
ENDPOINT_TYPE: Final = "$endpoint_type"
BACKEND_MODEL: Final = "$backend_model_id"
ENDPOINT: Final = "$endpoint_name"
VARIANT: Final = "$variant_name"
EVAL_DIMENSION: Final = "$eval_dimension"
JUDGE: Final = "$judge_identity"
VARIABLES: Final = (
    TENANT,
    MODEL,
    ENDPOINT_TYPE,
    BACKEND_MODEL,
    ENDPOINT,
    VARIANT,
    EVAL_DIMENSION,
    JUDGE,
)


class NoSuchReading(ValueError):
    """The metric, the dimensions or the statistic is not there to be read."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One metric, one statistic, one set of dimensions. Raises NoSuchReading."""

    metric: Metric
    statistic: str
    dimensions: Dimensions
    label: str = ""
    """What tells it from the others of its panel."""
    per_gpu: bool = False
    """Summed over an instance's GPUs by its publisher: shown divided by their number."""

    def __post_init__(self) -> None:
        """Hold it against the tables."""
        metric = self.metric
        if _KNOWN.get((metric.namespace, metric.name)) is not metric:
            raise NoSuchReading(f"{metric.namespace} {metric.name} is in no table of metrics")
        if not is_statistic(self.statistic):
            raise NoSuchReading(f"{metric.name}: CloudWatch has no statistic {self.statistic}")
        if tuple(name for name, _ in self.dimensions) not in metric.dimension_sets:
            raise NoSuchReading(f"{metric.name} is not published by {', '.join(dict(self.dimensions))}")
        for _, value in self.dimensions:
            if value.startswith("$") and value not in VARIABLES:
                raise NoSuchReading(f"{metric.name}: nothing fills in {value}")

    @property
    def variables(self) -> frozenset[str]:
        """The variables that must be filled in."""
        return frozenset(value for _, value in self.dimensions if value.startswith("$"))

    def series(self, values: Mapping[str, str]) -> Series:
        """The series for these values by variable. Raises KeyError for one that is missing."""
        bound = tuple(
            (name, values[value] if value.startswith("$") else value) for name, value in self.dimensions
        )
        return Series(self.metric.namespace, self.metric.name, bound, self.statistic)


def is_statistic(text: str) -> bool:
    """Whether CloudWatch has a statistic of this name; of trimmed ones only percentiles are used here."""
    return text in STATISTICS or _PERCENTILE.fullmatch(text) is not None


def read(metric: Metric, statistic: str, label: str = "", **dimensions: str) -> Reading:
    """A reading, its dimensions in the order in which the metric is published."""
    names = next(
        (names for names in metric.dimension_sets if set(names) == set(dimensions)), tuple(dimensions)
    )
    return Reading(metric, statistic, tuple((name, dimensions[name]) for name in names), label)


def per_gpu(reading: Reading) -> Reading:
    """The same, shown divided by the number of GPUs."""
    return replace(reading, per_gpu=True)
