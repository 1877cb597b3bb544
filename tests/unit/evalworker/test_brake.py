"""The lag brake: when it is pulled, when it is let go, and who may do which."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from evalworker.brake import BrakeRule, next_brake, next_factor
from evalworker.reporting import LOOK_EVERY_S
from llmplatform.sampling import SamplingBrake, smallest_live
from llmplatform.testing import START, FakeClock

RULE = BrakeRule()
OVER, BETWEEN, UNDER = RULE.brake_over_s + 1, RULE.brake_over_s - 1, RULE.ease_under_s - 1


@pytest.mark.parametrize(
    ("factor", "lag_s", "expected"),
    [
        (1.0, OVER, 0.5),
        (0.5, OVER, 0.25),
        (0.06, OVER, 0.05),
        (0.05, OVER, 0.05),
        (0.25, BETWEEN, 0.25),
        (0.25, RULE.brake_over_s, 0.25),
        (0.25, RULE.ease_under_s, 0.25),
        (0.25, UNDER, 0.5),
        (0.05, UNDER, 0.1),
        (0.6, UNDER, 1.0),
        (1.0, UNDER, 1.0),
        (1.0, None, 1.0),
        (0.25, None, 0.5),
        (0.25, 0.0, 0.5),
    ],
)
def test_the_factor_is_halved_over_the_limit_and_doubled_under_the_other(
    factor: float, lag_s: float | None, expected: float
) -> None:
    assert next_factor(factor, lag_s, RULE) == expected


def test_under_unending_lag_something_is_still_sampled() -> None:
    factor = 1.0
    for _ in range(100):
        factor = next_factor(factor, OVER, RULE)
    assert factor == RULE.smallest > 0


@dataclass
class Parameter:
    """What is published, and the workers that look at it."""

    clock: FakeClock = field(default_factory=FakeClock)
    published: SamplingBrake | None = None
    writes: int = 0

    def look(self, writer: str, factor: float) -> None:
        brake = next_brake(self.published, factor, writer=writer, now=self.clock.now(), rule=RULE)
        if brake is not None:
            self.published = brake
            self.writes += 1

    @property
    def factor(self) -> float:
        """As the gateways have it."""
        return smallest_live([self.published] if self.published else [], self.clock.now())


def test_nothing_is_published_while_nothing_lags() -> None:
    parameter = Parameter()
    for _ in range(5):
        parameter.look("a", 1.0)
    assert parameter.writes == 0


def test_a_worker_pulls_renews_and_lets_go_once() -> None:
    parameter = Parameter()
    for _ in range(100):  # longer than a value lives
        parameter.look("a", 0.5)
        assert parameter.factor == 0.5
        parameter.clock.advance(s=20)
    parameter.look("a", 1.0)
    assert parameter.factor == 1.0
    writes = parameter.writes
    for _ in range(100):
        parameter.clock.advance(s=20)
        parameter.look("a", 1.0)
    assert parameter.writes == writes


def test_of_two_workers_the_one_that_lags_more_has_its_way() -> None:
    parameter = Parameter()
    parameter.look("a", 0.5)
    parameter.look("b", 0.25)
    assert parameter.factor == 0.25
    parameter.look("a", 0.5)
    parameter.look("a", 1.0)
    assert parameter.factor == 0.25, "only who set it may raise it"
    parameter.look("b", 0.5)
    assert parameter.factor == 0.5
    parameter.look("b", 1.0)
    assert parameter.factor == 1.0
    parameter.look("a", 0.5)
    assert parameter.factor == 0.5


def test_a_dead_workers_brake_ends_by_itself() -> None:
    parameter = Parameter()
    parameter.look("a", 0.05)
    parameter.look("b", 1.0)
    parameter.clock.advance(s=RULE.expires_after_s - 1)
    parameter.look("b", 1.0)
    assert parameter.factor == 0.05
    parameter.clock.advance(s=1)
    assert parameter.factor == 1.0


def test_an_expired_brake_is_anybodys() -> None:
    parameter = Parameter()
    parameter.look("a", 0.05)
    parameter.clock.advance(s=RULE.expires_after_s)
    parameter.look("b", 0.5)
    assert parameter.factor == 0.5
    assert parameter.published is not None
    assert parameter.published.writer == "b"


def test_a_brake_outlives_a_few_looks_and_no_coffee_break() -> None:
    assert 3 * LOOK_EVERY_S < RULE.expires_after_s <= 600


def test_every_value_that_is_published_expires() -> None:
    brake = next_brake(None, 0.5, writer="a", now=START, rule=RULE)
    assert brake is not None
    assert brake.expires_at == START + timedelta(seconds=RULE.expires_after_s)
