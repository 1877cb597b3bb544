"""How a process reaches AWS: bounded clients, endpoint addresses, credentials.

For all that is off the request path, clients of `aws_session`. The request path speaks to Bedrock,
SageMaker and DynamoDB over its own lean client, and needs of an SDK only two answers, given here: where
the service is (`endpoint_url`) and who we are (`CredentialSource`). Signing is in `sigv4`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Final, Self

import aioboto3
import botocore.session
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials, AioRefreshableCredentials
from aiobotocore.session import AioSession
from botocore.utils import parse_timestamp

from llmplatform.aws.sigv4 import Credentials
from llmplatform.errors import ConfigFault

logger = logging.getLogger(__name__)

# Every call ends: at worst 3 attempts of 5 s and two pauses. The service's own retry advice is followed
# (standard mode), with a quota that stops retrying when everything fails.
CONNECT_TIMEOUT_S: Final = 2
READ_TIMEOUT_S: Final = 5
TOTAL_ATTEMPTS: Final = 3
MAX_CONNECTIONS: Final = 50

# The SDK begins to refresh 15 minutes before temporary credentials expire and must have done so
# 10 minutes before: looking every minute leaves it several attempts.
CREDENTIAL_CHECK_S: Final = 60.0


def aws_session(region: str, credentials: Credentials | None = None) -> aioboto3.Session:
    """Open a session whose clients have bounded timeouts and retries, whatever their service.

    `session.client("ssm")` is typed and reads `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_<SERVICE>`
    itself. Without `credentials` the SDK's own chain finds them. Make one session a process, open clients
    at start-up and keep them: the first costs 100 ms.
    """
    core = AioSession()
    core.set_default_client_config(
        AioConfig(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": TOTAL_ATTEMPTS},
            max_pool_connections=MAX_CONNECTIONS,
            tcp_keepalive=True,
        )
    )
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=read_instant)
    if credentials is None:
        return aioboto3.Session(botocore_session=core, region_name=region)
    return aioboto3.Session(
        botocore_session=core,
        region_name=region,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.token,
    )


def read_instant(value: str | float) -> datetime:
    """Read a time of an answer, aware; raises ValueError when it is none.

    ISO instants, which CloudWatch writes by the thousand, are not left to the SDK's parser: measured, that is
    four fifths of what an answer with many datapoints costs.
    """
    if isinstance(value, str) and value[4:5] == "-":
        with contextlib.suppress(ValueError):
            found = datetime.fromisoformat(value)
            if found.tzinfo is not None:
                return found
    other: datetime = parse_timestamp(value)  # type: ignore[arg-type]  # it takes numbers too
    return other


def endpoint_url(service: str, region: str, environ: Mapping[str, str]) -> str:
    """Tell the base address of a service, without a slash at its end.

    `service` as boto3 names it: `bedrock-runtime`. The order is the SDKs': `AWS_ENDPOINT_URL_<SERVICE>`,
    `AWS_ENDPOINT_URL`, then the real hostname by botocore's own data. Reads files, so for start-up only.
    """
    own = "AWS_ENDPOINT_URL_" + service.upper().replace("-", "_")
    configured = environ.get(own) or environ.get("AWS_ENDPOINT_URL")
    if configured:
        return configured.rstrip("/")
    client = botocore.session.Session().create_client(
        service,
        region_name=region,
        aws_access_key_id="unused",
        aws_secret_access_key="unused",  # noqa: S106  # nothing is signed: only the address is asked for
        config=AioConfig(ignore_configured_endpoint_urls=True),
    )
    url: str = client.meta.endpoint_url
    client.close()
    return url.rstrip("/")


class CredentialSource:
    """Current credentials without waiting: refreshed beside the request path, never on it.

    `async with await CredentialSource.of(session) as source: source.current()`. If a refresh fails, the last
    ones stay (they are good for ten minutes or more) and `failed_refreshes` counts.
    """

    def __init__(
        self,
        provider: AioCredentials | AioRefreshableCredentials,
        *,
        check_every_s: float = CREDENTIAL_CHECK_S,
    ) -> None:
        self._provider = provider
        self._check_every_s = check_every_s
        self._current: Credentials | None = None
        self._task: asyncio.Task[None] | None = None
        self.failed_refreshes = 0

    @classmethod
    async def of(cls, session: aioboto3.Session, *, check_every_s: float = CREDENTIAL_CHECK_S) -> Self:
        """Find a session's credentials by the SDK's own provider chain.

        Raises ConfigFault where the chain finds none.
        """
        # aioboto3's own get_credentials goes through a synchronous shim; the session under it does not.
        provider = await session._session.get_credentials()  # noqa: SLF001
        if provider is None:
            raise ConfigFault("no AWS credentials found: set AWS_PROFILE, or give the task a role")
        return cls(provider, check_every_s=check_every_s)

    async def __aenter__(self) -> Self:
        """Fetch them once, then keep them fresh."""
        self._current = await self._frozen()
        self._task = asyncio.create_task(self._refresh_for_ever(), name="aws-credentials")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop refreshing."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def current(self) -> Credentials:
        """Return the credentials to sign with now."""
        if self._current is None:
            raise RuntimeError("the credential source is not open")
        return self._current

    async def _frozen(self) -> Credentials:
        frozen = await self._provider.get_frozen_credentials()
        if frozen.access_key is None or frozen.secret_key is None:
            raise ConfigFault("the AWS credential provider gave no key")
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    async def _refresh_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._check_every_s)
            try:
                self._current = await self._frozen()
            except Exception:  # providers raise anything, from botocore's errors to those of a subprocess
                self.failed_refreshes += 1
                logger.warning("credentials not refreshed", exc_info=True)
