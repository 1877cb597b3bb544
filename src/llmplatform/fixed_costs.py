"""What a deployment costs a month before anybody asks it something: tasks, endpoints, load balancers, keys.

At list prices, on demand. What depends on requests is not here: `llm-platform estimate` has that. A price
that is not known makes a line without an amount, never a zero. Pure.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from llmplatform.footprint import (
    COMPOSITE_ALARM,
    HOURS_IN_A_MONTH,
    MEMORY_HOURS,
    STANDARD_ALARM,
    STREAM_HOURS,
    VCPU_HOURS,
)
from llmplatform.prices import PriceTable

ENDPOINT_HOURS: Final = "AmazonVPC/VpcEndpoint-Hours"
LOAD_BALANCER_HOURS: Final = "AWSELB/LoadBalancerUsage"
PUBLIC_ADDRESS_HOURS: Final = "AmazonVPC/PublicIPv4:InUseAddress"
TRANSIT_GATEWAY_HOURS: Final = "AmazonVPC/TransitGateway-Hours"
HOSTED_ZONES: Final = "AmazonRoute53/HostedZone"
SECRETS: Final = "AWSSecretsManager/AWSSecretsManager-Secrets"
WEB_ACLS: Final = "awswaf/WebACLV2"
WEB_ACL_RULES: Final = "awswaf/RuleV2"
KEYS: Final = "awskms/KMS-Keys"
GRAFANA_EDITORS: Final = "AmazonGrafana/EditorUser"
GRAFANA_VIEWERS: Final = "AmazonGrafana/ViewerUser"


@dataclass(frozen=True, slots=True)
class Service:
    """Tasks on Fargate that run around the clock."""

    name: str
    tasks: int
    vcpu: Decimal
    """Of each task."""
    memory_gb: Decimal


@dataclass(frozen=True, slots=True)
class Deployment:
    """What stands in an account, by how it is billed."""

    services: tuple[Service, ...] = ()
    zones: int = 3
    interface_endpoints: int = 0
    """Services with an interface endpoint in each zone; gateway endpoints (S3, DynamoDB) cost nothing."""
    load_balancers: int = 0
    public_addresses: int = 0
    """IPv4 addresses that load balancers have at least: one in each zone, and more when they grow."""
    transit_gateway_attachments: int = 0
    hosted_zones: int = 0
    """Of Route 53, private ones too."""
    web_acls: int = 0
    web_acl_rules: int = 0
    """Of all web ACLs together; a managed group counts as one."""
    keys: int = 0
    """Of our own in KMS; AWS's own cost nothing."""
    secrets: int = 0
    streams: int = 0
    alarms: int = 0
    """On a metric, at standard resolution."""
    composite_alarms: int = 0
    grafana_editors: int = 0
    grafana_viewers: int = 0


@dataclass(frozen=True, slots=True)
class MonthlyLine:
    """One kind of charge of a month. `amount_usd` is None where the price is not known."""

    what: str
    price_name: str
    """As `PriceTable.month_usd` takes it."""
    units: Decimal
    unit: str
    amount_usd: Decimal | None


def monthly_lines(
    deployment: Deployment, prices: PriceTable, *, at: date, region: str
) -> tuple[MonthlyLine, ...]:
    """A deployment's month, at the prices of a UTC day."""
    return tuple(
        monthly_line(what, name, Decimal(units), prices, at=at, region=region)
        for what, name, units in _standing(deployment)
        if units
    )


def monthly_line(
    what: str, name: str, units: Decimal, prices: PriceTable, *, at: date, region: str
) -> MonthlyLine:
    """What so many units of a service come to when they are an account's month."""
    price = prices.service_price(name, at=at, region=region)
    return MonthlyLine(
        what=what,
        price_name=name,
        units=units,
        unit="units" if price is None else price.unit,
        amount_usd=prices.month_usd(name, units, at=at, region=region),
    )


def known_usd(lines: Iterable[MonthlyLine]) -> Decimal:
    """The part whose prices are known: at least so much."""
    return sum((line.amount_usd for line in lines if line.amount_usd is not None), Decimal(0))


def unpriced(lines: Iterable[MonthlyLine]) -> tuple[str, ...]:
    """Lines whose price is not known."""
    return tuple(line.what for line in lines if line.amount_usd is None)


def _standing(deployment: Deployment) -> Iterator[tuple[str, str, Decimal | int]]:
    for service in deployment.services:
        hours = service.tasks * HOURS_IN_A_MONTH
        yield f"{service.name}, vCPU", VCPU_HOURS, hours * service.vcpu
        yield f"{service.name}, memory", MEMORY_HOURS, hours * service.memory_gb
    endpoints = deployment.interface_endpoints * deployment.zones
    yield "interface endpoints", ENDPOINT_HOURS, endpoints * HOURS_IN_A_MONTH
    yield "load balancers", LOAD_BALANCER_HOURS, deployment.load_balancers * HOURS_IN_A_MONTH
    yield "public IPv4 addresses", PUBLIC_ADDRESS_HOURS, deployment.public_addresses * HOURS_IN_A_MONTH
    attached = deployment.transit_gateway_attachments * HOURS_IN_A_MONTH
    yield "attachment to the transit gateway", TRANSIT_GATEWAY_HOURS, attached
    yield "hosted zones", HOSTED_ZONES, deployment.hosted_zones
    yield "web ACLs", WEB_ACLS, deployment.web_acls
    yield "web ACL rules", WEB_ACL_RULES, deployment.web_acl_rules
    yield "keys", KEYS, deployment.keys
    yield "secrets", SECRETS, deployment.secrets
    yield "streams", STREAM_HOURS, deployment.streams * HOURS_IN_A_MONTH
    yield "alarms on a metric", STANDARD_ALARM, deployment.alarms
    yield "composite alarms", COMPOSITE_ALARM, deployment.composite_alarms
    yield "Grafana editors", GRAFANA_EDITORS, deployment.grafana_editors
    yield "Grafana viewers", GRAFANA_VIEWERS, deployment.grafana_viewers
