"""The load balancer's header: what it signs comes in, and nothing that only looks like it."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import APIRouter, Response

from harness.console import OPERATOR_KEY, Console, console
from llmplatform.errors import Forbidden, Unauthenticated
from llmplatform.testing import START
from watch.console.oidc import HEADER, OidcRules, key_id, viewer_of
from watch.console.pages.asking import SignedIn
from watch.console.parts import ConsoleParts

ARN = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/watch/50dc6c495c0c9188"
ISSUER = "https://idp.example.com"
KID = "12345678-1234-1234-1234-123456789012"
KEY, OTHER_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
EXPIRES_S = int((START + timedelta(minutes=2)).timestamp())
RULES = OidcRules(
    signer=ARN,
    issuer=ISSUER,
    client_id="watch",
    operator_group="sre",
    billing_group="finance",
    tenant_group_prefix="tenant-",
)
CLAIMS = {"sub": "u-1", "email": "ann@example.com", "groups": ["sre"], "exp": EXPIRES_S, "iss": ISSUER}
JOSE = {
    "typ": "JWT",
    "kid": KID,
    "alg": "ES256",
    "iss": ISSUER,
    "client": "watch",
    "signer": ARN,
    "exp": EXPIRES_S,
}


def token(*, key: Any = KEY, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token as a load balancer makes it: with the padding that no other JWT has."""
    parts = [_padded({**JOSE, **(header or {})}), _padded({**CLAIMS, **claims})]
    signed = ".".join(parts).encode()
    raw = jwt.get_algorithm_by_name("ES256").sign(signed, key)
    return f"{signed.decode()}.{base64.urlsafe_b64encode(raw).decode()}"


def _padded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def test_the_load_balancers_own_padding_is_part_of_what_it_signs() -> None:
    for sub in ("u-1", "u-12", "u-123"):
        made = token(sub=sub)
        assert key_id(made, RULES, START) == KID
        assert viewer_of(made, PEM, RULES, START).name == f"operator:oidc:{sub}"
    assert any(part.endswith("=") for sub in ("u-1", "u-12", "u-123") for part in token(sub=sub).split("."))


@pytest.mark.parametrize(
    "header",
    [
        {"signer": ARN.replace("50dc", "51dc")},
        {"signer": None},
        {"iss": "https://idp.evil.example"},
        {"client": "another"},
        {"exp": int(START.timestamp())},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 1e300},
        {"alg": "none"},
        {"alg": "HS256"},
        {"kid": "../../../evil"},
        {"kid": None},
        {"kid": ["x"]},
    ],
)
def test_a_header_that_is_not_our_load_balancers_costs_no_key(header: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        key_id(token(header=header), RULES, START)


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a.b.c", "é.é.é", "x" * 20_000, _padded(JOSE) + "..", "e30.e30.e30"]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(Unauthenticated):
        viewer_of(text, PEM, RULES, START)


def test_a_token_without_a_signature_says_nothing() -> None:
    head, body, _ = token().split(".")
    unsigned = _padded({**JOSE, "alg": "none"})
    for forged in (f"{head}.{body}.", f"{unsigned}.{body}."):
        with pytest.raises(Unauthenticated):
            viewer_of(forged, PEM, RULES, START)


def test_the_public_key_is_not_a_shared_secret() -> None:
    header = {**JOSE, "alg": "HS256"}
    signed = f"{_padded(header)}.{_padded(CLAIMS)}".encode()
    algorithm: Any = jwt.get_algorithm_by_name("HS256")
    mac = base64.urlsafe_b64encode(algorithm.sign(signed, PEM.encode())).decode()
    with pytest.raises(Unauthenticated):
        viewer_of(f"{signed.decode()}.{mac}", PEM, RULES, START)


def test_another_key_or_a_changed_claim_is_refused() -> None:
    head, _, signature = token().split(".")
    for forged in (token(key=OTHER_KEY), f"{head}.{_padded({**CLAIMS, 'sub': 'u-2'})}.{signature}"):
        with pytest.raises(Unauthenticated):
            viewer_of(forged, PEM, RULES, START)


def test_it_expires() -> None:
    made = token()
    viewer_of(made, PEM, RULES, START + timedelta(seconds=119))
    with pytest.raises(Unauthenticated):
        viewer_of(made, PEM, RULES, START + timedelta(seconds=120))
    with pytest.raises(Unauthenticated):
        viewer_of(token(exp=EXPIRES_S - 60), PEM, RULES, START + timedelta(seconds=60))


@pytest.mark.parametrize(
    ("groups", "seen"),
    [
        (["sre", "tenant-acme"], ("operator", None)),
        ("finance, others", ("billing", None)),
        (["tenant-acme"], ("tenant", "acme")),
    ],
)
def test_groups_are_roles(groups: object, seen: tuple[str, str | None]) -> None:
    viewer = viewer_of(token(groups=groups), PEM, RULES, START)
    assert (viewer.role, viewer.tenant_id) == seen


@pytest.mark.parametrize(
    "groups",
    [[], None, "sre2", {"sre": 1}, ["tenant-acme", "tenant-zeta"], ["tenant-"], ["tenant-../x"], [["sre"]]],
)
def test_who_is_in_no_group_that_sees_something_sees_nothing(groups: object) -> None:
    with pytest.raises(Forbidden):
        viewer_of(token(groups=groups), PEM, RULES, START)


class _Keys:
    async def key(self, kid: str) -> str:
        assert kid == KID
        return PEM


def pages(_: ConsoleParts) -> APIRouter:
    router = APIRouter()

    @router.get("/who")
    async def who(viewer: SignedIn) -> Response:
        return Response(viewer.name)

    @router.post("/change")
    async def change(viewer: SignedIn) -> Response:
        return Response(viewer.csrf_token)

    return router


@pytest_asyncio.fixture
async def behind() -> AsyncIterator[Console]:
    async with console(pages=(pages,), parts={"oidc": RULES, "alb_keys": _Keys()}) as whole:
        yield whole


async def test_behind_a_load_balancer_its_header_signs_in(behind: Console) -> None:
    async with behind.browser(**{HEADER: token()}) as browser:
        assert (await browser.get("/who")).text == "operator:oidc:u-1"
        assert (await browser.post("/change")).status_code == 403
        csrf = behind.parts.seal.csrf_token("operator:oidc:u-1")
        assert (await browser.post("/change", data={"csrf_token": csrf})).status_code == 200


async def test_a_bad_header_is_not_made_good_by_a_key(behind: Console) -> None:
    for forged in (token(key=OTHER_KEY), "", "x"):
        async with behind.browser(key=OPERATOR_KEY, **{HEADER: forged}) as browser:
            assert (await browser.get("/who")).status_code == 401
    async with behind.browser() as browser:
        twice = [(HEADER, token()), (HEADER, token())]
        assert (await browser.get("/who", headers=twice)).status_code == 401


async def test_without_a_load_balancer_its_header_says_nothing() -> None:
    async with console(pages=(pages,)) as made, made.browser(**{HEADER: token()}) as browser:
        assert (await browser.get("/who", headers={"accept": "*/*"})).status_code == 401
