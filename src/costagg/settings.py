"""The cost job's and the billing API's settings: `COST_*` variables, and the standard ones of AWS.

Read once in `__main__` and passed down. What differs by tenant, its budgets, is in its policy.
"""

import os
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from llmplatform.settings import describe, refuse_unknown

_PREFIX = "COST_"


class CostSettings(BaseSettings):
    """Every `COST_*` variable."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")

    close_after_h: float = Field(default=6.0, ge=0)
    """Hours after its end for which an hour stays open for rows that come late."""
    look_back_h: int = Field(default=72, ge=1, le=24 * 31)
    """How far a run without `--hour` or `--from` looks back for hours that are not closed."""
    observability_daily_budget_usd: Decimal | None = Field(default=Decimal(500), ge=0)
    """What observing may cost a UTC day; from 80 % of it on, sampling is held down."""
    queries_in_flight: int = Field(default=16, ge=1, le=256)
    """Queries of the ledger at once."""
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8090, ge=0, le=65_535)
    """Of the billing API; 0 is any free one."""
    policy_refresh_s: float = Field(default=45.0, gt=0, le=60)
    """How often the billing API reads tenants and roles: after this time a revoked key is refused."""

    @property
    def close_after(self) -> timedelta:
        """`close_after_h` as a duration."""
        return timedelta(hours=self.close_after_h)

    @property
    def look_back(self) -> timedelta:
        """`look_back_h` as a duration."""
        return timedelta(hours=self.look_back_h)


class EnvironmentSettings(BaseSettings):
    """The standard variables that the cost job heeds."""

    model_config = SettingsConfigDict(frozen=True)

    aws_region: str = "us-east-1"
    llm_platform_prices: Path | None = None
    llm_platform_catalogue: Path | None = None
    aws_emf_agent_endpoint: str | None = None
    """`tcp://host:port` of a CloudWatch agent; without it EMF lines go to stdout."""


def read_settings() -> tuple[CostSettings, EnvironmentSettings]:
    """Both settings. Raises ConfigFault that names each variable at fault, misspelt ones included."""
    refuse_unknown(CostSettings, os.environ)
    try:
        return CostSettings(), EnvironmentSettings()
    except ValidationError as error:
        raise describe(error, _PREFIX if error.title == "CostSettings" else "") from error
