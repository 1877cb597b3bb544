from datetime import UTC, datetime, timedelta

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from multidict import CIMultiDict

from sandbox.refusals import Refusal
from sandbox.signing import DUMMY_SECRET_KEY, SignatureCheck

PATH = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.m/converse"
BODY = b'{"messages": []}'


def signed(
    service: str = "bedrock", *, key: str = "sandbox", secret: str = DUMMY_SECRET_KEY
) -> CIMultiDict[str]:
    request = AWSRequest("POST", f"http://host:1{PATH}", data=BODY, headers={"Host": "host:1"})
    SigV4Auth(Credentials(key, secret), service, "us-east-1").add_auth(request)
    return CIMultiDict(request.headers.items())


def demand(headers: CIMultiDict[str], *, path: str = PATH, body: bytes = BODY, verify: bool = True) -> None:
    check = SignatureCheck(verify=verify)
    check.demand(service="bedrock", method="POST", raw_path=path, headers=headers, body=body)


def refusal(headers: CIMultiDict[str], *, path: str = PATH, body: bytes = BODY) -> str:
    with pytest.raises(Refusal) as refused:
        demand(headers, path=path, body=body)
    assert refused.value.status == 403
    return refused.value.error_type


def test_botocores_own_signature_passes_with_either_key() -> None:
    demand(signed())
    demand(signed(key="test", secret="test"))


def test_no_signature_is_no_token() -> None:
    assert refusal(CIMultiDict()) == "MissingAuthenticationTokenException"


def test_another_secret_another_service_and_another_key_are_told_apart() -> None:
    assert refusal(signed(secret="wrong")) == "InvalidSignatureException"
    assert refusal(signed("sagemaker")) == "InvalidSignatureException"
    assert refusal(signed(key="stranger")) == "UnrecognizedClientException"


def test_a_changed_path_or_body_breaks_the_signature() -> None:
    assert refusal(signed(), path=PATH + "-stream") == "InvalidSignatureException"
    assert refusal(signed(), body=b"{}") == "InvalidSignatureException"


def test_an_old_signature_has_expired() -> None:
    headers = signed()
    old = (datetime.now(UTC) - timedelta(minutes=10)).strftime("%Y%m%dT%H%M%SZ")
    headers["X-Amz-Date"] = old
    assert refusal(headers) == "InvalidSignatureException"


def test_a_runtime_that_does_not_verify_still_wants_the_right_service() -> None:
    demand(signed(secret="wrong"), verify=False)
    with pytest.raises(Refusal):
        demand(signed("sagemaker"), verify=False)
