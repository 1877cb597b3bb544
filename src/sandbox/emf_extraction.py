"""What CloudWatch extracts from one log line in the embedded metric format, and what it rejects.

Pure: the time is given. Putting metrics and lines anywhere is `emf_intake`'s. The rules are those of
"Specification: Embedded metric format" and of PutMetricData's MetricDatum, both of November 2026. One
rejected metric or dimension set does not take the others of its line with it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

MAX_EVENT_BYTES: Final = 1_048_576 - 26  # CloudWatch Logs counts 26 bytes of its own with each event
MAX_METRICS: Final = 100
MAX_DIMENSIONS: Final = 30
MAX_VALUES: Final = 100
MAX_NAME_CHARS: Final = 255
MAX_DIMENSION_NAME_CHARS: Final = 250
MAX_DIMENSION_VALUE_CHARS: Final = 1024
MAX_AGE_MS: Final = 14 * 24 * 3600 * 1000
MAX_AHEAD_MS: Final = 2 * 3600 * 1000
MAX_MAGNITUDE: Final = 2.0**360
NAMESPACE_CHARS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_/#: ")

# CloudWatch capitalises the plain ones: Bytes, Kilobytes, Bytes/Second.
UNITS: Final = frozenset(
    {"None", "Percent", "Count", "Count/Second", "Seconds", "Milliseconds", "Microseconds"}
    | {
        f"{size}{unit}".capitalize() + per
        for size in ("", "kilo", "mega", "giga", "tera")
        for unit in ("bytes", "bits")
        for per in ("", "/Second")
    }
)

Dimensions = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Datum:
    """The values of one metric under one set of dimensions. `dimensions` are sorted by name."""

    namespace: str
    name: str
    dimensions: Dimensions
    unit: str
    storage_resolution_s: Literal[1, 60]
    timestamp_ms: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Rejection:
    """Something that CloudWatch would not have taken.

    `kind` tells which of its counters moves, EMFParsingErrors (it is not the format) or
    EMFValidationErrors (it is, and breaks a limit). `where` is a path in the line; no value is quoted.
    """

    kind: Literal["parsing", "validation"]
    reason: str
    where: str


@dataclass(frozen=True, slots=True)
class Extraction:
    """What became of one line. `is_emf` is whether it meant to be in the format.

    `log_group` and `log_stream` are where it asked an agent to put it; None leaves that to the agent.
    """

    is_emf: bool
    datums: tuple[Datum, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    log_group: str | None = None
    log_stream: str | None = None


class _Rejected(Exception):  # an outcome of a rule, not an error of ours
    def __init__(self, kind: Literal["parsing", "validation"], reason: str, where: str) -> None:
        self.rejection = Rejection(kind, reason, where)
        super().__init__(reason)


def extract(line: bytes, now_ms: int) -> Extraction:
    """Extract the metrics of one line, without its newline. `now_ms` is the moment of its arrival.

    A line without `_aws` at the root of a JSON object is a plain one: no metrics, nothing rejected.
    """
    if len(line) > MAX_EVENT_BYTES:
        return Extraction(b'"_aws"' in line, (), (Rejection("validation", "event too large", "$"),))
    try:
        root = orjson.loads(line)
    except orjson.JSONDecodeError:
        if b'"_aws"' not in line:
            return Extraction(is_emf=False)
        return Extraction(True, (), (Rejection("parsing", "not valid JSON", "$"),))
    if not isinstance(root, dict) or "_aws" not in root:
        return Extraction(is_emf=False)
    datums: list[Datum] = []
    rejections: list[Rejection] = []
    for outcome in _outcomes(root, now_ms):
        if isinstance(outcome, Datum):
            datums.append(outcome)
        else:
            rejections.append(outcome)
    metadata = root["_aws"] if isinstance(root["_aws"], dict) else {}
    return Extraction(
        is_emf=True,
        datums=tuple(datums),
        rejections=tuple(rejections),
        log_group=_text_or_none(metadata.get("LogGroupName")),
        log_stream=_text_or_none(metadata.get("LogStreamName")),
    )


def _outcomes(root: dict[str, Any], now_ms: int) -> Iterator[Datum | Rejection]:
    """Datums and rejections of a whole line, in the order of its directives."""
    try:
        metadata = _object(root["_aws"], "_aws")
        timestamp_ms = _timestamp(metadata.get("Timestamp"), now_ms)
        directives = _list(metadata.get("CloudWatchMetrics"), "_aws.CloudWatchMetrics")
    except _Rejected as rejected:
        yield rejected.rejection
        return
    for index, directive in enumerate(directives):
        yield from _directive(root, directive, timestamp_ms, f"_aws.CloudWatchMetrics[{index}]")


def _directive(
    root: dict[str, Any], directive: Any, timestamp_ms: int, where: str
) -> Iterator[Datum | Rejection]:
    """Every metric of a directive under every one of its dimension sets."""
    try:
        members = _object(directive, where)
        namespace = _namespace(members.get("Namespace"), f"{where}.Namespace")
        sets = _list(members.get("Dimensions"), f"{where}.Dimensions")
        definitions = _list(members.get("Metrics"), f"{where}.Metrics", at_most=MAX_METRICS)
    except _Rejected as rejected:
        yield rejected.rejection
        return
    dimension_sets: list[Dimensions] = []
    for index, names in enumerate(sets):
        try:
            dimension_sets.append(_dimensions(root, names, f"{where}.Dimensions[{index}]"))
        except _Rejected as rejected:
            yield rejected.rejection
    for index, definition in enumerate(definitions):
        try:
            name, unit, resolution_s = _definition(definition, f"{where}.Metrics[{index}]")
            values = _values(root, name, f"{where}.Metrics[{index}]")
        except _Rejected as rejected:
            yield rejected.rejection
            continue
        for dimensions in dimension_sets:
            yield Datum(namespace, name, dimensions, unit, resolution_s, timestamp_ms, values)


def _timestamp(value: Any, now_ms: int) -> int:
    where = "_aws.Timestamp"
    if not _is_number(value) or value != int(value):
        raise _Rejected("parsing", "not an integer of milliseconds", where)
    if value < now_ms - MAX_AGE_MS:
        raise _Rejected("validation", "older than two weeks", where)
    if value > now_ms + MAX_AHEAD_MS:
        raise _Rejected("validation", "more than two hours ahead", where)
    return int(value)


def _namespace(value: Any, where: str) -> str:
    text = _text(value, MAX_NAME_CHARS, where)
    if text.startswith(":") or not NAMESPACE_CHARS.issuperset(text):
        raise _Rejected("validation", "character not allowed", where)
    if text.startswith("AWS/"):
        raise _Rejected("validation", "reserved for AWS", where)
    return text


def _dimensions(root: dict[str, Any], names: Any, where: str) -> Dimensions:
    """One dimension set with its values; an empty one is a metric without dimensions."""
    listed = _list(names, where, at_most=MAX_DIMENSIONS)
    pairs: dict[str, str] = {}
    for index, listed_name in enumerate(listed):
        at = f"{where}[{index}]"
        name = _text(listed_name, MAX_DIMENSION_NAME_CHARS, at)
        if name.startswith(":") or not name.isascii():
            raise _Rejected("validation", "character not allowed", at)
        if name in pairs:
            raise _Rejected("validation", "dimension named twice", at)
        if name not in root:
            raise _Rejected("validation", "dimension has no value at the root", at)
        value = root[name]
        if not isinstance(value, str):
            raise _Rejected("validation", "dimension value is not a string", at)
        if not value.strip() or len(value) > MAX_DIMENSION_VALUE_CHARS or not value.isascii():
            raise _Rejected("validation", "dimension value is blank, too long or not ASCII", at)
        pairs[name] = value
    return tuple(sorted(pairs.items()))


def _definition(definition: Any, where: str) -> tuple[str, str, Literal[1, 60]]:
    """Name, unit and resolution of a metric."""
    members = _object(definition, where)
    name = _text(members.get("Name"), MAX_NAME_CHARS, f"{where}.Name")
    unit = members.get("Unit", "None")
    if not isinstance(unit, str) or unit not in UNITS:
        raise _Rejected("validation", "not a unit of CloudWatch", f"{where}.Unit")
    resolution_s = members.get("StorageResolution", 60)
    if isinstance(resolution_s, bool) or resolution_s not in {1, 60}:
        raise _Rejected("validation", "neither 1 nor 60", f"{where}.StorageResolution")
    return name, unit, 1 if resolution_s == 1 else 60


def _values(root: dict[str, Any], name: str, where: str) -> tuple[float, ...]:
    """The metric's values, which stand at the root of the line under its name."""
    if name not in root:
        raise _Rejected("validation", "metric has no value at the root", where)
    value = root[name]
    listed = value if isinstance(value, list) else [value]
    if not 1 <= len(listed) <= MAX_VALUES:
        raise _Rejected("validation", f"not 1 to {MAX_VALUES} values", where)
    if not all(_is_number(one) for one in listed):
        raise _Rejected("validation", "value is not a number", where)
    if not all(abs(one) <= MAX_MAGNITUDE for one in listed):
        raise _Rejected("validation", "value out of range", where)
    return tuple(float(one) for one in listed)


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Rejected("parsing", "not an object", where)
    return value


def _list(value: Any, where: str, *, at_most: int | None = None) -> list[Any]:
    if not isinstance(value, list):
        raise _Rejected("parsing", "not an array", where)
    if at_most is not None and len(value) > at_most:
        raise _Rejected("validation", f"more than {at_most} members", where)
    return value


def _text(value: Any, max_chars: int, where: str) -> str:
    if not isinstance(value, str):
        raise _Rejected("parsing", "not a string", where)
    if not value.strip() or len(value) > max_chars:
        raise _Rejected("validation", f"blank or over {max_chars} characters", where)
    return value


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
