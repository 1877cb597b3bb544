"""One statement of an IAM policy, and what all of them are held to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Conditions = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Values by condition key, by operator. Several operators or keys must all hold, of several values one."""

ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class Statement:
    """Allows some actions on some resources, or with `Deny` forbids them whatever else allows them.

    Raises ValueError for a wildcard in an allowed action, and for one in a resource without `because`.
    """

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Conditions = field(default_factory=dict)
    because: str | None = None
    """Why its resources are not all named."""
    effect: Literal["Allow", "Deny"] = "Allow"

    def __post_init__(self) -> None:
        """Hold it to the rules."""
        if self.effect == "Deny":
            return
        for action in self.actions:
            if ANY in action:
                raise ValueError(f"{self.sid}: {action} is no single action")
        if self.wildcards and not self.because:
            raise ValueError(f"{self.sid}: say why {', '.join(self.wildcards)} names no single resource")

    @property
    def wildcards(self) -> tuple[str, ...]:
        """Its resources that are patterns."""
        return tuple(resource for resource in self.resources if ANY in resource)


def where(operator: str, keys: Mapping[str, str | Iterable[str]]) -> Conditions:
    """Conditions of one operator: `where("StringEquals", {"aws:SourceAccount": "111111111111"})`."""
    return {operator: {key: (one,) if isinstance(one, str) else tuple(one) for key, one in keys.items()}}
