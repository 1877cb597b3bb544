"""Which of the deployment's stacks are there, so that what is still to be deployed is no failure.

The stacks themselves are in `infra`, which is no part of the package: a test holds the names to them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, get_args

import aioboto3

from operator_cli.check import Check
from operator_cli.doctor_aws.looking import Look

Stack = Literal["data", "network", "identity", "gateway", "evaluation", "cost", "watch"]
STACKS: Final[tuple[Stack, ...]] = get_args(Stack)
"""In the order in which they are deployed; CloudFormation calls each `llm-platform-{stack}`."""
PREFIX: Final = "llm-platform-"
MADE_BY: Final[Mapping[str, Stack]] = {
    "tables": "data",
    "streams": "data",
    "log groups": "data",
    "eval stream": "data",
    "eval history": "data",
    "tracing": "data",
    "keys": "data",
    "gateway": "gateway",
    "eval workers": "evaluation",
    "cost hours": "cost",
    "cost usage": "cost",
    "budget": "cost",
    "bill export": "cost",
    "alarms": "watch",
    "receivers": "watch",
}
"""Checks by name, with the stack that makes what they look for."""
_TO_DELETE: Final = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"})
"""States of a stack that was never there, or is gone by half: it can only be deleted."""
_NEVER_BEGUN: Final = "REVIEW_IN_PROGRESS"
"""Of a change set that nobody has executed."""
_ABSENT: Final = _TO_DELETE | {
    "CREATE_FAILED",
    "CREATE_IN_PROGRESS",
    "ROLLBACK_IN_PROGRESS",
    "DELETE_IN_PROGRESS",
    _NEVER_BEGUN,
}
_THERE: Final = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"})

Stacks = Mapping[Stack, str]
"""What CloudFormation says of each stack that it has."""


class StacksLook:
    """Asks for the stacks once; `absent` is known afterwards."""

    def __init__(self) -> None:
        """Nothing is absent as long as nobody was asked."""
        self.absent: frozenset[Stack] = frozenset()

    @property
    def look(self) -> Look:
        """As `looked` takes it."""
        return Look("stacks", "cloudformation:DescribeStacks", self._ask)

    async def _ask(self, session: aioboto3.Session) -> Sequence[Check]:
        found: dict[Stack, str] = {}
        async with session.client("cloudformation") as cloudformation:
            async for page in cloudformation.get_paginator("describe_stacks").paginate():
                states = {one["StackName"]: one["StackStatus"] for one in page["Stacks"]}
                found |= {name: states[PREFIX + name] for name in STACKS if PREFIX + name in states}
        self.absent = absent(found)
        return stacks_checks(found)


def absent(found: Stacks) -> frozenset[Stack]:
    """Stacks that are not deployed: unknown to CloudFormation, known for having failed, or on their way."""
    return frozenset(name for name in STACKS if found.get(name, _NEVER_BEGUN) in _ABSENT)


def stacks_checks(found: Stacks) -> Sequence[Check]:
    """What a person does about stacks in no good state, and which are still to come."""
    begun = {name: state for name, state in found.items() if state != _NEVER_BEGUN}
    bad = [check for name, state in begun.items() if (check := _state_check(name, state)).status != "ok"]
    to_come = [name for name in STACKS if name not in begun]
    if to_come:
        fix = "docs/deploy.md says when each comes"
        bad.append(Check("stacks", "warning", f"not deployed: {', '.join(to_come)}", fix))
    return bad or [Check("stacks", "ok", ", ".join(STACKS))]


def _state_check(name: Stack, state: str) -> Check:
    told = f"{PREFIX}{name} is {state}"
    if state in _THERE:
        return Check("stacks", "ok", told)
    if state == "CREATE_FAILED":
        fix = "its first failed event says why; mend that and repeat scripts/cdk deploy --no-rollback"
        return Check("stacks", "failed", told, fix)
    if state in _TO_DELETE:
        fix = "its first failed event says why; delete it and deploy it again (docs/deploy.md)"
        return Check("stacks", "failed", told, fix)
    if state.endswith("_IN_PROGRESS"):
        return Check("stacks", "warning", told, "wait until it is done, look again")
    if state == "UPDATE_ROLLBACK_FAILED":
        fix = f"aws cloudformation continue-update-rollback --stack-name {PREFIX}{name}"
        return Check("stacks", "failed", told, fix)
    return Check("stacks", "warning", told, "its events say what of the last change failed; deploy it again")


def awaited(check: Check, absent: Collection[Stack]) -> Check:
    """The check, where what it looks for is a stack's to make that is not deployed: then it is no failure."""
    stack = MADE_BY.get(check.name)
    if check.status != "failed" or stack not in absent:
        return check
    return replace(check, status="warning", fix=f"deploy {PREFIX}{stack}")
