"""How each look at an account ends: with its checks, or with why it could not be made."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import aioboto3
from botocore.exceptions import BotoCoreError, ClientError

from llmplatform.aws.refusals import error_code
from operator_cli.check import Check

BILLING_REGION: Final = "us-east-1"
"""Where the APIs of billing are, whatever region the platform is in."""
_DENIED: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"}
)


@dataclass(frozen=True, slots=True)
class Look:
    """One subject: its name in the list, what it must be allowed, and the asking."""

    name: str
    actions: str
    """IAM actions, as a person adds them to a policy."""
    ask: Callable[[aioboto3.Session], Awaitable[Sequence[Check]]]


async def looked(look: Look, session: aioboto3.Session) -> AsyncIterator[Check]:
    """The checks of a look, or the one that says why it could not be made."""
    try:
        checks = await look.ask(session)
    except ClientError as error:
        yield unread(look, error)
    except BotoCoreError as error:
        yield Check(look.name, "failed", str(error), "check the network, the region and the credentials")
    else:
        for check in checks:
            yield check


def unread(look: Look, error: ClientError) -> Check:
    """What is told where AWS refused to answer: what is not known is no failure of what was asked about."""
    code = error_code(error) or "no code"
    if code in _DENIED:
        return Check(look.name, "warning", "unknown: these credentials may not look", f"allow {look.actions}")
    return Check(look.name, "warning", f"unknown: {code}", "try again; if it stays, ask AWS support")
