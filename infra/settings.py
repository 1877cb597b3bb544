"""What one deployment is like: a TOML file, read once, typed and checked. Two are here.

What every deployment has alike (tables, names, retention) is no setting; see `llmplatform.aws.tables`. There
is one deployment in an account and region: the names of tables and parameters are fixed.
"""

import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    StringConstraints,
    ValidationError,
    model_validator,
)

from llmplatform.errors import ConfigFault

FOLDER: Final = Path(__file__).parent
LEAST_ZONES_IN_PRODUCTION: Final = 3

HostName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
Arn = Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]*:.+$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tasks(_Section):
    """Size and number of a service's tasks on Fargate."""

    cpu: Literal[256, 512, 1024, 2048, 4096]
    """In 1/1024 of a vCPU."""
    memory_mib: int = Field(ge=512, le=30_720)
    least: int = Field(ge=0)
    most: int = Field(ge=1)

    @model_validator(mode="after")
    def _least_comes_first(self) -> Self:
        if self.least > self.most:
            raise ValueError("least must not be above most")
        return self


class Hosts(_Section):
    """Where clients and people reach the platform; the certificate covers each name."""

    gateway: HostName
    console: HostName
    certificate_arn: Arn


class Oidc(_Section):
    """The identity provider that the console's load balancer asks."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    user_info_endpoint: str
    client_id: str
    client_secret_arn: Arn
    """A secret of Secrets Manager that holds the client's secret as its whole text."""
    operator_group: str
    billing_group: str | None = None
    tenant_group_prefix: str | None = None


class Receivers(_Section):
    """Who hears of alarms; each may be left out."""

    pagerduty_parameter: str | None = None
    """A plain parameter of Parameter Store with PagerDuty's integration URL for CloudWatch."""
    slack_workspace_id: str | None = None
    slack_channel_id: str | None = None
    email: str | None = None

    @model_validator(mode="after")
    def _slack_is_whole(self) -> Self:
        if (self.slack_workspace_id is None) != (self.slack_channel_id is None):
            raise ValueError("slack_workspace_id and slack_channel_id go together")
        return self


class Budget(_Section):
    """What observing may cost a month, in US dollars; at 80 % of it sampling is held down."""

    monthly_usd: Decimal = Field(gt=0)


class Files(_Section):
    """The deployment's own data files, by path from its TOML file; without one, the platform's own is used.

    The processes find them in the image: see `infra/image/Dockerfile`.
    """

    catalogue: FilePath | None = None
    prices: FilePath | None = None


class Deployment(_Section):
    """Everything that differs between deployments."""

    name: Literal["dev", "prod"]
    account: Annotated[str, StringConstraints(pattern=r"^\d{12}$")]
    region: str
    availability_zones: tuple[str, ...] = Field(min_length=2)
    image_tag: str = Field(min_length=1)
    """Of the platform's image in the account's registry: a version or a commit, never `latest`."""
    deletable: bool
    """Whether data goes with its stack, and nothing protects it from deletion."""
    hosts: Hosts
    gateway: Tasks
    evalworker: Tasks
    billing_api: Tasks
    console: Tasks
    budget: Budget
    oidc: Oidc | None = None
    """Without it people come to the console with a key alone."""
    receivers: Receivers = Receivers()
    files: Files = Files()

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.image_tag == "latest":
            raise ValueError(
                "image_tag: name a version or a commit, so that a roll-back has something to go to"
            )
        strange = [zone for zone in self.availability_zones if not re.fullmatch(f"{self.region}[a-z]", zone)]
        if strange:
            raise ValueError(f"availability_zones: {', '.join(strange)} is not a zone of {self.region}")
        if self.name == "prod":
            self._is_safe()
        return self

    def _is_safe(self) -> None:
        if len(self.availability_zones) < LEAST_ZONES_IN_PRODUCTION:
            raise ValueError("availability_zones: production needs three")
        if self.gateway.least < LEAST_ZONES_IN_PRODUCTION:
            raise ValueError("gateway.least: production needs a task in each of three zones")
        if self.deletable:
            raise ValueError("deletable: production's data outlives its stack")


def read_deployment(path: Path) -> Deployment:
    """The deployment that a TOML file describes. Raises ConfigFault that names each field at fault."""
    try:
        raw = tomllib.loads(path.read_text())
        files = {name: path.parent / named for name, named in raw.get("files", {}).items()}
        return Deployment.model_validate({**raw, "files": files})
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigFault(f"{path}: {error}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'deployment'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise ConfigFault(f"{path}: {problems}") from error
