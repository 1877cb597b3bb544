"""Whose account this is, and whether this machine's clock agrees with AWS's."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import aioboto3

from operator_cli.check import Check
from operator_cli.doctor_aws.looking import Look

CLOCK_WARNING_S: Final = 5.0
"""Metrics are cut into minutes: a clock that is off by more puts a minute's requests into the next one."""
CLOCK_REFUSED_S: Final = 300.0
"""AWS refuses signatures that are older or newer (Signature Version 4)."""


def identity_look(environ: Mapping[str, str]) -> Look:
    """The account and the clock: one call answers for both."""

    async def ask(session: aioboto3.Session) -> Sequence[Check]:
        async with session.client("sts") as sts:
            before = datetime.now(UTC)
            answer = await sts.get_caller_identity()
            after = datetime.now(UTC)
        told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return (
            account_check(answer["Account"], answer["Arn"], environ),
            clock_check(told, before + (after - before) / 2),
        )

    return Look("account", "sts:GetCallerIdentity", ask)


def account_check(account: str, arn: str, environ: Mapping[str, str]) -> Check:
    """Whether it is AWS that answers, and not a stand-in."""
    stand_in = environ.get("AWS_ENDPOINT_URL")
    if stand_in:
        return Check(
            "account",
            "warning",
            f"{account}, but {stand_in} answers in AWS's place",
            "unset AWS_ENDPOINT_URL and the like to look at the account itself",
        )
    return Check("account", "ok", f"{account} as {arn}")


def clock_check(told: str | None, here: datetime) -> Check:
    """How far the clock here is from the `Date` that AWS answered with, which has whole seconds."""
    fix = "let the machine take its time from a server (chrony, 169.254.169.123 on AWS)"
    if told is None:
        return Check("clock", "warning", "unknown: the answer had no date", fix)
    off_s = (here - parsedate_to_datetime(told)).total_seconds()
    found = f"{abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} AWS's"
    if abs(off_s) >= CLOCK_REFUSED_S:
        return Check("clock", "failed", f"{found}: signatures are refused", fix)
    if abs(off_s) > CLOCK_WARNING_S:
        return Check("clock", "warning", found, fix)
    return Check("clock", "ok", f"within {CLOCK_WARNING_S:.0f} s of AWS's")
