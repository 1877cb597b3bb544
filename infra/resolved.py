"""The templates of a deployment with what they refer to put in, as far as policies and keys need it.

A name that CloudFormation or a service gives only when it deploys is made up here, the same for the same
thing: a key's ARN ends in the name of its class of data.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from aws_cdk import App

from infra.layers import PREFIX

Template = Mapping[str, Any]
Resource = Mapping[str, Any]

_KEY: Final = "AWS::KMS::Key"
_ALIAS: Final = "AWS::KMS::Alias"


class Resolved:
    """The templates of all stacks, by stack name."""

    def __init__(self, templates: Mapping[str, Template]) -> None:
        self._templates = templates
        self._exports = {
            output["Export"]["Name"]: (stack, output["Value"])
            for stack, template in templates.items()
            for output in template.get("Outputs", {}).values()
            if "Export" in output
        }

    @classmethod
    def of(cls, app: App) -> "Resolved":
        """Those of an app, synthesized if it is not yet."""
        return cls({stack.stack_name: stack.template for stack in app.synth().stacks})

    def resources(self, kind: str) -> Iterator[tuple[str, Resource]]:
        """Every resource of a kind, in all stacks: its logical id and its properties."""
        for stack, template in self._templates.items():
            for name, resource in template.get("Resources", {}).items():
                if resource["Type"] == kind:
                    yield name, self._value(stack, resource.get("Properties", {}))

    def _value(self, stack: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self._value(stack, one) for one in value]
        return self._mapping(stack, value) if isinstance(value, dict) else value

    def _mapping(self, stack: str, value: Mapping[str, Any]) -> Any:
        match list(value.items()):
            case [("Fn::ImportValue", name)]:
                return self._value(*self._exports[name])
            case [("Fn::Join", [between, parts])]:
                return between.join(map(str, self._value(stack, parts)))
            case [("Fn::GetAtt", [name, attribute])]:
                return self._attribute(stack, name, attribute)
            case [("Ref", name)]:
                return name
            case parts:
                return {name: self._value(stack, one) for name, one in parts}

    def _attribute(self, stack: str, name: str, attribute: str) -> str:
        """An attribute that is known when it is deployed."""
        resources = self._templates[stack].get("Resources", {})
        if attribute == "Arn" and resources.get(name, {}).get("Type") == _KEY:
            for resource in resources.values():
                target = resource.get("Properties", {}).get("TargetKeyId")
                if resource["Type"] == _ALIAS and target == {"Fn::GetAtt": [name, attribute]}:
                    alias: str = resource["Properties"]["AliasName"]
                    return key_arn(alias.removeprefix(f"alias/{PREFIX}/"))
        return f"{name}.{attribute}"


def key_arn(data_class: str) -> str:
    """What the key of a class of data is called in resolved templates."""
    return f"arn:aws:kms:::key/{data_class}"
