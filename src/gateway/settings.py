"""The gateway's settings: `GATEWAY_*` variables, and the standard ones of AWS and OpenTelemetry.

Read once in `__main__` and passed down. What differs by tenant is in its policy, what differs by model in
the catalogue.
"""

import os
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from llmplatform.settings import describe, refuse_unknown

_PREFIX = "GATEWAY_"


class GatewaySettings(BaseSettings):
    """Every `GATEWAY_*` variable."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 in a container."""
    port: int = Field(default=8080, ge=0, le=65_535)
    """0 takes any free port; the line `gateway is listening` says which."""
    max_in_flight: int = Field(default=1_000, ge=1)
    """Requests at once in this process, drains included."""
    max_body_bytes: int = Field(default=20 * 1024 * 1024, ge=1_024)
    """A larger body gets a 413. Bedrock takes 20 MB, SageMaker 6."""
    body_timeout_s: float = Field(default=30.0, gt=0)
    """How long a body may take to arrive before it gets a 408."""
    ping_s: float = Field(default=15.0, gt=0)
    """Silence before a comment is sent to a streaming client."""
    stall_s: float = Field(default=60.0, gt=0)
    """How long a client may leave its stream unread."""
    drain_s: float = Field(default=30.0, ge=0)
    """How long a reply is read on for its usage after its client has left."""
    max_drains: int = Field(default=200, ge=0)
    shutdown_grace_s: float = Field(default=20.0, ge=0)
    """How long streams may go on after SIGTERM. With `flush_s` and 5 s for last words and closing, below the
    task's stop timeout, which is 30 s on ECS unless it is set."""
    flush_s: float = Field(default=4.0, ge=0)
    """How long sinks may deliver what is pending after the last stream."""
    max_upstream_connections: int = Field(default=2_000, ge=1)
    """Connections to both backends together; a call that finds none free waits within its connect timeout."""
    trace_sample_rate: float = Field(default=0.1, ge=0, le=1)
    """Share of traces kept whatever becomes of them."""
    trace_sample_key: SecretStr = SecretStr("")
    """Key of the sampling hash, the same for all tasks of a deployment; empty draws one at start."""
    policy_refresh_s: float = Field(default=45.0, gt=0, le=60)
    """How often tenants are read again from Parameter Store: the time after which a revoked key stops."""

    @model_validator(mode="after")
    def _pings_come_first(self) -> Self:
        if self.stall_s < 2 * self.ping_s:
            raise ValueError(
                "stall_s must be at least twice ping_s: a client's silence is looked at with each ping"
            )
        return self


class EnvironmentSettings(BaseSettings):
    """The standard variables that the gateway heeds."""

    model_config = SettingsConfigDict(frozen=True)

    aws_region: str = "us-east-1"
    llm_platform_catalogue: Path | None = None
    aws_emf_agent_endpoint: str | None = None
    """`tcp://host:port` of a CloudWatch agent; without it EMF lines go to stdout."""
    otel_exporter_otlp_endpoint: str | None = None
    """Base address of a collector, `http://127.0.0.1:4318`."""
    aws_xray_daemon_address: str | None = None
    """Where segments go when there is no OTLP endpoint."""


def read_settings() -> tuple[GatewaySettings, EnvironmentSettings]:
    """Both settings. Raises ConfigFault that names each variable at fault, misspelt ones included."""
    refuse_unknown(GatewaySettings, os.environ)
    try:
        return GatewaySettings(), EnvironmentSettings()
    except ValidationError as error:
        raise describe(error, _PREFIX if error.title == "GatewaySettings" else "") from error
