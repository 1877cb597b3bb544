"""Calls wait for their turn, and what is throttled is made again after longer and longer pauses."""

import pytest
from botocore.exceptions import ClientError

from llmplatform.testing import FakeClock
from watch.alarming.pacing import QUOTA_PER_S, SHARE
from watch.aws.pacer import FIRST_PAUSE_S, MAX_TRIES, Pacer


class Pauses:
    """Pauses that let the clock advance, and are counted."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(round(seconds, 6))
        self._clock.advance(s=seconds)


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "PutMetricAlarm")


async def test_a_hundred_alarms_take_as_long_as_the_quota_says() -> None:
    clock = FakeClock()
    pauses = Pauses(clock)
    pacer = Pacer(clock, pause=pauses)
    made = []

    async def make() -> None:
        made.append(clock.monotonic_ns() / 1e9)

    for _ in range(100):
        await pacer.call("PutMetricAlarm", make)
    spread = made[-1] - made[0]
    assert spread == pytest.approx(99 / (QUOTA_PER_S["PutMetricAlarm"] * SHARE), rel=1e-3)


async def test_an_account_with_a_raised_quota_is_faster() -> None:
    clock = FakeClock()
    pauses = Pauses(clock)
    pacer = Pacer(clock, puts_per_s=50, pause=pauses)

    async def make() -> str:
        return "put"

    assert [await pacer.call("PutMetricAlarm", make) for _ in range(2)] == ["put", "put"]
    assert pauses.taken == [round(1 / (50 * SHARE), 6)]


async def test_operations_have_quotas_of_their_own() -> None:
    clock = FakeClock()
    pauses = Pauses(clock)
    pacer = Pacer(clock, pause=pauses)

    async def make() -> None:
        return None

    await pacer.call("PutMetricAlarm", make)
    await pacer.call("DeleteAlarms", make)
    await pacer.call("DescribeAlarms", make)
    assert pauses.taken == []


async def test_what_is_throttled_is_tried_again() -> None:
    clock = FakeClock()
    pauses = Pauses(clock)
    pacer = Pacer(clock, pause=pauses)
    answers = [refused("Throttling"), refused("ThrottlingException"), None]

    async def make() -> str:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return "put"

    assert await pacer.call("PutMetricAlarm", make) == "put"
    assert pauses.taken == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S]
    assert pacer.throttled == 2


async def test_what_stays_throttled_is_raised_at_last() -> None:
    clock = FakeClock()
    pacer = Pacer(clock, pause=Pauses(clock))
    tries = []

    async def make() -> None:
        tries.append(1)
        raise refused("Throttling")

    with pytest.raises(ClientError):
        await pacer.call("PutMetricAlarm", make)
    assert len(tries) == MAX_TRIES


async def test_another_fault_is_raised_at_once() -> None:
    clock = FakeClock()
    pauses = Pauses(clock)
    pacer = Pacer(clock, pause=pauses)

    async def make() -> None:
        raise refused("ValidationError")

    with pytest.raises(ClientError):
        await pacer.call("PutMetricAlarm", make)
    assert pauses.taken == []
