"""Where an AWS runtime is and how a request to it is signed: what Bedrock and SageMaker share."""

from collections.abc import Mapping
from typing import Protocol

from yarl import URL

from llmplatform.aws.sigv4 import Credentials, Signer
from llmplatform.clock import Clock


class CurrentCredentials(Protocol):
    """Where credentials come from, without waiting (`aws.sessions.CredentialSource`)."""

    def current(self) -> Credentials:
        """The credentials to sign with now."""
        ...


class AwsRuntime:
    """One service in one region. `service` is its signing name: `bedrock`, `sagemaker`.

    `endpoint` is its base address, as `aws.sessions.endpoint_url` tells it.
    """

    def __init__(
        self, service: str, region: str, endpoint: str, credentials: CurrentCredentials, clock: Clock
    ) -> None:
        self._signer = Signer(service, region)
        self._credentials = credentials
        self._clock = clock
        base = URL(endpoint)
        self._endpoint = endpoint.rstrip("/")
        self._base_path = base.raw_path.rstrip("/")
        self._host = base.host_port_subcomponent or ""
        self._urls: dict[str, URL] = {}

    def url(self, path: str) -> URL:
        """The address of a path, which is percent-encoded already. There are few paths: all are kept."""
        found = self._urls.get(path)
        if found is None:
            found = self._urls[path] = URL(self._endpoint + path, encoded=True)
        return found

    def signed(self, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """The headers to send: the given ones and the signature over them."""
        signature = self._signer.sign(
            method="POST",
            host=self._host,
            path=self._base_path + path,
            headers=headers,
            body=body,
            credentials=self._credentials.current(),
            timestamp=self._clock.now().strftime("%Y%m%dT%H%M%SZ"),
        )
        return {**headers, **signature}
