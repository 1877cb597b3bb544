"""A load balancer that signs people in: the header that it adds, and the endpoint of its public keys."""

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from watch.console.oidc import ALGORITHM, HEADER

ARN: Final = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/watch/50dc6c495c0c9188"
ISSUER: Final = "https://idp.example.com"
CLIENT: Final = "watch"
PREFIX: Final = "tenant-"
OPERATORS: Final = "sre"
KID: Final = "12345678-1234-1234-1234-123456789012"
_FOR_S: Final = 600


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Balancer:
    """It, with a key that the endpoint tells, and one that it does not."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=_key, repr=False)
    other_key: ec.EllipticCurvePrivateKey = field(default_factory=_key, repr=False)
    keys_url: str = ""

    def environment(self) -> dict[str, str]:
        """What a console behind it is told."""
        return {
            "WATCH_ALB_ARN": ARN,
            "WATCH_ALB_KEYS_URL": self.keys_url,
            "WATCH_OIDC_ISSUER": ISSUER,
            "WATCH_OIDC_CLIENT_ID": CLIENT,
            "WATCH_OIDC_OPERATOR_GROUP": OPERATORS,
            "WATCH_OIDC_TENANT_GROUP_PREFIX": PREFIX,
        }

    def signed_in(self, *groups: str, forged: bool = False, **head: Any) -> tuple[str, str]:
        """The header of a person in these groups; `forged` is not its own, `head` replaces what it says."""
        expires_s = int(time.time()) + _FOR_S
        told = {
            "typ": "JWT",
            "kid": KID,
            "alg": ALGORITHM,
            "iss": ISSUER,
            "client": CLIENT,
            "signer": ARN,
            "exp": expires_s,
            **head,
        }
        claims = {"sub": "u-1", "groups": list(groups), "exp": expires_s, "iss": ISSUER}
        signed = f"{_padded(told)}.{_padded(claims)}"
        made = jwt.get_algorithm_by_name(ALGORITHM).sign(
            signed.encode(), self.other_key if forged else self.key
        )
        return HEADER, f"{signed}.{base64.urlsafe_b64encode(made).decode()}"


def changed(header: tuple[str, str], *groups: str) -> tuple[str, str]:
    """A header whose claims were exchanged, under the signature that it had."""
    head, claims, signature = header[1].split(".")
    told = json.loads(base64.urlsafe_b64decode(claims))
    return header[0], f"{head}.{_padded({**told, 'groups': list(groups)})}.{signature}"


@asynccontextmanager
async def balancer() -> AsyncIterator[Balancer]:
    """One whose public key can be had."""
    made = Balancer()
    pem = made.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    async def answer(request: web.Request) -> web.Response:
        known = request.match_info["kid"] == KID
        return web.Response(text=pem) if known else web.Response(status=404)

    app = web.Application()
    app.router.add_get("/{kid}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.keys_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield made
    finally:
        await runner.cleanup()


def _padded(told: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(told).encode()).decode()
