"""What a deployment costs a month before anybody asks it something, counted from its templates.

`python -m infra.costs` writes the table into docs/deploy.md. What depends on requests is `llm-platform
estimate`'s to say.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from infra.assembly import templates_of
from infra.document import replaced
from infra.settings import FOLDER, named_deployment
from llmplatform import fixed_costs
from llmplatform.fixed_costs import MonthlyLine, Service
from llmplatform.prices import load_prices

DOCUMENT: Final = FOLDER.parent / "docs" / "deploy.md"
PART: Final = "costs"
AS_OF: Final = date(2026, 11, 30)
"""The day whose prices the document tells."""
LEFT_OUT: Final = """\
Left out: what grows with use (runs of the schedules, log lines, series, what is stored, data through the
network), of which `llm-platform estimate` knows more; a dollar a month more for a key after each of its first
two rotations; and what is not made here (the zone and the certificate of your names, the secret of the
identity provider's client)."""

Resources = Mapping[str, Mapping[str, Any]]


def standing(templates: Iterable[Resources]) -> fixed_costs.Deployment:
    """What stands in an account, by how it is billed; `templates` are resources by logical name."""
    stacks = [list(resources.items()) for resources in templates]
    everything = [resource for stack in stacks for _, resource in stack]

    def of(kind: str) -> list[Mapping[str, Any]]:
        return [one.get("Properties", {}) for one in everything if one["Type"] == kind]

    interfaces = [one for one in of("AWS::EC2::VPCEndpoint") if one.get("VpcEndpointType") == "Interface"]
    balancers = of("AWS::ElasticLoadBalancingV2::LoadBalancer")
    acls = of("AWS::WAFv2::WebACL")
    return fixed_costs.Deployment(
        services=tuple(
            sorted(
                (service for stack in stacks for service in _services(dict(stack))), key=lambda one: one.name
            )
        ),
        zones=max((len(one["SubnetIds"]) for one in interfaces), default=0),
        interface_endpoints=len(interfaces),
        load_balancers=len(balancers),
        public_addresses=sum(len(one["Subnets"]) for one in balancers if one["Scheme"] == "internet-facing"),
        transit_gateway_attachments=len(of("AWS::EC2::TransitGatewayAttachment")),
        hosted_zones=len(of("AWS::ServiceDiscovery::PrivateDnsNamespace")),
        web_acls=len(acls),
        web_acl_rules=sum(len(acl["Rules"]) for acl in acls),
        keys=len(of("AWS::KMS::Key")),
        secrets=len(of("AWS::SecretsManager::Secret")),
        streams=len(of("AWS::Kinesis::Stream")),
        alarms=len(of("AWS::CloudWatch::Alarm")),
        composite_alarms=len(of("AWS::CloudWatch::CompositeAlarm")),
        grafana_editors=len(of("AWS::Grafana::Workspace")),
    )


def _services(resources: Resources) -> Iterator[Service]:
    """Services with the tasks that they have at least."""
    targets = [
        one["Properties"]
        for one in resources.values()
        if one["Type"] == "AWS::ApplicationAutoScaling::ScalableTarget"
    ]
    for name, resource in resources.items():
        if resource["Type"] != "AWS::ECS::Service":
            continue
        task = resources[resource["Properties"]["TaskDefinition"]["Ref"]]["Properties"]
        (least,) = (target["MinCapacity"] for target in targets if name in str(target["ResourceId"]))
        yield Service(
            name=task["Family"].removeprefix("llm-platform-"),
            tasks=least,
            vcpu=Decimal(task["Cpu"]) / 1024,
            memory_gb=Decimal(task["Memory"]) / 1024,
        )


def table(deployments: Mapping[str, Iterable[Resources]], region: str) -> str:
    """Deployments side by side, by name, as Markdown."""
    months = {
        name: {
            line.what: line
            for line in fixed_costs.monthly_lines(standing(templates), load_prices(), at=AS_OF, region=region)
        }
        for name, templates in deployments.items()
    }
    rows = [f"| what stands there | {' | | '.join(months)} | |", "|---|" + "---:|---:|" * len(months)]
    for what in dict.fromkeys(what for month in months.values() for what in month):
        cells = [cell for month in months.values() for cell in _cells(month.get(what))]
        rows.append(f"| {what} | {' | '.join(cells)} |")
    sums = [f" | **${fixed_costs.known_usd(month.values()):,.0f}**" for month in months.values()]
    rows.append(f"| **a month, before any request** | {' | '.join(sums)} |")
    missing = sorted({what for month in months.values() for what in fixed_costs.unpriced(month.values())})
    if missing:
        rows += ["", f"Not known, and in no sum: {', '.join(missing)}."]
    rows += ["", LEFT_OUT]
    return "\n".join(rows)


def _cells(line: MonthlyLine | None) -> tuple[str, str]:
    if line is None:
        return "–", "–"
    return f"{line.units.normalize():,f} {line.unit}", _amount(line.amount_usd)


def _amount(usd: Decimal | None) -> str:
    if usd is None:
        return "unknown"
    return f"${usd:,.0f}" if usd >= 1 else "under $1"


def main() -> None:
    """Write the table into the document."""
    both = {name: named_deployment(name) for name in ("dev", "prod")}
    (region,) = {deployment.region for deployment in both.values()}
    made = table({name: templates_of(one).values() for name, one in both.items()}, region)
    DOCUMENT.write_text(replaced(DOCUMENT.read_text(encoding="utf-8"), PART, made), encoding="utf-8")
    sys.stdout.write(f"{DOCUMENT.name} has the table of costs\n")


if __name__ == "__main__":
    main()
