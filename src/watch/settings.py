"""The console's settings: `WATCH_*` variables, and the standard ones of AWS.

Read once in `__main__` and passed down. Who a tenant is and what it may do is in its policy.
"""

import os
import re
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from llmplatform.settings import describe, refuse_unknown
from watch.console.hosts import is_loopback
from watch.limits import PREFIX as LIMITS_PREFIX
from watch.limits import Limits

_PREFIX: Final = "WATCH_"
_ALB_ARN: Final = re.compile(r"arn:aws[a-z-]*:elasticloadbalancing:([a-z0-9-]+):\d{12}:loadbalancer/app/.+")
_LEAST_KEY_CHARS: Final = 32


class WatchSettings(BaseSettings):
    """Every `WATCH_*` variable."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8100, ge=0, le=65_535)
    """0 is any free one."""
    public_url: str | None = None
    """Where people reach the console, such as `https://watch.example.com`: the one host that is answered to.
    Needed unless `host` is on loopback."""
    session_key: SecretStr | None = Field(default=None, min_length=_LEAST_KEY_CHARS)
    """Signs sessions; tasks behind one load balancer share it. Without it sessions end with the process."""
    session_h: float = Field(default=12.0, gt=0, le=24)
    """Hours after which a session asks for the key again."""
    grafana_url: str | None = None
    """Where Grafana is: `https://g-abc.grafana-workspace.us-east-1.amazonaws.com`; without it no links."""
    history_bucket: str | None = None
    """Of the evaluation worker's history, where it is not the account's own."""
    policy_refresh_s: float = Field(default=45.0, gt=0, le=60)
    """How often tenants and roles are read: after this time a revoked key's sessions have ended."""
    alb_arn: str | None = None
    """The load balancer whose OIDC header is believed; without it that header is ignored."""
    alb_keys_url: str | None = None
    """Where its public keys are; default: `https://public-keys.auth.elb.<its region>.amazonaws.com`."""
    oidc_issuer: str | None = None
    """The identity provider, as `iss` names it."""
    oidc_client_id: str | None = None
    """The client that the load balancer is to the identity provider; without it any."""
    oidc_name_claim: str = "sub"
    """What the log calls a person."""
    oidc_group_claim: str = "groups"
    """A list of groups, or one text with spaces or commas between them."""
    oidc_operator_group: str | None = None
    oidc_billing_group: str | None = None
    oidc_tenant_group_prefix: str | None = None
    """With `tenant-`, a member of `tenant-acme` sees acme alone."""
    max_series: int = Field(default=10_000, ge=1)
    """Series of our metrics above which no alarms are put: 50 tenants with three models each make 8,000."""
    max_alarms: int = Field(default=8_000, ge=1)
    """The same of alarms; 50 such tenants with scores in five dimensions have 5,300."""
    max_bands: int = Field(default=500, ge=0)
    """CloudWatch's quota of anomaly detection models."""
    bands: bool = True
    """Whether scores have alarms on CloudWatch's anomaly band, which are information."""
    puts_per_s: float = Field(default=3.0, gt=0)
    """PutMetricAlarm calls a second that the account's quota allows; AWS raises it on request."""

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.public_url is None:
            if not is_loopback(self.host):
                raise ValueError("WATCH_PUBLIC_URL is needed where WATCH_HOST is not on loopback")
        else:
            url = urlsplit(self.public_url)
            if url.scheme not in {"http", "https"} or not url.hostname or url.path.strip("/") or url.query:
                raise ValueError("WATCH_PUBLIC_URL is a scheme and a host, such as https://watch.example.com")
            if url.scheme == "http" and not is_loopback(url.hostname):
                raise ValueError("WATCH_PUBLIC_URL must be https unless its host is on loopback")
        if self.alb_arn is not None:
            if _ALB_ARN.fullmatch(self.alb_arn) is None:
                raise ValueError("WATCH_ALB_ARN is not the ARN of an Application Load Balancer")
            if self.oidc_issuer is None:
                raise ValueError("WATCH_ALB_ARN needs WATCH_OIDC_ISSUER")
            if not (self.oidc_operator_group or self.oidc_billing_group or self.oidc_tenant_group_prefix):
                raise ValueError("WATCH_ALB_ARN needs a group that may see something: WATCH_OIDC_..._GROUP")
        return self

    @property
    def secure(self) -> bool:
        """Whether people reach us by https, so that cookies must not travel otherwise."""
        return self.public_url is not None and self.public_url.startswith("https://")

    @property
    def keys_url(self) -> str | None:
        """Where the load balancer's public keys are; None where no load balancer is believed."""
        if self.alb_arn is None:
            return None
        if self.alb_keys_url is not None:
            return self.alb_keys_url.rstrip("/")
        match = _ALB_ARN.fullmatch(self.alb_arn)
        region = match[1] if match else ""
        return f"https://public-keys.auth.elb.{region}.amazonaws.com"


class EnvironmentSettings(BaseSettings):
    """The standard variables that the console heeds."""

    model_config = SettingsConfigDict(frozen=True)

    aws_region: str = "us-east-1"
    aws_endpoint_url: str | None = None
    """Set where AWS is not AWS's own: then its consoles show nothing of it."""
    llm_platform_prices: Path | None = None
    llm_platform_catalogue: Path | None = None


def read_settings() -> tuple[WatchSettings, EnvironmentSettings]:
    """Both settings. Raises ConfigFault that names each variable at fault, misspelt ones included."""
    refuse_unknown(WatchSettings, os.environ)
    try:
        return WatchSettings(), EnvironmentSettings()
    except ValidationError as error:
        raise describe(error, _PREFIX if error.title == "WatchSettings" else "") from None


def read_limits() -> Limits:
    """The thresholds that nobody else decides. Raises ConfigFault that names each variable at fault."""
    refuse_unknown(Limits, os.environ)
    try:
        return Limits()
    except ValidationError as error:
        raise describe(error, LIMITS_PREFIX) from None
