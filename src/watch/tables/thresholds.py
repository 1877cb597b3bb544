"""Every threshold in one place, for the alarms that hold to it and the panels that draw it.

A tenant's own come from its policy, those on GPUs are multiplied by their number (CloudWatch has their sum),
the rest are `Limits`. None means that there is nothing to hold to. Pure.
"""

from collections.abc import Callable
from typing import Final

from llmplatform.policy import TenantPolicy
from watch.limits import PREFIX, Limits
from watch.tables.rules import Threshold
from watch.tables.targets import EndpointVariant, Target, Tenant


def _policy(unit: str, field: str, value: Callable[[TenantPolicy], float | None]) -> Threshold:
    def of(target: Target, _: Limits) -> float | None:
        return value(target.policy) if isinstance(target, Tenant) else None

    return Threshold("policy", of, unit, field)


def _limit(unit: str, name: str, scale: float = 1) -> Threshold:
    def of(_: Target, limits: Limits) -> float | None:
        return float(getattr(limits, name)) * scale

    return Threshold("settings", of, unit, f"{PREFIX}{name.upper()}")


def _per_gpu(target: Target, limits: Limits) -> float | None:
    if not isinstance(target, EndpointVariant) or not target.gpu_count:
        return None
    return limits.gpu_percent * target.gpu_count


def _has_gpus(target: Target, _: Limits) -> float | None:
    return 1.0 if isinstance(target, EndpointVariant) and target.gpu_count else None


def _burn(objective: str, speed: str) -> Threshold:
    def of(_: Target, limits: Limits) -> float | None:
        budget = 1 - float(getattr(limits, objective))
        return round(min(budget * float(getattr(limits, speed)), 1.0), 6)

    setting = f"{PREFIX}{objective.upper()}, {PREFIX}{speed.upper()}"
    return Threshold("settings", of, "of requests", setting)


def _budget_percent(field: str) -> Threshold:
    """The limit, for tenants that have a budget to be over."""

    def of(target: Target, limits: Limits) -> float | None:
        if not isinstance(target, Tenant) or getattr(target.policy, field) is None:
            return None
        return limits.budget_percent

    return Threshold("settings", of, "%", f"{PREFIX}BUDGET_PERCENT, policy {field}")


def fixed(value: float, unit: str) -> Threshold:
    """A threshold that there is nothing to choose about: a state that is 0 or 1, a count that is to be 0."""
    return Threshold("fixed", lambda _target, _limits: value, unit)


def scheduled(value: float, unit: str) -> Threshold:
    """The same of what only an account's schedules bring about."""

    def of(_: Target, limits: Limits) -> float | None:
        return value if limits.scheduled_jobs else None

    return Threshold("settings", of, unit, f"{PREFIX}SCHEDULED_JOBS")


TTFT_P50: Final = _policy("ms", "objectives.ttft_p50_ms", lambda policy: policy.objectives.ttft_p50_ms)
TTFT_P99: Final = _policy("ms", "objectives.ttft_p99_ms", lambda policy: policy.objectives.ttft_p99_ms)
LATENCY_P99: Final = _policy(
    "ms", "objectives.total_latency_p99_ms", lambda policy: policy.objectives.total_latency_p99_ms
)

GPUS: Final = Threshold("instance type", _per_gpu, "% summed over the GPUs", f"{PREFIX}GPU_PERCENT")
ANY_GPU: Final = Threshold("instance type", _has_gpus, "% summed over the GPUs")
DISK: Final = _limit("%", "disk_percent")
ENDPOINT_TTFT_P99: Final = _limit("ms", "endpoint_ttft_p99_ms")
ENDPOINT_ERRORS: Final = _limit("of calls", "endpoint_error_rate")
TOKENS_PER_SECOND: Final = _limit("tokens/s", "output_tokens_per_second")
OVERHEAD: Final = _limit("ms", "gateway_overhead_p99_ms")

AVAILABILITY_FAST: Final = _burn("availability_objective", "fast_burn")
AVAILABILITY_SLOW: Final = _burn("availability_objective", "slow_burn")
TTFT_FAST: Final = _burn("ttft_objective", "fast_burn")
TTFT_SLOW: Final = _burn("ttft_objective", "slow_burn")
BURN_REQUESTS: Final = _limit("requests", "burn_requests")

EVALUATION_OBJECTIVE: Final = _limit("of minutes", "evaluation_objective")
ITERATOR_AGE_MS: Final = _limit("ms", "iterator_age_s", scale=1_000)
EVAL_LAG: Final = _limit("s", "iterator_age_s")
JUDGE_FAILURES: Final = _limit("calls", "judge_failures")
CALIBRATION: Final = _limit("days", "calibration_days")
ANOMALY: Final = _limit("standard deviations", "anomaly_deviations")

BUDGET_USD: Final = _budget_percent("daily_budget_usd")
BUDGET_TOKENS: Final = _budget_percent("daily_budget_tokens")
LEDGER_DIFFERENCE: Final = _limit("%", "ledger_difference_percent")
RECONCILIATION: Final = _limit("%", "reconciliation_percent")
OBSERVABILITY_SHARE: Final = _limit("%", "observability_share_percent")
OBSERVABILITY_BUDGET: Final = _limit("%", "observability_budget_percent")
COST_LATE: Final = _limit("s", "cost_late_s")
END_OF_LIFE: Final = _limit("days", "end_of_life_days")
POLICY_AGE: Final = _limit("s", "policy_age_s")
