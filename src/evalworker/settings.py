"""The evaluation worker's settings: `EVAL_*` variables, and the standard ones of AWS.

Read once in `__main__` and passed down. What differs by tenant is in its policy; which judge, and what it may
cost by default, is here.
"""

import os
from decimal import Decimal
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from llmplatform.aws.tables import EVAL_CONSUMER
from llmplatform.settings import describe, refuse_unknown

_PREFIX = "EVAL_"


class EvalSettings(BaseSettings):
    """Every `EVAL_*` variable."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")

    application_name: str = Field(default=EVAL_CONSUMER, min_length=3)
    """Names the table of leases; workers of one name share the stream, another name reads it anew."""
    fan_out: bool = False
    """Whether Kinesis pushes records to the worker (enhanced fan-out) instead of being asked each second."""
    batch_records: int = Field(default=200, ge=1, le=10_000)
    """Records of a shard evaluated together, at most once a second; what a crash interrupts is read again.
    With `fan_out` Kinesis decides how many come at once."""
    judge: str | None = None
    """A name in the list of judges; the list's own default without it."""
    judges: Path | None = None
    """Another list of judge models: a TOML file like `llmplatform/judges.toml`."""
    rubric: Path | None = None
    """Another rubric: a TOML file like those in `judging/rubrics`."""
    judge_in_flight: int = Field(default=32, ge=1)
    """Calls of the judge at once, in this process."""
    judge_timeout_s: float = Field(default=60.0, gt=0)
    """Of one call."""
    daily_budget_usd: Decimal = Field(default=Decimal(20), ge=0)
    """What judging one tenant may cost a UTC day, unless its policy says otherwise."""
    bertscore: bool = True
    """Whether answers are compared with the references that came with them."""
    brake_over_s: float = Field(default=120.0, gt=0)
    """Lag over which sample rates are held down."""
    ease_under_s: float = Field(default=60.0, gt=0)
    """Lag under which they are let go again."""
    history_bucket: str | None = None
    """Bucket for Parquet and parked records; by default the account's own, see `llmplatform.aws.tables`."""
    stop_grace_s: float = Field(default=20.0, ge=0)
    """How long a batch may go on after SIGTERM before it is left to another worker."""
    policy_refresh_s: float = Field(default=45.0, gt=0, le=60)
    """How often tenants are read again: the time after which an opt-out is heeded."""


class EnvironmentSettings(BaseSettings):
    """The standard variables that the worker heeds."""

    model_config = SettingsConfigDict(frozen=True)

    aws_region: str = "us-east-1"
    llm_platform_prices: Path | None = None
    aws_emf_agent_endpoint: str | None = None
    """`tcp://host:port` of a CloudWatch agent; without it EMF lines go to stdout."""


def read_settings() -> tuple[EvalSettings, EnvironmentSettings]:
    """Both settings. Raises ConfigFault that names each variable at fault, misspelt ones included."""
    refuse_unknown(EvalSettings, os.environ)
    try:
        return EvalSettings(), EnvironmentSettings()
    except ValidationError as error:
        raise describe(error, _PREFIX if error.title == "EvalSettings" else "") from error
