"""Every way out of a deployment's network, read from its templates: what a packet could leave by."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from infra.layers import PREFIX

Templates = Mapping[str, Mapping[str, Any]]
"""By stack."""
Properties = Mapping[str, Any]

OPENINGS: Final = (
    "AWS::EC2::NatGateway",
    "AWS::EC2::InternetGateway",
    "AWS::EC2::EgressOnlyInternetGateway",
    "AWS::EC2::CarrierGateway",
    "AWS::EC2::VPNGateway",
    "AWS::EC2::VPCPeeringConnection",
    "AWS::EC2::TransitGatewayAttachment",
    "AWS::EC2::TransitGatewayVpcAttachment",
    "AWS::EC2::NetworkInterface",
    "AWS::EC2::Instance",
    "AWS::EC2::EIP",
    "AWS::VpcLattice::ServiceNetworkVpcAssociation",
    "AWS::NetworkFirewall::Firewall",
)
_TARGETS: Final = {
    "GatewayId": "internet gateway",
    "NatGatewayId": "NAT gateway",
    "TransitGatewayId": "transit gateway",
    "VpcPeeringConnectionId": "peering",
    "EgressOnlyInternetGatewayId": "egress-only internet gateway",
    "NetworkInterfaceId": "network interface",
    "VpcEndpointId": "endpoint",
    "LocalGatewayId": "local gateway",
    "CarrierGatewayId": "carrier gateway",
    "InstanceId": "instance",
}


def ways_out(templates: Templates) -> set[str]:
    """Each in words. Raises KeyError for a security group or route whose other end is not known."""
    reader = _Reader(templates)
    return {
        *reader.rules(),
        *reader.routes(),
        *reader.openings(),
        *reader.endpoints(),
        *reader.integrations(),
    }


class _Reader:
    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self._exports = {
            output["Export"]["Name"]: (stack, output["Value"])
            for stack, template in templates.items()
            for output in template.get("Outputs", {}).values()
            if "Export" in output
        }

    def rules(self) -> Iterator[str]:
        """Of security groups; one that has none of its own is opened by EC2."""
        for stack, properties in self._of("AWS::EC2::SecurityGroup"):
            for rule in properties.get("SecurityGroupEgress") or [{"CidrIp": "anywhere"}]:
                yield self._rule(stack, _called(properties), rule)
        for stack, rule in self._of("AWS::EC2::SecurityGroupEgress"):
            yield self._rule(stack, self._group(stack, rule["GroupId"]), rule)

    def routes(self) -> Iterator[str]:
        """Of route tables, by the kind of subnets that they are of."""
        tables = {
            (stack, table["RouteTableId"]["Ref"]): self._resource(stack, table["SubnetId"]["Ref"])
            for stack, table in self._of("AWS::EC2::SubnetRouteTableAssociation")
        }
        for stack, route in self._of("AWS::EC2::Route"):
            (target,) = (name for name in _TARGETS if name in route)
            subnet = tables[stack, route["RouteTableId"]["Ref"]]
            tags = {tag["Key"]: tag["Value"] for tag in subnet["Tags"]}
            to = route.get("DestinationCidrBlock") or route["DestinationIpv6CidrBlock"]
            yield f"{tags['aws-cdk:subnet-name']} subnets -> {to} by {_TARGETS[target]}"

    def openings(self) -> Iterator[str]:
        """What joins the network to another one."""
        yield from (kind for kind in OPENINGS if any(True for _ in self._of(kind)))

    def endpoints(self) -> Iterator[str]:
        """Of services."""
        for _, endpoint in self._of("AWS::EC2::VPCEndpoint"):
            yield f"endpoint {service_of(endpoint)}"

    def integrations(self) -> Iterator[str]:
        """What an API asks on behalf of whoever asks it."""
        for _, method in self._of("AWS::ApiGateway::Method"):
            yield f"API -> {method['Integration'].get('Uri')}"

    def _rule(self, stack: str, group: str, rule: Properties) -> str:
        if rule.get("Description") == "nowhere":
            return f"{group} -> nowhere"
        to = rule.get("CidrIp") or rule.get("CidrIpv6") or rule.get("DestinationPrefixListId")
        if to is None:
            to = self._group(stack, rule["DestinationSecurityGroupId"])
        ports = {rule.get("FromPort"), rule.get("ToPort")}
        return f"{group} -> {to}:{'-'.join(sorted(map(str, ports)))}"

    def _group(self, stack: str, reference: Properties) -> str:
        if "Fn::ImportValue" in reference:
            stack, reference = self._exports[reference["Fn::ImportValue"]]
        return _called(self._resource(stack, reference["Fn::GetAtt"][0]))

    def _resource(self, stack: str, name: str) -> Properties:
        properties: Properties = self._templates[stack]["Resources"][name]["Properties"]
        return properties

    def _of(self, kind: str) -> Iterator[tuple[str, Properties]]:
        for stack, template in self._templates.items():
            for resource in template.get("Resources", {}).values():
                if resource["Type"] == kind:
                    yield stack, resource.get("Properties", {})


def service_of(endpoint: Properties) -> str:
    """The service that an endpoint leads to: the end of its name."""
    name = endpoint["ServiceName"]
    whole = name if isinstance(name, str) else "".join(map(_text, name["Fn::Join"][1]))
    return whole.split(".", 3)[3]


def _called(group: Properties) -> str:
    description: str = group["GroupDescription"]
    return description.removeprefix(f"{PREFIX}: ")


def _text(part: object) -> str:
    return part if isinstance(part, str) else "region"
