"""What one deployment is like: a TOML file, read once, typed and checked. Two are here.

What every deployment has alike (tables, names, retention) is no setting; see `llmplatform.aws.tables`. There
is one deployment in an account and region: the names of tables and parameters are fixed.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from llmplatform.aws.parameters import PREFIX as PARAMETERS
from llmplatform.catalogue import load_catalogue
from llmplatform.errors import ConfigFault
from llmplatform.judges import load_judge_models
from llmplatform.prices import load_prices
from watch.limits import Limits

FOLDER: Final = Path(__file__).parent
LEAST_ZONES_IN_PRODUCTION: Final = 3
TASKS_PREFIX: Final = 20
LOAD_BALANCER_PREFIX: Final = 24
"""Of the two subnets in each zone."""
SHORTEST_VPC_PREFIX: Final = 16
"""AWS makes no larger network."""
FARGATE_MEMORY_MIB: Final[Mapping[int, Sequence[int]]] = {
    256: (512, 1_024, 2_048),
    512: range(1_024, 4_096 + 1, 1_024),
    1_024: range(2_048, 8_192 + 1, 1_024),
    2_048: range(4_096, 16_384 + 1, 1_024),
    4_096: range(8_192, 30_720 + 1, 1_024),
}
"""What a task may have beside its CPU (ECS developer guide, "Task CPU and memory")."""

HostName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
Arn = Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]*:.+$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PrefixLists(_Section):
    """AWS's own lists of the addresses of two services in the region.

    `aws ec2 describe-managed-prefix-lists` tells their ids.
    """

    s3: Annotated[str, StringConstraints(pattern=r"^pl-[0-9a-f]+$")]
    dynamodb: Annotated[str, StringConstraints(pattern=r"^pl-[0-9a-f]+$")]


class Network(_Section):
    """The network of the platform, and who reaches its load balancer."""

    cidr: IPv4Network = IPv4Network("10.64.0.0/16")
    """Of the whole network; no network that is connected with it may have the same addresses."""
    exposure: Literal["internal", "internet"] = "internal"
    """Whether the load balancer has private addresses only. Tasks have no others in either case."""
    clients: tuple[IPv4Network, ...] = Field(min_length=1)
    """Who may open a connection to the load balancer."""
    transit_gateway_id: Annotated[str, StringConstraints(pattern=r"^tgw-[0-9a-f]+$")] | None = None
    """The way between an internal load balancer and its clients; without it they are in this network."""
    endpoint_zones: int = Field(default=3, ge=1, le=3)
    """In how many zones the services' endpoints are: each costs by the hour."""
    prefix_lists: PrefixLists

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.exposure == "internet":
            if self.transit_gateway_id is not None:
                raise ValueError("transit_gateway_id goes with exposure internal")
        elif any(network.is_global for network in self.clients):
            raise ValueError("clients: an internal load balancer has private clients only")
        return self


class Firewall(_Section):
    """What the firewall before the load balancer allows."""

    per_address_per_minute: int = Field(default=6_000, ge=10)
    """Requests of one client address; what is above gets a 429."""


class _Numbers(_Section):
    least: int = Field(ge=0)
    most: int = Field(ge=1)

    @model_validator(mode="after")
    def _least_comes_first(self) -> Self:
        if self.least > self.most:
            raise ValueError("least must not be above most")
        return self


class Schedule(_Numbers):
    """A time from which on a service has another least and most number of tasks."""

    cron: Annotated[str, StringConstraints(pattern=r"^\S+( \S+){5}$")]
    """Six fields, as Application Auto Scaling has them: `0 7 ? * MON-FRI *`."""
    time_zone: str = "Etc/UTC"


class Tasks(_Numbers):
    """Size and number of a service's tasks on Fargate."""

    cpu: Literal[256, 512, 1024, 2048, 4096]
    """In 1/1024 of a vCPU."""
    memory_mib: int
    schedules: tuple[Schedule, ...] = ()

    @field_validator("memory_mib")
    @classmethod
    def _goes_with_cpu(cls, given: int, told: ValidationInfo) -> int:
        cpu = told.data.get("cpu")
        if cpu is not None and given not in FARGATE_MEMORY_MIB[cpu]:
            allowed = ", ".join(map(str, FARGATE_MEMORY_MIB[cpu]))
            raise ValueError(f"Fargate has no task of {given} MiB with cpu {cpu}, but of {allowed}")
        return given


class BillingApi(Tasks):
    """The billing API's tasks, and whether anybody may connect to it."""

    public: bool = True
    """Whether it answers at the address that API Gateway gives it, which is open to the internet whatever
    `network` says. False shuts that: what costs is then read in the console."""


class Hosts(_Section):
    """Where clients and people reach the platform; the certificate covers each name."""

    gateway: HostName
    console: HostName
    certificate_arn: Arn

    @property
    def console_url(self) -> str:
        """What alarms, traces and dashboards link to."""
        return f"https://{self.console}"


class Oidc(_Section):
    """The identity provider that the console's load balancer asks."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    user_info_endpoint: str
    client_id: str
    client_secret_arn: Arn
    """A secret of Secrets Manager that holds the client's secret as its whole text."""
    addresses: tuple[IPv4Network, ...] = Field(min_length=1)
    """Where it answers: the load balancer asks it for tokens, and may connect to nobody else outside."""
    operator_group: str
    billing_group: str | None = None
    tenant_group_prefix: str | None = None


class Receivers(_Section):
    """Who hears of alarms; each may be left out."""

    pagerduty_parameter: str | None = Field(default=None, pattern=r"^/[^/]+/.+")
    """A plain parameter of Parameter Store with PagerDuty's integration URL for CloudWatch.

    The URL holds a key. CloudFormation gives no SecureString to a subscription, so the name is what keeps it
    from the processes.
    """
    slack_workspace_id: str | None = None
    slack_channel_id: str | None = None
    email: str | None = None

    @field_validator("pagerduty_parameter")
    @classmethod
    def _no_process_reads_it(cls, given: str | None) -> str | None:
        if given is not None and given.startswith(f"{PARAMETERS}/"):
            raise ValueError(
                f"every process reads what is below {PARAMETERS}: name it {PARAMETERS}-receivers/pagerduty"
            )
        return given

    @model_validator(mode="after")
    def _slack_is_whole(self) -> Self:
        if (self.slack_workspace_id is None) != (self.slack_channel_id is None):
            raise ValueError("slack_workspace_id and slack_channel_id go together")
        return self


class Budget(_Section):
    """What observing may cost a month, in US dollars; at 80 % of it sampling is held down."""

    monthly_usd: Decimal = Field(gt=0)


class Tracing(_Section):
    """What X-Ray is told of the account and region, which other applications may share."""

    transaction_search: bool = True
    """Whether this deployment switches Transaction Search on, and keeps spans for 30 days.

    False where it is on already: then the retention is for whoever switched it on to say.
    """


class Grafana(_Section):
    """The workspace of Amazon Managed Grafana, and the table that it asks Athena for."""

    enabled: bool = True
    """False where the account's organization has no IAM Identity Center: people sign in to Grafana by it, and
    AWS makes no workspace without. The console needs neither."""


class Files(_Section):
    """The deployment's own data files, by path from its TOML file; without one, the platform's own is used.

    The processes find them in the image: see `infra/image/Dockerfile`. One that they would refuse is refused.
    """

    catalogue: FilePath | None = None
    prices: FilePath | None = None
    judges: FilePath | None = None

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        try:
            load_catalogue(self.catalogue)
            load_prices(self.prices)
            load_judge_models(self.judges)
        except ConfigFault as fault:
            raise ValueError(str(fault)) from fault
        return self


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
    network: Network
    firewall: Firewall = Firewall()
    collector_tag: str | None = None
    """Of the OpenTelemetry collector's image, in its repository; without it no trace leaves the gateway."""
    gateway: Tasks
    evalworker: Tasks
    billing_api: BillingApi
    console: Tasks
    budget: Budget
    tracing: Tracing = Tracing()
    oidc: Oidc | None = None
    """Without it people come to the console with a key alone."""
    receivers: Receivers = Receivers()
    grafana: Grafana = Grafana()
    files: Files = Files()
    alarms: Mapping[str, float] = {}
    """Thresholds of alarms other than the default: `watch.limits` by name, `gpu_percent = 95`."""

    @property
    def alarm_limits(self) -> Limits:
        """Every threshold that no policy decides, whatever the environment of whoever deploys says."""
        return Limits.model_construct(None, **self.alarms)

    @field_validator("alarms")
    @classmethod
    def _are_limits(cls, given: Mapping[str, float]) -> Mapping[str, float]:
        Limits.model_validate(dict(given))
        return given

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.image_tag == "latest":
            raise ValueError(
                "image_tag: name a version or a commit, so that a roll-back has something to go to"
            )
        strange = [zone for zone in self.availability_zones if not re.fullmatch(f"{self.region}[a-z]", zone)]
        if strange:
            raise ValueError(f"availability_zones: {', '.join(strange)} is not a zone of {self.region}")
        if len(set(self.availability_zones)) < len(self.availability_zones):
            raise ValueError("availability_zones: name each once")
        if self.oidc is not None and self.network.exposure == "internal":
            far = [str(network) for network in self.oidc.addresses if network.is_global]
            if far:
                raise ValueError(
                    f"oidc.addresses: an internal load balancer cannot reach {', '.join(far)}; name private "
                    "addresses, set network.exposure to internet, or leave oidc out"
                )
        self._has_room()
        if self.name == "prod":
            self._is_safe()
        return self

    def _has_room(self) -> None:
        cidr, zones = self.network.cidr, len(self.availability_zones)
        needed = zones * (2 ** (32 - TASKS_PREFIX) + 2 ** (32 - LOAD_BALANCER_PREFIX))
        longest = 32 - (needed - 1).bit_length()
        if not SHORTEST_VPC_PREFIX <= cidr.prefixlen <= longest:
            raise ValueError(
                f"network.cidr: {cidr} is not between /{SHORTEST_VPC_PREFIX} and /{longest}: each of {zones} "
                f"zones needs a /{TASKS_PREFIX} for tasks and a /{LOAD_BALANCER_PREFIX} for the load balancer"
            )

    def _is_safe(self) -> None:
        if len(self.availability_zones) < LEAST_ZONES_IN_PRODUCTION:
            raise ValueError("availability_zones: production needs three")
        if self.gateway.least < LEAST_ZONES_IN_PRODUCTION:
            raise ValueError("gateway.least: production needs a task in each of three zones")
        if self.network.endpoint_zones < LEAST_ZONES_IN_PRODUCTION:
            raise ValueError("network.endpoint_zones: production needs three")
        if any(schedule.least < LEAST_ZONES_IN_PRODUCTION for schedule in self.gateway.schedules):
            raise ValueError("gateway.schedules: production needs a task in each of three zones at all times")
        if self.deletable:
            raise ValueError("deletable: production's data outlives its stack")


def named_deployment(name: str) -> Deployment:
    """One that is here, by its name, or that of a TOML file. Raises ConfigFault as `read_deployment`."""
    here = FOLDER / f"{name}.toml"
    return read_deployment(here if here.exists() else Path(name))


def read_deployment(path: Path) -> Deployment:
    """The deployment that a TOML file describes. Raises ConfigFault that names each field at fault."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        if isinstance(raw.get("files"), dict):
            raw["files"] = {name: path.parent / str(named) for name, named in raw["files"].items()}
        return Deployment.model_validate(raw)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigFault(f"{path}: {error}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'deployment'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise ConfigFault(f"{path}: {problems}") from error
