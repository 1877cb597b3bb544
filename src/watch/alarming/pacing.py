"""How often each operation of CloudWatch's alarms may be called, and a bucket that keeps to it. Pure.

Quotas are an account's in a region, so others use them too: we keep below, and throttling is retried all the
same. From "CloudWatch service quotas" (user guide; a call over it is throttled, none of these can be raised
but DescribeAlarms' and PutMetricAlarm's). For PutCompositeAlarm, TagResource and ListTagsForResource no
figure is published: they are held to that of their sisters.
"""

from dataclasses import dataclass
from typing import Final, Literal

Operation = Literal[
    "DescribeAlarms",
    "PutMetricAlarm",
    "PutCompositeAlarm",
    "DeleteAlarms",
    "SetAlarmState",
    "TagResource",
    "ListTagsForResource",
    "ListMetrics",
    "GetResources",
]

QUOTA_PER_S: Final[dict[Operation, float]] = {
    "DescribeAlarms": 9,
    "PutMetricAlarm": 3,
    "PutCompositeAlarm": 3,
    "DeleteAlarms": 3,
    "SetAlarmState": 3,
    "TagResource": 3,
    "ListTagsForResource": 9,
    "ListMetrics": 25,
    "GetResources": 10,
}
SHARE: Final = 0.9
"""Of the quota: the rest is for whoever else looks at alarms meanwhile."""
MAX_DELETED_AT_ONCE: Final = 100
"""By one DeleteAlarms; of composites it takes one."""


@dataclass(slots=True)
class Bucket:
    """At most `per_s` calls a second, after `burst` at once."""

    per_s: float
    burst: int = 1
    _due_s: float = float("-inf")
    """When the bucket would be full again, by the clock that `take` is given."""

    def take(self, now_s: float) -> float:
        """Reserve the next call: seconds to wait before it is made."""
        interval_s = 1 / self.per_s
        due_s = max(self._due_s, now_s)
        self._due_s = due_s + interval_s
        return max(0.0, due_s - now_s - (self.burst - 1) * interval_s)


def bucket_of(operation: Operation) -> Bucket:
    """A bucket that keeps to the operation's quota."""
    return Bucket(QUOTA_PER_S[operation] * SHARE)
