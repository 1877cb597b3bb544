"""The signer against botocore, byte for byte, and against AWS's published example."""

import operator
from dataclasses import dataclass, field
from urllib.parse import quote

import pytest
from botocore import credentials as botocore_credentials
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmplatform.aws.sigv4 import Credentials, Signer

ADDED = ("X-Amz-Date", "X-Amz-Security-Token", "Authorization")
PROFILE_ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude"
KEYS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


@dataclass(frozen=True)
class Request:
    path: str
    method: str = "POST"
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    credentials: Credentials = KEYS


def by_botocore(request: Request) -> dict[str, str]:
    """What botocore adds to the same request, signed at its own time of day."""
    url = f"https://runtime.example.com{request.path}" + (f"?{request.query}" if request.query else "")
    copy = AWSRequest(method=request.method, url=url, headers=dict(request.headers), data=request.body)
    mine = request.credentials
    keys = botocore_credentials.Credentials(mine.access_key, mine.secret_key, mine.token)
    SigV4Auth(keys, "bedrock", "us-east-1").add_auth(copy)
    return {name: copy.headers[name] for name in ADDED if name in copy.headers}


plain = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="?#\\"), max_size=30)
segments = st.one_of(
    st.text(max_size=20).map(lambda text: quote(text, safe="")),
    plain,
    st.text(
        st.characters(min_codepoint=0xA1, max_codepoint=0x2FFF, exclude_categories=["Cs", "Cc"]), max_size=5
    ),
    st.sampled_from(["", ".", "..", "~", "model", "%2F", "a+b", "a;b=c"]),
)
paths = st.lists(segments, max_size=6).map(lambda parts: "/" + "/".join(parts))
queries = st.lists(
    st.sampled_from(["a", "a=", "a=1", "a-b=2", "a=%20", "b=c=d", "", "B=1", "~=x"]), max_size=4
).map("&".join)
header_names = st.sampled_from(
    [
        "Content-Type",
        "Accept",
        "X-Amzn-SageMaker-Inference-Component",
        "x-amzn-bedrock-accept",
        "X-Amzn-Trace-Id",
        "User-Agent",
        "Expect",
        "Transfer-Encoding",
    ]
)
header_values = st.one_of(
    st.sampled_from(["application/json", "  two   spaces  ", "a\tb"]),
    st.text(
        st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"]),
        min_size=1,
        max_size=30,
    ),
)
secrets = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60)


digests = st.sampled_from([{}, {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}])
requests = st.builds(
    Request,
    path=paths,
    method=st.sampled_from(["POST", "GET", "put"]),
    query=queries,
    headers=st.builds(operator.or_, st.dictionaries(header_names, header_values, max_size=5), digests),
    body=st.binary(max_size=200),
    credentials=st.builds(Credentials, secrets, secrets, st.none() | secrets),
)


@settings(deadline=None)
@given(requests)
@example(Request(path=f"/model/{quote(PROFILE_ARN, safe='')}/converse-stream"))
@example(
    Request(path="/model/m/converse", headers={"Content-Type": "application/json"}, body="世界".encode())
)
def test_agrees_with_botocore_byte_for_byte(to_sign: Request) -> None:
    expected = by_botocore(to_sign)
    signed = Signer("bedrock", "us-east-1").sign(
        method=to_sign.method,
        host="runtime.example.com",
        path=to_sign.path,
        query=to_sign.query,
        headers=to_sign.headers,
        body=to_sign.body,
        credentials=to_sign.credentials,
        timestamp=expected["X-Amz-Date"],
    )
    assert signed == expected


def sign_at(signer: Signer, timestamp: str, credentials: Credentials = KEYS) -> str:
    return signer.sign(
        method="GET",
        host="example.amazonaws.com",
        path="/",
        headers={},
        body=b"",
        credentials=credentials,
        timestamp=timestamp,
    )["Authorization"]


def test_signs_the_published_example() -> None:
    """`get-vanilla` of the Signature Version 4 test suite."""
    assert sign_at(Signer("service", "us-east-1"), "20150830T123600Z") == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, "
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    )


def test_a_kept_signing_key_serves_neither_another_day_nor_other_credentials() -> None:
    kept = Signer("service", "us-east-1")
    rotated = Credentials(KEYS.access_key, "another secret")
    for timestamp, keys in [
        ("20150830T235959Z", KEYS),
        ("20150831T000000Z", KEYS),
        ("20150831T000000Z", rotated),
        ("20150830T235959Z", KEYS),
    ]:
        assert sign_at(kept, timestamp, keys) == sign_at(Signer("service", "us-east-1"), timestamp, keys)


def test_an_empty_token_is_no_token() -> None:
    signed = Signer("service", "us-east-1").sign(
        method="GET",
        host="example.com",
        path="",
        headers={},
        body=b"",
        credentials=Credentials("a", "b", ""),
        timestamp="20150830T123600Z",
    )
    assert "X-Amz-Security-Token" not in signed
    assert "x-amz-security-token" not in signed["Authorization"]


@pytest.mark.parametrize("show", [repr, str])
def test_credentials_show_no_secret(show: type[str]) -> None:
    shown = show(Credentials("AKID", "hidden-secret", "hidden-token"))
    assert "AKID" in shown
    assert "hidden" not in shown
