"""GetResources of the resource tagging API, of alarms too: the emulator leaves them out.

Alarms have slashes in their names, by which it would take a part of the name for the kind of resource.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

Matches = Callable[[str, Sequence[str]], bool]


class AlarmTags:
    """Alarms and their tags; `cloudwatch` and `tagging` are the emulator's modules."""

    def __init__(self, cloudwatch: Any, tagging: Any) -> None:
        self._tags = vars(cloudwatch)["_resource_tags"]
        self._its = vars(tagging)
        self._matches: Matches = self._its["_matches_type_filters"]

    def put_in_place(self) -> None:
        """Have the emulator ask us too."""
        self._its["_COLLECTORS"]["cloudwatch"] = self.collect
        self._its["_matches_type_filters"] = self.matches

    def collect(self) -> Iterator[tuple[str, list[dict[str, str]]]]:
        """Each tagged alarm's ARN with its tags."""
        for arn, tags in list(self._tags.items()):
            if ":alarm:" in arn and tags:
                yield arn, [{"Key": key, "Value": value} for key, value in tags.items()]

    def matches(self, arn: str, filters: Sequence[str]) -> bool:
        """Whether an ARN is of one of the kinds that are asked for."""
        return self._matches(arn.replace("/", "_") if ":alarm:" in arn else arn, filters)
