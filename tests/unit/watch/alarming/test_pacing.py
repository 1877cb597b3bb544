"""Calls are spread so that no second has more of them than the quota."""

from hypothesis import given
from hypothesis import strategies as st

from watch.alarming.pacing import QUOTA_PER_S, SHARE, Bucket, bucket_of


def test_calls_are_spread_evenly() -> None:
    bucket = Bucket(4)
    assert [bucket.take(10.0) for _ in range(4)] == [0.0, 0.25, 0.5, 0.75]


def test_time_that_passes_is_not_waited_for() -> None:
    bucket = Bucket(4)
    assert bucket.take(0) == 0
    assert bucket.take(0.2) == 0.25 - 0.2
    assert bucket.take(100) == 0


def test_a_burst_may_come_at_once_and_is_made_up_for() -> None:
    bucket = Bucket(2, burst=3)
    assert [bucket.take(0) for _ in range(4)] == [0, 0, 0, 0.5]


@given(
    per_s=st.sampled_from([1.0, 3.0, 9.0, 25.0]),
    pauses=st.lists(st.floats(0, 2, allow_nan=False), min_size=1, max_size=60),
)
def test_no_second_has_more_than_its_share(per_s: float, pauses: list[float]) -> None:
    bucket, now, calls = Bucket(per_s), 0.0, []
    for pause in pauses:
        now += pause
        now += bucket.take(now)
        calls.append(now)
    for start in calls:
        assert len([at for at in calls if start <= at < start + 1 - 1e-9]) <= per_s + 1e-9


def test_buckets_stay_below_their_quotas() -> None:
    assert QUOTA_PER_S["PutMetricAlarm"] == 3
    assert QUOTA_PER_S["DescribeAlarms"] == 9
    assert QUOTA_PER_S["DeleteAlarms"] == QUOTA_PER_S["SetAlarmState"] == 3
    assert bucket_of("PutMetricAlarm").per_s == 3 * SHARE < 3
