"""The sandbox's settings: `SANDBOX_*` variables. Nothing needs one."""

import os
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from llmplatform.settings import describe, refuse_unknown


class SandboxSettings(BaseSettings):
    """Every `SANDBOX_*` variable; as a port, 0 takes any that is free."""

    model_config = SettingsConfigDict(env_prefix="SANDBOX_", frozen=True)

    emulator_url: str | None = Field(default=None, pattern=r"^https?://[^/]+$")
    """Of an AWS emulator that runs already, and serves all but what docs/substrates.md lists."""
    host: Literal["127.0.0.1", "0.0.0.0"] = "127.0.0.1"
    """Address to listen on, but for the intake of log lines; 0.0.0.0 in a container with published ports."""
    aws_port: int = Field(default=0, ge=0, le=65_535)
    """Of the sandbox's own emulator."""
    runtime_port: int = Field(default=0, ge=0, le=65_535)
    emf_port: int = Field(default=0, ge=0, le=65_535)
    otlp_port: int = Field(default=0, ge=0, le=65_535)
    cost_every_s: float = Field(default=60, gt=0)
    """How often the cost job runs: a laptop does not wait an hour to see what a chat cost."""
    alarms_every_s: float = Field(default=5, gt=0)
    """How often alarms are looked at; each is evaluated when it is due, most once a minute."""

    @classmethod
    def read(cls) -> "SandboxSettings":
        """The settings of the environment. Raises ConfigFault."""
        refuse_unknown(cls, os.environ)
        try:
            return cls()
        except ValidationError as error:
            raise describe(error, "SANDBOX_") from error
