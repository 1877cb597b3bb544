"""Policies as they stand in the templates, and what they let through by IAM's rules.

Evaluated as for a principal of the account that owns the resources: what a policy allows is allowed unless
one forbids it, and what nobody allows is not (IAM user guide, "Policy evaluation logic"). An operator of
conditions that is not known here is an error, never a pass. No resource policies, boundaries or policies of
an organization: there are none that allow more.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal

from infra.resolved import Resolved

Context = Mapping[str, str | tuple[str, ...]]
"""Values of condition keys; a tuple for keys that have several. What is missing is not in the request."""

_OF_ALL: Final = "ForAllValues:"
_OF_ANY: Final = "ForAnyValue:"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asks of IAM: one action on one resource."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grant:
    """A statement of a policy, as a template has it."""

    effect: Literal["Allow", "Deny"]
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, tuple[str, ...]]]

    def fits(self, asked: Asked) -> bool:
        """Whether it is about this."""
        return (
            any(_like(pattern.lower(), asked.action.lower()) for pattern in self.actions)
            and any(_like(pattern, asked.resource) for pattern in self.resources)
            and all(
                _holds(operator, values, _lookup(asked.context, key))
                for operator, keys in self.conditions.items()
                for key, values in keys.items()
            )
        )


def allows(grants: Iterable[Grant], asked: Asked) -> bool:
    """Whether a principal with these statements may do it."""
    effects = {grant.effect for grant in grants if grant.fits(asked)}
    return effects == {"Allow"}


def roles_of(resolved: Resolved) -> dict[str, tuple[Grant, ...]]:
    """The statements of every role by its name: its own, and those of policies that are attached to it."""
    managed = {name: _grants(policy["PolicyDocument"]) for name, policy in _managed(resolved)}
    attached: defaultdict[str, list[Grant]] = defaultdict(list)
    for _, policy in resolved.resources("AWS::IAM::Policy"):
        for role in policy.get("Roles", ()):
            attached[role] += _grants(policy["PolicyDocument"])
    roles = {}
    for name, role in resolved.resources("AWS::IAM::Role"):
        own = [grant for policy in role.get("Policies", ()) for grant in _grants(policy["PolicyDocument"])]
        own += attached[name]
        for arn in role.get("ManagedPolicyArns", ()):
            own += managed.get(arn, ())
        roles[role.get("RoleName", name)] = tuple(own)
    return roles


def policies_of(resolved: Resolved) -> dict[str, tuple[Grant, ...]]:
    """The statements of every managed policy by its name."""
    return {
        policy.get("ManagedPolicyName", name): _grants(policy["PolicyDocument"])
        for name, policy in _managed(resolved)
    }


def _managed(resolved: Resolved) -> Iterable[tuple[str, Mapping[str, Any]]]:
    return resolved.resources("AWS::IAM::ManagedPolicy")


def _grants(document: Mapping[str, Any]) -> tuple[Grant, ...]:
    return tuple(
        Grant(
            effect=statement["Effect"],
            actions=_several(statement["Action"]),
            resources=_several(statement["Resource"]),
            conditions={
                operator: {key: _several(values) for key, values in keys.items()}
                for operator, keys in statement.get("Condition", {}).items()
            },
        )
        for statement in document["Statement"]
    )


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _lookup(context: Context, key: str) -> tuple[str, ...] | None:
    """A key's values in the request: names of condition keys do not care for case."""
    found = next((value for name, value in context.items() if name.lower() == key.lower()), None)
    return None if found is None else _several(found)


def _holds(operator: str, wanted: tuple[str, ...], given: tuple[str, ...] | None) -> bool:
    if operator == "Null":
        return wanted == ("true" if given is None else "false",)
    if operator.startswith(_OF_ALL):
        return all(
            any(_compared(operator.removeprefix(_OF_ALL), one, value) for one in wanted)
            for value in given or ()
        )
    compared = operator.removeprefix(_OF_ANY)
    return given is not None and any(_compared(compared, one, value) for one in wanted for value in given)


def _compared(operator: str, wanted: str, given: str) -> bool:
    match operator:
        case "StringEquals":
            return wanted == given
        case "StringLike" | "ArnLike" | "ArnEquals":  # the last two are alike
            return _like(wanted, given)
    raise ValueError(f"{operator}: not an operator that is known here")


def _like(pattern: str, text: str) -> bool:
    """IAM's wildcards: `*` stands for any text or none, `?` for one character."""
    return _expression(pattern).fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)
