"""Whether log groups keep what they hold as long as they should, and under a key."""

from collections.abc import Sequence

import aioboto3

from llmplatform.aws.tables import LOG_GROUPS, LogGroup
from operator_cli.check import Check
from operator_cli.doctor_aws.looking import Look


def retention_look() -> Look:
    """Retention and key of every log group of the platform."""

    async def ask(session: aioboto3.Session) -> Sequence[Check]:
        bad: list[Check] = []
        async with session.client("logs") as logs:
            for group in LOG_GROUPS:
                answer = await logs.describe_log_groups(logGroupNamePrefix=group.name)
                for found in answer["logGroups"]:
                    if found.get("logGroupName") == group.name:
                        bad += group_checks(group, found.get("retentionInDays"), found.get("kmsKeyId"))
        return bad or [Check("retention", "ok", f"{len(LOG_GROUPS)} log groups as they should be")]

    return Look("retention", "logs:DescribeLogGroups", ask)


def group_checks(group: LogGroup, retention_days: int | None, key: str | None) -> Sequence[Check]:
    """What is wrong with one group; one that is not there is told by `log groups`."""
    checks = []
    if retention_days != group.retention_days:
        kept = "for ever" if retention_days is None else f"for {retention_days} days"
        checks.append(
            Check(
                "retention",
                "failed",
                f"{group.name} keeps {kept}, and not {group.retention_days} days",
                "deploy the data stack again",
            )
        )
    if key is None:
        checks.append(
            Check(
                "retention", "failed", f"{group.name} is under no key of ours", "deploy the data stack again"
            )
        )
    return checks
