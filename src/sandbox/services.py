"""Where each service of the laptop's AWS is: in the sandbox's own emulator, or most in one that runs already.

CloudWatch and its logs stay the sandbox's in either case, with what belongs to alarms: no emulator evaluates
those as AWS does, and ours tells SNS from within. What another one has and lacks is in `docs/substrates.md`;
what none has is in the other rooms of this package.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aioboto3
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.emulator import ACCOUNT_ID, Emulator, EmulatorError, client_environment
from sandbox.settings import SandboxSettings

_OF_WATCHING: Final = ("CLOUDWATCH", "CLOUDWATCH_LOGS", "RESOURCE_GROUPS_TAGGING_API", "SNS", "SQS")


@dataclass(frozen=True, slots=True)
class Services:
    """Two addresses, or one."""

    url: str
    """Of every service that has none of its own."""
    watching_url: str
    """Of CloudWatch and its logs, of what alarms notify, and of the API that finds alarms by their tags."""

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point any AWS SDK there, with credentials that open nothing."""
        others = {} if self.url == self.watching_url else dict.fromkeys(_OF_WATCHING, self.watching_url)
        named = {f"AWS_ENDPOINT_URL_{service}": url for service, url in others.items()}
        return client_environment(self.url) | named


@contextlib.asynccontextmanager
async def serve_services(
    settings: SandboxSettings, state: Path, session: aioboto3.Session
) -> AsyncIterator[Services]:
    """Run the sandbox's emulator until the block ends. Raises EmulatorError, of a given one too."""
    given = settings.emulator_url
    account_id = ACCOUNT_ID if given is None else await _account_of(given, session)
    own = Emulator(state, host=settings.host, port=settings.aws_port, persist=True, account_id=account_id)
    async with own:
        yield Services(given or own.url, own.url)


async def _account_of(url: str, session: aioboto3.Session) -> str:
    """The account that an emulator is: what is in ours has the same, or no alarm would find its topic."""
    try:
        async with session.client("sts", endpoint_url=url) as sts:
            return (await sts.get_caller_identity())["Account"]
    except (BotoCoreError, ClientError) as error:
        raise EmulatorError(
            f"SANDBOX_EMULATOR_URL={url}: no AWS emulator answers there ({error}); start it first, or leave "
            "the variable out for the sandbox's own"
        ) from error
