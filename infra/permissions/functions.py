"""What a process needs to be a function: as it, Lambda writes its log and joins it to the network.

On Fargate the same is the execution role's, which a process never has.
"""

from collections.abc import Iterator
from typing import Final

from infra.permissions.account import Account
from infra.permissions.statement import ANY, Statement, where
from llmplatform.aws.schedules import DEAD_LETTERS
from llmplatform.aws.tables import LogGroup

_INTERFACES: Final = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
"""AWS Lambda developer guide, "Giving Lambda functions access to resources in an Amazon VPC"."""


def function(account: Account, group: LogGroup) -> Iterator[Statement]:
    """Its log lines, and what it could not handle."""
    yield Statement(
        "Log",
        ("logs:CreateLogStream", "logs:PutLogEvents"),
        (f"{account.log_group(group)}:{ANY}",),
        because="each of Lambda's own processes has a stream of its own in this group",
    )
    yield Statement("DeadLetters", ("sqs:SendMessage",), (account.arn("sqs", DEAD_LETTERS),))


def inside(account: Account, name: str) -> Iterator[Statement]:
    """Its interfaces in the private subnets, which Lambda makes as it; its own code may not."""
    yield Statement(
        "Interfaces",
        _INTERFACES,
        (ANY,),
        because="an interface has no ARN before it is made, and EC2 describes all of an account's or none",
    )
    itself = account.arn("lambda", f"function:llm-platform-{name}")
    yield Statement(
        "InterfacesNotByItself",
        _INTERFACES,
        (ANY,),
        where("ArnEquals", {"lambda:SourceFunctionArn": itself}),
        effect="Deny",
    )
