"""The budget's handler on AWS Lambda: invoked by the budget's topic, by a schedule, or by hand.

Whatever invokes it, it reads the budget anew. What AWS Budgets says in its message is a text for people; that
it came is all that counts. What is raised makes Lambda try again, and ends with its dead letters.
"""

import asyncio
from collections.abc import Mapping
from functools import cache
from typing import Protocol

from costagg.account_budget.holding import hold, read_standing
from costagg.bootstrap import metric_lines
from costagg.settings import read_settings
from llmplatform.account_budget import ACCOUNT_BUDGET
from llmplatform.aws.sampling_brake import BrakeParameter
from llmplatform.aws.sessions import aws_session
from llmplatform.clock import SystemClock
from llmplatform.process.logging import configure_logging


class LambdaContext(Protocol):
    """What Lambda tells of an invocation."""

    invoked_function_arn: str
    """Its fifth part is the account's number."""


def handler(_event: object, context: LambdaContext) -> Mapping[str, object]:
    """Hold sampling down as the budget stands now; tells the factor, and until when it is set."""
    _begin_logging()
    return asyncio.run(_handle(context.invoked_function_arn.split(":")[4]))


async def _handle(account_id: str) -> Mapping[str, object]:
    _, environment = read_settings()
    session = aws_session(environment.aws_region)
    async with (
        session.client("budgets") as budgets,
        session.client("ssm") as ssm,
        metric_lines(environment) as lines,
    ):
        standing = await read_standing(budgets, account_id)
        wanted = await hold(standing, BrakeParameter(ssm, ACCOUNT_BUDGET), lines, SystemClock().now())
    return {
        "used_percent": float(standing.used_percent),
        "factor": wanted.factor,
        "expires_at": wanted.expires_at.isoformat(),
    }


@cache
def _begin_logging() -> None:
    configure_logging("costagg")
