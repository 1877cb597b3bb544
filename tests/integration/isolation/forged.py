"""Sessions, form tokens and load balancers' headers that are forged, or another's, for the console."""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from integration.isolation.balancer import ARN, OPERATORS, PREFIX, Balancer, changed
from integration.isolation.routes import Route
from integration.isolation.spellings import Headers, almost_keys
from integration.isolation.subjects import ATTACKER, Subject
from integration.isolation.trying import FORM, HTML, Case, ask_for, case
from integration.isolation.wire import Sent
from watch.console.door import CSRF_FIELD, CSRF_HEADER
from watch.console.sessions import SessionSeal

if TYPE_CHECKING:
    from integration.isolation.world import World

SESSION_KEY: Final = "a key that signs the sessions of these tests alone"
SEAL: Final = SessionSeal(SESSION_KEY.encode())
_OTHER_SEAL: Final = SessionSeal(b"another key, of as many characters as the right one")
_NONCE: Final = "0123456789abcdef" * 3
_HALF: Final = 12


def cases(route: Route) -> Iterator[Case]:
    """What is tried on a route that asks who looks."""

    def in_cookies(world: "World", of: Subject) -> Iterator[Sent]:
        for cookie in sessions(of, world.attacker, world.session_cookie).values():
            yield ask_for(route, world, of).with_headers(("Cookie", cookie))

    yield case(route, "sessions made of its and the own", in_cookies, 401)

    def from_balancers(world: "World", of: Subject) -> Iterator[Sent]:
        for headers in balancers_headers(world.balancer, of.tenant).values():
            yield ask_for(route, world, of).with_headers(*headers)

    yield case(route, "a load balancer's header, forged", from_balancers, 401)

    def in_groups(world: "World", of: Subject) -> Iterator[Sent]:
        for told in groups(of.tenant):
            yield ask_for(route, world, of).with_headers(world.balancer.signed_in(*told))

    yield case(route, "signed in, in groups called almost like its", in_groups, 403)
    if route.method == "POST":
        yield _tokens(route)
    elif route.word is not None:
        yield _own_session(route)


def login(route: Route) -> Case:
    """The form that opens a session, with what is almost a key."""

    def sends(world: "World", of: Subject) -> Iterator[Sent]:
        nonce = ("Cookie", f"watch_login_{world.console_port}={_NONCE}")
        for headers in almost_keys(of, world.attacker.key).values():
            scheme, _, key = headers[0][1].partition(" ")
            if len(headers) == 1 and scheme == "Bearer":
                sent = {CSRF_FIELD: SEAL.login_token(_NONCE), "key": key, "next": f"/tenants/{of.tenant}"}
                filled = Sent("POST", route.path, ask_for(route, world, of).headers, urlencode(sent))
                yield filled.with_headers(HTML, nonce)

    return case(route, "almost its key", sends, 401, answered="401, and the form again")


def _tokens(route: Route) -> Case:
    def sends(world: "World", of: Subject) -> Iterator[Sent]:
        own, right = world.session(world.attacker), world.attacker.csrf
        for token in ("", of.csrf, SEAL.login_token(of.csrf), right[:_HALF], "é"):
            sent = ask_for(route, world, of).with_headers(own)
            yield sent.with_headers((CSRF_HEADER, token))
            yield Sent("POST", sent.target, (own, FORM), urlencode({CSRF_FIELD: token}))
        for elsewhere in (("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")):
            yield ask_for(route, world, of).with_headers(own, (CSRF_HEADER, right), elsewhere)

    return case(route, "the own session, with its form's token, or from another site", sends, 403)


def _own_session(route: Route) -> Case:
    def sends(world: "World", of: Subject) -> Iterator[Sent]:
        for header in (world.session(world.attacker), world.balancer.signed_in(f"{PREFIX}{ATTACKER}")):
            yield ask_for(route, world, of).with_headers(header, HTML)

    return case(route, "the own session, and signed in, in the own group", sends, route.refused)


def sessions(of: Subject, own: Subject, name: str) -> Mapping[str, str]:
    """Cookies that are made of two sessions, by what is done; `name` is what the console calls its own."""
    own_body, _, own_mac = own.session.partition(".")
    body, _, mac = of.session.partition(".")
    told = _decoded(own_body)
    as_theirs = _encoded({**told, "tenant_id": of.tenant})
    as_operators = _encoded(
        {field: value for field, value in told.items() if field != "tenant_id"} | {"role": "operator"}
    )
    return {
        "its session under the own signature": f"{name}={body}.{own_mac}",
        "the own session under its signature": f"{name}={own_body}.{mac}",
        "the own session in its name": f"{name}={as_theirs}.{own_mac}",
        "the own session as an operator's": f"{name}={as_operators}.{own_mac}",
        "its session without a signature": f"{name}={body}.",
        "its session alone": f"{name}={body}",
        "its session cut": f"{name}={of.session[:-1]}",
        "signed by another key": f"{name}={body}.{_OTHER_SEAL.login_token(body)}",
        "signed as a login form's token": f"{name}={body}.{SEAL.login_token(body)}",
        "signed as a page's token": f"{name}={body}.{SEAL.csrf_token(body)}",
        "its session in a cookie of another name": f"watch_session={of.session}",
        "its session in a cookie by https": f"__Host-watch_session={of.session}",
        "its session in the cookie of another port": f"watch_session_1={of.session}",
        "a forged one behind the own": f"{name}={own.session}; {name}={body}.{own_mac}",
        "a forged one in quotes": f'{name}="{body}.{own_mac}"',
    }


def balancers_headers(alb: Balancer, tenant: str) -> Mapping[str, Headers]:
    """Headers as a load balancer adds them, that are none, by what is done."""
    group = f"{PREFIX}{tenant}"
    own = alb.signed_in(f"{PREFIX}{ATTACKER}")
    name, token = alb.signed_in(group)
    head, claims, _ = token.split(".")
    return {
        "signed by another key": (alb.signed_in(group, forged=True),),
        "the own with its group": (changed(own, group),),
        "the own with an operator's group": (changed(own, OPERATORS),),
        "without a signature": ((name, f"{head}.{claims}."),),
        "by no algorithm": (alb.signed_in(group, alg="none"),),
        "of another load balancer": (alb.signed_in(group, signer=f"{ARN}x"),),
        "of another identity provider": (alb.signed_in(group, iss="https://idp.evil.example"),),
        "for another client": (alb.signed_in(group, client="another"),),
        "expired": (alb.signed_in(group, exp=int(time.time()) - 1),),
        "by a key that nobody has": (alb.signed_in(group, kid="00000000-0000-0000-0000-000000000000"),),
        "two of them": (own, (name, token)),
        "its name alone": ((name, tenant),),
    }


def groups(tenant: str) -> Iterator[tuple[str, ...]]:
    """Groups that are not a tenant's."""
    yield ()
    yield (tenant,)
    yield (f"{PREFIX}{tenant.upper()}",)
    yield (f"{PREFIX.upper()}{tenant}",)
    yield (f"{PREFIX}{tenant} ",)
    yield (f" {PREFIX}{tenant}",)
    yield (f"{PREFIX}{ATTACKER},{PREFIX}{tenant}",)
    yield (f"{PREFIX}{ATTACKER}", f"{PREFIX}{tenant}")
    yield (f"{PREFIX}{tenant}\u200b",)
    yield (OPERATORS.upper(), f"{OPERATORS} ")


def _decoded(body: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return told


def _encoded(told: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(told, separators=(",", ":")).encode()).decode().rstrip("=")
