"""A CloudWatch: metrics that are made when they are asked for, and alarms that are kept as they were put.

It speaks the query protocol, as our botocore does, and holds to CloudWatch's quotas: a call over them is
throttled, and counted. Alarms are evaluated by nobody; of a few it says that they ring.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus
from xml.sax.saxutils import escape
from zlib import crc32

from world import ACCOUNT, REGION, TENANTS, catalogue, models_of, published_values

from llmplatform.metrics import METRICS, Metric

QUOTA_PER_S: Final = {
    "DescribeAlarms": 9,
    "DescribeAlarmHistory": 3,
    "PutMetricAlarm": 3,
    "PutCompositeAlarm": 3,
    "DeleteAlarms": 3,
    "SetAlarmState": 3,
    "TagResource": 3,
    "ListTagsForResource": 9,
    "ListMetrics": 25,
    "GetMetricData": 50,
    "GetMetricStatistics": 400,
}
"""Calls a second of an account in a region. Source: CloudWatch user guide, service quotas."""
RINGING_EVERY: Final = 200
_METRICS_A_PAGE: Final = 500
_HOURLY: Final = ("today", "budget", "percent", "cost", "unused")
_QUERY: Final = re.compile(
    r"\.Id=(m\d+)&.*?Metric\.Namespace=([^&]*)&.*?Metric\.MetricName=([^&]*)(.*?)MetricStat\.Period=(\d+)"
    r"&[^=]*MetricStat\.Stat=([\w.]+)"
)
_LEVELS: Final = {
    "time_to_first_token": 600.0,
    "total_latency": 4_000.0,
    "gateway_overhead": 2.0,
    "request_failed": 0.002,
    "ttft_slow": 0.004,
    "trace_propagated": 1.0,
    "eval_score": 4.1,
    "output_tokens_per_second": 70.0,
}


class Throttled(Exception):
    """The call is over a quota."""


@dataclass(slots=True)
class Bucket:
    """Tokens of a quota: a second's worth at most."""

    per_s: float
    tokens: float = field(init=False)
    at_s: float = 0.0

    def __post_init__(self) -> None:
        """Full."""
        self.tokens = self.per_s

    def take(self, now_s: float) -> bool:
        """Whether a call may be made now."""
        self.tokens = min(self.per_s, self.tokens + (now_s - self.at_s) * self.per_s)
        self.at_s = now_s
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(slots=True)
class Alarm:
    """One alarm as it was put."""

    kind: str
    xml: str
    tags: dict[str, str]
    rings: bool
    data_from: datetime
    """When CloudWatch has looked at it for the first time: a minute after it was put, a composite at once."""
    state: str | None = None
    """As it was set."""

    def state_at(self, now: datetime) -> str:
        """What CloudWatch says of it."""
        if now < self.data_from:
            return self.state or "INSUFFICIENT_DATA"
        return "ALARM" if self.rings else "OK"


class ScriptedCloudWatch:
    """Answers a call's form with the XML inside its result."""

    def __init__(self, started: datetime, puts_per_s: float) -> None:
        raised = {"PutMetricAlarm": puts_per_s, "PutCompositeAlarm": puts_per_s}
        self._buckets = {name: Bucket(quota) for name, quota in (QUOTA_PER_S | raised).items()}
        self._started = started
        self._alarms: dict[str, Alarm] = {}
        self.throttled: Counter[str] = Counter()
        self.datapoints = 0

    def answer(self, action: str, body: str, now_s: float) -> str:
        """What is inside the result. Raises Throttled."""
        bucket = self._buckets.get(action)
        if bucket is not None and not bucket.take(now_s):
            self.throttled[action] += 1
            raise Throttled
        if action == "GetMetricData":
            return self._metric_data(body)
        answers: dict[str, Callable[[dict[str, str]], str]] = {
            "GetMetricStatistics": self._statistics,
            "ListMetrics": _listed,
            "PutMetricAlarm": self._put,
            "PutCompositeAlarm": self._put,
            "DescribeAlarms": self._described,
            "DescribeAlarmHistory": lambda _: "<AlarmHistoryItems/>",
            "SetAlarmState": self._set,
            "TagResource": self._tag,
            "ListTagsForResource": self._tags_of,
            "DeleteAlarms": self._delete,
        }
        return answers[action](dict(parse_qsl(body, keep_blank_values=True)))

    def tagged(self, first: int, size: int) -> dict[str, Any]:
        """GetResources of the tagging API."""
        found = list(self._alarms.items())
        mappings = [
            {
                "ResourceARN": _arn(name),
                "Tags": [{"Key": key, "Value": value} for key, value in alarm.tags.items()],
            }
            for name, alarm in found[first : first + size]
        ]
        token = str(first + size) if first + size < len(found) else ""
        return {"ResourceTagMappingList": mappings, "PaginationToken": token}

    # -- metrics

    def _metric_data(self, body: str) -> str:
        start, end = (
            datetime.fromisoformat(unquote_plus(found[1]))
            if (found := re.search(rf"&{name}=([^&]+)", body))
            else _NEVER
            for name in ("StartTime", "EndTime")
        )
        now = datetime.now(UTC)
        results = []
        for id_, namespace, name, dimensions, period, statistic in _QUERY.findall(body):
            seed = re.sub(r"MetricDataQueries\.member\.\d+", "", dimensions)
            points = list(_points((namespace, name, seed, statistic), start, min(end, now), int(period)))
            self.datapoints += len(points)
            times = "".join(f"<member>{at}</member>" for at, _ in points)
            values = "".join(f"<member>{value:.6g}</member>" for _, value in points)
            results.append(
                f"<member><Id>{id_}</Id><Label>{name}</Label><StatusCode>Complete</StatusCode>"
                f"<Timestamps>{times}</Timestamps><Values>{values}</Values></member>"
            )
        return f"<MetricDataResults>{''.join(results)}</MetricDataResults>"

    def _statistics(self, asked: dict[str, str]) -> str:
        statistic = asked.get("Statistics.member.1") or asked["ExtendedStatistics.member.1"]
        start, end = (datetime.fromisoformat(asked[name]) for name in ("StartTime", "EndTime"))
        end = min(end, datetime.now(UTC))
        seed = "".join(value for name, value in asked.items() if name.startswith("Dimensions."))
        points = []
        for at, value in _points(
            (asked["Namespace"], asked["MetricName"], seed, statistic), start, end, int(asked["Period"])
        ):
            told = f"<{statistic}>{value:.6g}</{statistic}>"
            if statistic.startswith("p"):
                told = (
                    f"<ExtendedStatistics><entry><key>{statistic}</key><value>{value:.6g}</value></entry>"
                    "</ExtendedStatistics>"
                )
            points.append(f"<member><Timestamp>{at}</Timestamp>{told}<Unit>None</Unit></member>")
        self.datapoints += len(points)
        return f"<Datapoints>{''.join(points)}</Datapoints><Label>{asked['MetricName']}</Label>"

    # -- alarms

    def _put(self, asked: dict[str, str]) -> str:
        name, tags = asked["AlarmName"], _tags(asked)
        kept = self._alarms.get(name)
        members = {key: value for key, value in asked.items() if key.partition(".")[0] not in _NOT_OF_ALARM}
        kind = "CompositeAlarms" if "AlarmRule" in asked else "MetricAlarms"
        looked_at = datetime.now(UTC) + timedelta(minutes=kind == "MetricAlarms")
        self._alarms[name] = Alarm(
            kind=kind,
            xml=_xml(_tree(members)),
            tags=kept.tags if kept is not None else tags,
            rings=crc32(name.encode()) % RINGING_EVERY == 0,
            data_from=looked_at if kept is None else kept.data_from,
            state=None if kept is None else kept.state,
        )
        return ""

    def _set(self, asked: dict[str, str]) -> str:
        self._alarms[asked["AlarmName"]].state = asked["StateValue"]
        return ""

    def _tag(self, asked: dict[str, str]) -> str:
        self._alarms[_name_in(asked["ResourceARN"])].tags |= _tags(asked)
        return ""

    def _tags_of(self, asked: dict[str, str]) -> str:
        tags = self._alarms[_name_in(asked["ResourceARN"])].tags
        return f"<Tags>{''.join(f'<member>{_pair(*pair)}</member>' for pair in tags.items())}</Tags>"

    def _delete(self, asked: dict[str, str]) -> str:
        for name, value in asked.items():
            if name.startswith("AlarmNames."):
                self._alarms.pop(value, None)
        return ""

    def _described(self, asked: dict[str, str]) -> str:
        prefix, size = asked.get("AlarmNamePrefix", ""), int(asked.get("MaxRecords", 50))
        state, now = asked.get("StateValue"), datetime.now(UTC)
        names = {value for key, value in asked.items() if key.startswith("AlarmNames.")}
        found = [
            (name, alarm)
            for name, alarm in sorted(self._alarms.items())
            if (name in names if names else name.startswith(prefix))
            and (state is None or state == alarm.state_at(now))
        ]
        first = int(asked.get("NextToken", 0))
        page = found[first : first + size]
        parts = []
        for kind in ("MetricAlarms", "CompositeAlarms"):
            told = "".join(self._told(name, alarm) for name, alarm in page if alarm.kind == kind)
            parts.append(f"<{kind}>{told}</{kind}>")
        more = f"<NextToken>{first + size}</NextToken>" if first + size < len(found) else ""
        return "".join(parts) + more

    def _told(self, name: str, alarm: Alarm) -> str:
        since = (self._started - timedelta(minutes=10)).isoformat()
        return (
            f"<member>{alarm.xml}<AlarmArn>{escape(_arn(name))}</AlarmArn>"
            f"<StateValue>{alarm.state_at(datetime.now(UTC))}</StateValue>"
            "<StateReason>Threshold Crossed: 3 datapoints were greater than the threshold.</StateReason>"
            f"<StateUpdatedTimestamp>{since}</StateUpdatedTimestamp>"
            f"<StateTransitionedTimestamp>{since}</StateTransitionedTimestamp></member>"
        )


_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_NOT_OF_ALARM: Final = ("Action", "Version", "Tags")


def _points(
    series: tuple[str, str, str, str], start: datetime, end: datetime, period_s: int
) -> Iterator[tuple[str, float]]:
    """A value a period, of what the cost job says once an hour only one an hour; the same each time."""
    namespace, name, seed, statistic = series
    base = crc32(f"{name}{seed}".encode())
    level = _LEVELS.get(name, 40.0) * (0.5 + base % 1_000 / 1_000)
    if statistic == "Sum":
        level *= 20 * max(1, period_s // 60)
    elif statistic == "SampleCount":
        level = 300.0 * max(1, period_s // 60)
    elif statistic.startswith("p9"):
        level *= 3
    every = max(1, 3_600 // period_s) if namespace.endswith("Cost") and name.startswith(_HOURLY) else 1
    first = int(start.timestamp())
    for number in range(0, max(0, int((end.timestamp() - first) / period_s) + 1), every):
        at_s = first + number * period_s
        yield _instant(at_s), level * (1 + (base ^ at_s * 2_654_435_761) % 97 / 400)


@cache
def _instant(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@cache
def _published() -> tuple[tuple[str, str, str], ...]:
    """All series as (namespace, name, XML)."""
    return tuple(
        (metric.namespace, metric.name, _series_xml(metric, dimensions))
        for metric in METRICS.values()
        for names in metric.dimension_sets
        for dimensions in _dimensions(names)
    )


def _dimensions(names: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """All that a set of dimensions is published with; a tenant has its own models only."""
    known = published_values()
    models = [
        {"tenant_id": tenant, "model_id": model, "endpoint_type": catalogue().models[model].endpoint_type}
        for tenant in TENANTS
        for model in models_of(tenant)
    ]
    others = [name for name in names if name not in models[0]]
    told = dict.fromkeys(tuple((name, one[name]) for name in names if name in one) for one in models)
    for first in told:
        for rest in product(*(known.get(name, ("one",)) for name in others)):
            yield {**dict(first), **dict(zip(others, rest, strict=True))}


def _series_xml(metric: Metric, dimensions: dict[str, str]) -> str:
    told = "".join(
        f"<member><Name>{name}</Name><Value>{value}</Value></member>" for name, value in dimensions.items()
    )
    return (
        f"<member><Namespace>{metric.namespace}</Namespace><MetricName>{metric.name}</MetricName>"
        f"<Dimensions>{told}</Dimensions></member>"
    )


def _listed(asked: dict[str, str]) -> str:
    found = [
        xml
        for namespace, name, xml in _published()
        if namespace == asked["Namespace"] and name == asked.get("MetricName", name)
    ]
    first = int(asked.get("NextToken", 0))
    more = f"<NextToken>{first + _METRICS_A_PAGE}</NextToken>" if first + _METRICS_A_PAGE < len(found) else ""
    return f"<Metrics>{''.join(found[first : first + _METRICS_A_PAGE])}</Metrics>{more}"


def _tags(asked: dict[str, str]) -> dict[str, str]:
    found = {}
    number = 1
    while (key := asked.get(f"Tags.member.{number}.Key")) is not None:
        found[key] = asked[f"Tags.member.{number}.Value"]
        number += 1
    return found


def _tree(members: dict[str, str]) -> dict[str, Any]:
    """A form's dotted names as the tree that they spell; an empty list is left out."""
    tree: dict[str, Any] = {}
    for name, value in members.items():
        *path, last = name.split(".")
        at = tree
        for part in path:
            at = at.setdefault(part, {})
        if value:
            at[last] = value
    return tree


def _xml(tree: dict[str, Any]) -> str:
    parts = []
    for name, value in tree.items():
        tag = "member" if name.isdecimal() else name
        if name == "member":
            parts.append(_xml(value))
        else:
            parts.append(f"<{tag}>{_xml(value) if isinstance(value, dict) else escape(value)}</{tag}>")
    return "".join(parts)


def _pair(key: str, value: str) -> str:
    return f"<Key>{escape(key)}</Key><Value>{escape(value)}</Value>"


def _name_in(arn: str) -> str:
    return arn.partition(":alarm:")[2]


def _arn(name: str) -> str:
    return f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"
