"""Thresholds of alarms that no policy and no instance type decides: `ALARM_*` variables, with defaults.

What is a tenant's own is in its policy, what follows from the hardware in the catalogue. Read once by whoever
starts and passed down.
"""

from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from llmplatform.policy import Objectives

PREFIX: Final = "ALARM_"
_DEFAULT_OBJECTIVES: Final = Objectives()


class Limits(BaseSettings):
    """Every `ALARM_*` variable."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    gpu_percent: float = Field(default=90, gt=0, le=100)
    """Busy GPU and GPU memory, per GPU."""
    disk_percent: float = Field(default=85, gt=0, le=100)
    endpoint_ttft_p99_ms: float = Field(default=_DEFAULT_OBJECTIVES.ttft_p99_ms, gt=0)
    """Of all tenants of an endpoint; the design's objective."""
    endpoint_error_rate: float = Field(default=0.05, gt=0, le=1)
    output_tokens_per_second: float = Field(default=50, gt=0)
    """Below it, an endpoint is too slow; the design's objective."""
    gateway_overhead_p99_ms: float = Field(default=5, gt=0)
    availability_objective: float = Field(default=0.999, gt=0, lt=1)
    """Share of a tenant's requests that the platform does not fail."""
    ttft_objective: float = Field(default=0.99, gt=0, lt=1)
    """Share of a tenant's streams whose first token comes within its p99 objective."""
    fast_burn: float = Field(default=14.4, gt=1)
    """How many times faster than even an error budget is used up: 2 % of 30 days' in an hour."""
    slow_burn: float = Field(default=6, gt=1)
    """5 % of 30 days' in six hours."""
    burn_requests: int = Field(default=5, ge=1)
    """Requests that must have gone wrong in the window: two of three are no incident."""
    evaluation_objective: float = Field(default=0.995, gt=0, lt=1)
    iterator_age_s: float = Field(default=300, gt=0)
    judge_failures: int = Field(default=5, ge=1)
    """In five minutes."""
    calibration_days: float = Field(default=92, gt=0)
    """A quarter."""
    end_of_life_days: float = Field(default=60, gt=0)
    budget_percent: float = Field(default=120, gt=0)
    ledger_difference_percent: float = Field(default=2, gt=0)
    reconciliation_percent: float = Field(default=2, gt=0)
    observability_share_percent: float = Field(default=3, gt=0)
    observability_budget_percent: float = Field(default=80, gt=0)
    cost_late_s: float = Field(default=9_000, gt=0)
    """Since the end of the newest hour that was computed: one run missed, and half an hour."""
    scheduled_jobs: bool = True
    """Whether an account's schedules start its jobs: where they do not, nobody waits for them."""
    policy_age_s: float = Field(default=300, gt=0)
    anomaly_deviations: float = Field(default=2, gt=0)
    """Width of CloudWatch's anomaly band, in standard deviations."""
