"""Each threshold comes from where it says: a policy, a setting, an instance type."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from pydantic import ValidationError

from llmplatform.ids import TenantId
from llmplatform.policy import Objectives, TenantPolicy
from watch.alarms import RULES
from watch.limits import PREFIX, Limits
from watch.tables import thresholds
from watch.tables.rules import MetricRule, Threshold
from watch.tables.targets import EndpointVariant, Platform, Tenant

LIMITS = Limits()
PLATFORM = Platform()


def tenant(usd: str | None = None, tokens: int | None = None, **objectives: int) -> Tenant:
    return Tenant(
        TenantPolicy(
            tenant_id=TenantId("acme"),
            objectives=Objectives(**objectives),
            daily_budget_usd=None if usd is None else Decimal(usd),
            daily_budget_tokens=tokens,
        )
    )


def endpoint(gpus: int) -> EndpointVariant:
    return EndpointVariant("llama", "AllTraffic", "ml.g5.12xlarge", gpus)


def all_thresholds() -> Iterator[Threshold]:
    for rule in RULES:
        if isinstance(rule, MetricRule):
            yield rule.threshold


@pytest.mark.parametrize(("gpus", "percent"), [(1, 90), (4, 360), (8, 720)])
def test_what_gpus_may_take_is_multiplied_by_their_number(gpus: int, percent: float) -> None:
    assert thresholds.GPUS.value(endpoint(gpus), LIMITS) == percent
    assert thresholds.GPUS.source == "instance type"


def test_an_endpoint_without_gpus_has_no_alarm_on_them() -> None:
    assert thresholds.GPUS.value(endpoint(0), LIMITS) is None
    assert thresholds.ANY_GPU.value(endpoint(0), LIMITS) is None


def test_a_gpu_that_does_nothing_is_one_whatever_their_number() -> None:
    assert thresholds.ANY_GPU.value(endpoint(8), LIMITS) == 1


def test_objectives_are_the_tenants_own() -> None:
    strict = tenant(ttft_p50_ms=300, ttft_p99_ms=1_200, total_latency_p99_ms=9_000)
    for threshold, own in (
        (thresholds.TTFT_P50, 300),
        (thresholds.TTFT_P99, 1_200),
        (thresholds.LATENCY_P99, 9_000),
    ):
        assert threshold.source == "policy"
        assert threshold.value(strict, LIMITS) == own
        assert threshold.value(PLATFORM, LIMITS) is None


def test_who_has_no_budget_has_no_alarm_on_it() -> None:
    assert thresholds.BUDGET_USD.value(tenant(), LIMITS) is None
    assert thresholds.BUDGET_TOKENS.value(tenant(usd="10"), LIMITS) is None
    assert thresholds.BUDGET_USD.value(tenant(usd="10"), LIMITS) == 120
    assert thresholds.BUDGET_TOKENS.value(tenant(tokens=1_000), Limits(budget_percent=150)) == 150


def test_a_budget_of_nothing_is_a_budget() -> None:
    assert thresholds.BUDGET_USD.value(tenant(usd="0"), LIMITS) == 120


def test_burn_is_the_error_budget_times_its_speed() -> None:
    assert thresholds.AVAILABILITY_FAST.value(PLATFORM, LIMITS) == pytest.approx(0.0144)
    assert thresholds.AVAILABILITY_SLOW.value(PLATFORM, LIMITS) == pytest.approx(0.006)
    assert thresholds.TTFT_FAST.value(PLATFORM, LIMITS) == pytest.approx(0.144)


def test_burn_is_never_more_than_all_requests() -> None:
    assert thresholds.TTFT_FAST.value(PLATFORM, Limits(ttft_objective=0.9)) == 1


def test_seconds_of_a_setting_are_the_milliseconds_of_the_metric() -> None:
    assert thresholds.ITERATOR_AGE_MS.value(PLATFORM, Limits(iterator_age_s=60)) == 60_000
    assert thresholds.EVAL_LAG.value(PLATFORM, Limits(iterator_age_s=60)) == 60


def test_a_variable_changes_its_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALARM_DISK_PERCENT", "70")
    assert thresholds.DISK.value(endpoint(1), Limits()) == 70


def test_a_threshold_that_can_be_changed_says_by_what() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Limits.model_fields}
    for threshold in all_thresholds():
        if threshold.source == "fixed":
            assert threshold.setting == ""
        elif threshold.source == "settings":
            named = {part for part in threshold.setting.split(", ") if not part.startswith("policy ")}
            assert named
            assert named <= known


def test_every_limit_is_the_threshold_of_something() -> None:
    named = {part for threshold in all_thresholds() for part in threshold.setting.split(", ")}
    assert {f"{PREFIX}{name.upper()}" for name in Limits.model_fields} <= named


@pytest.mark.parametrize(
    "wrong", [{"gpu_percent": 101}, {"gpu_percent": 0}, {"availability_objective": 1}, {"burn_requests": 0}]
)
def test_a_limit_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate(wrong)
