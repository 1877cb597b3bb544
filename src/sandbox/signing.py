"""Checks the signature of an AWS request with botocore's own signer, as the service would.

Knows two access keys, neither a secret: the runtimes' own and the emulator's, so that one environment
serves both. What signs requests lives elsewhere.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sandbox.emulator import CREDENTIALS as EMULATOR_CREDENTIALS
from sandbox.refusals import Refusal

DUMMY_ACCESS_KEY = "sandbox"
DUMMY_SECRET_KEY = "sandbox"  # noqa: S105 - the sandbox's dummy, good for nothing
_CLOCK_SKEW = timedelta(minutes=5)
_UNSIGNED = "UNSIGNED-PAYLOAD"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/,]+)/(?P<date>\d{8})/(?P<region>[a-z0-9-]+)"
    r"/(?P<service>[a-z0-9-]+)/aws4_request, ?SignedHeaders=(?P<headers>[a-z0-9;-]+)"
    r", ?Signature=(?P<signature>[0-9a-f]{64})"
)


def _known_keys() -> dict[str, str]:
    return {
        DUMMY_ACCESS_KEY: DUMMY_SECRET_KEY,
        EMULATOR_CREDENTIALS.access_key: EMULATOR_CREDENTIALS.secret_key,
    }


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """What is demanded of signatures: secrets by access key.

    Without ``verify``, only that there is a signature for the service.
    """

    secret_keys: Mapping[str, str] = field(default_factory=_known_keys)
    verify: bool = True

    def demand(
        self, *, service: str, method: str, raw_path: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Return if the request is signed for the service.

        ``headers`` must not care for case, ``raw_path`` be as the wire had it. Raises Refusal, 403,
        with the type that AWS names for what is wrong.
        """
        authorization = headers.get("Authorization")
        if authorization is None:
            raise Refusal(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        found = _AUTHORIZATION.fullmatch(authorization)
        if found is None:
            raise Refusal(403, "IncompleteSignatureException", "Authorization header is not a SigV4 one")
        if found["service"] != service:
            raise _mismatch(f"Credential should be scoped to correct service: '{service}'.")
        if not self.verify:
            return
        secret_key = self.secret_keys.get(found["key"])
        if secret_key is None:
            raise Refusal(
                403,
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            )
        timestamp = headers.get("X-Amz-Date", "")
        _demand_recent(timestamp, found["date"])
        _demand_true_body(headers.get("X-Amz-Content-SHA256"), body)
        signed_names = found["headers"].split(";")
        if "host" not in signed_names:
            raise _mismatch("'Host' must be a 'SignedHeader' in the AWS Authorization.")
        request = AWSRequest(
            method=method,
            url=f"http://{headers.get('Host', '')}{raw_path}",
            headers={name: headers.get(name, "") for name in signed_names},
            data=body,
        )
        request.context["timestamp"] = timestamp
        signer = SigV4Auth(Credentials(found["key"], secret_key), service, found["region"])
        to_sign = signer.string_to_sign(request, signer.canonical_request(request))
        if not hmac.compare_digest(signer.signature(to_sign, request), found["signature"]):
            raise _mismatch("The request signature we calculated does not match the one you provided.")


def _demand_recent(timestamp: str, scope_date: str) -> None:
    try:
        signed_at = datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refusal(403, "IncompleteSignatureException", "X-Amz-Date is missing or malformed") from None
    if not timestamp.startswith(scope_date):
        raise _mismatch("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date.")
    if abs(datetime.now(UTC) - signed_at) > _CLOCK_SKEW:
        raise _mismatch(f"Signature expired: {timestamp} is too far from now.")


def _demand_true_body(declared: str | None, body: bytes) -> None:
    if declared is not None and declared not in {_UNSIGNED, sha256(body).hexdigest()}:
        raise _mismatch("The provided x-amz-content-sha256 does not match what was computed.")


def _mismatch(message: str) -> Refusal:
    return Refusal(403, "InvalidSignatureException", message)
