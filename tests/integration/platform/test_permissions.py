"""The platform at work under its roles: nothing that it needs is missing, nothing is there without a use."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pytest
import pytest_asyncio

from harness.aws_calls import Call
from harness.every_process import played
from harness.under_roles import ERASURE, TENANTS, Stage, stage
from infra.policy import Asked, Grant
from infra.roles import PROCESSES
from llmplatform.aws.tables import CALIBRATIONS_PREFIX, EVAL_CONSUMER, EVAL_HISTORY
from sandbox.emulator import ACCOUNT_ID, REGION

# The worker's first lease alone takes a minute, and an erasure more than that.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1_200)]

_LAMBDA: Final = "Lambda does this as the function"
_CALIBRATED: Final = "a judge that people's labels were held against"
_AS_A_FUNCTION: Final = {
    "logs:CreateLogStream on *": _LAMBDA,
    "logs:PutLogEvents on *": _LAMBDA,
    "sqs:SendMessage on llm-platform-dead-letters": _LAMBDA,
}
_CALIBRATIONS: Final = {
    f"s3:GetObject on {EVAL_HISTORY.name(ACCOUNT_ID, REGION)}/{CALIBRATIONS_PREFIX}*": _CALIBRATED,
    "kms:Decrypt on key/scores": _CALIBRATED,
}
UNUSED: Final[dict[str, dict[str, str]]] = {
    "gateway": {
        "xray:PutSpans on *": "the collector beside it does this as the gateway",
        "xray:PutSpansForIndexing on *": "the collector beside it does this as the gateway",
    },
    "evalworker": {
        **_CALIBRATIONS,
        f"dynamodb:DeleteItem on table/{EVAL_CONSUMER}": "the lease of a shard that has ended",
    },
    "drift": {
        **_AS_A_FUNCTION,
        **{
            f"ec2:{action} on *": _LAMBDA
            for action in (
                "AssignPrivateIpAddresses",
                "CreateNetworkInterface",
                "DeleteNetworkInterface",
                "DescribeNetworkInterfaces",
                "DescribeSubnets",
                "UnassignPrivateIpAddresses",
            )
        },
        "dynamodb:Query on table/eval-detector": "heartbeats, where requests have had no score for minutes",
    },
    "budget-handler": _AS_A_FUNCTION,
    "console": {
        **_CALIBRATIONS,
        "logs:StopQuery on *": "a look into the log that took too long",
        "xray:CancelTraceRetrieval on *": "a look for spans that took too long",
    },
    "alarms": {
        "cloudwatch:ListTagsForResource on llm-platform/*": "an alarm that the tagging API does not know yet"
    },
}
"""What a role allows and the story has no use for, by process and action, with what it is for."""
WHERE_SLOW: Final = {"logs:StopQuery on *", "xray:CancelTraceRetrieval on *"}
"""Of those what a slow machine makes use of: there a look may take too long."""


@dataclass
class Story:
    """What came of it."""

    on: Stage
    calls: Sequence[Call]


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="story")
async def told_once(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Story]:
    async with stage(tmp_path_factory.mktemp("account")) as on:
        yield Story(on, await played(on))


async def test_all_processes_do_their_work_under_their_roles(story: Story) -> None:
    """The consumer's library would publish metrics of its own, which nobody reads and somebody pays for."""
    assert {str(call) for call in story.on.recorder.refused} <= {"evalworker: cloudwatch PutMetricData"}
    assert {call.process for call in story.calls} == {*PROCESSES, TENANTS, ERASURE}
    done = {(call.process, call.operation) for call in story.calls}
    assert {("reconcile", "BatchWriteItem"), ("budget-handler", "DescribeBudget")} <= done


async def test_who_may_not_decrypt_asks_for_nothing_decrypted(story: Story) -> None:
    asked = {
        call.process
        for call in story.calls
        if call.service == "ssm" and call.asked.get("WithDecryption") is True
    }
    assert asked == {"gateway", "billing-api", "console", TENANTS, ERASURE}


async def test_no_role_allows_what_its_process_has_no_use_for(story: Story) -> None:
    unused: dict[str, set[str]] = {}
    for process in PROCESSES:
        asked = [one for call in story.calls if call.process == process for one in story.on.asking.of(call)]
        allowed = set(_idle(story.on.roles[process], ()))
        if idle := set(_idle(story.on.roles[process], asked)) | (allowed & WHERE_SLOW):
            unused[process] = idle
    assert unused == {process: set(actions) for process, actions in UNUSED.items()}


def _idle(grants: Sequence[Grant], asked: Sequence[Asked]) -> Iterator[str]:
    """The actions of statements that let nothing through in the story."""
    for grant in grants:
        for action in grant.actions if grant.effect == "Allow" else ():
            if not any(one.action == action and grant.fits(one) for one in asked):
                yield f"{action} on {grant.resources[0].rpartition(':')[2]}"
