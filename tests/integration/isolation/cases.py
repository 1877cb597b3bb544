"""Everything that is tried: here on every route, in `at_apis` and `at_console` what is a route's own.

A case is sent with the words of a tenant, and with those of one that there is not. However it is answered,
nothing of a tenant may be told, and both answers have to be the same.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from integration.isolation import at_apis, at_console, forged, spellings
from integration.isolation.routes import CONSOLE, GATEWAY, ROUTES, Route
from integration.isolation.spellings import bearer
from integration.isolation.subjects import ATTACKER, Subject
from integration.isolation.trying import OWN, Case, ask_for, case, with_query
from integration.isolation.wire import Sent

if TYPE_CHECKING:
    from integration.isolation.world import World

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
_IN_QUERIES: Final = ("key", "api_key", "access_token", "authorization")
_FORMATS: Final = ("format=csv", "format=csv&table=models", "format=json", "cursor=x")
_ACCEPTED: Final = ("text/html", "text/csv", "application/json")
_NAMES: Final = {"tenant": "id", "model": "own model", "trace": "trace id", "alarm": "alarm"}


def cases() -> Iterator[Case]:
    """All of them."""
    for route in ROUTES:
        yield _without_a_key(route)
        yield _other_methods(route)
        if route.open_to != "anybody":
            yield _almost_its_key(route)
            if route.process == CONSOLE:
                yield from forged.cases(route)
        if route.open_to == "roles" and route.word is None:
            yield _own_key(route)
        if route.own is not None and route.open_to != "anybody":
            yield from _own_things(route, route.own)
        if route.word is not None:
            yield from _its_things(route, route.word)
    yield from at_apis.cases()
    yield from at_console.cases()


def _without_a_key(route: Route) -> Case:
    def sends(world: "World", of: Subject) -> Iterator[Sent]:
        sent = ask_for(route, world, of)
        yield sent
        yield sent.with_headers(*spellings.foreign_headers(of))
        for headers in spellings.claims(of.tenant).values():
            yield sent.with_headers(*headers)

    tried = "no key, with its name in headers"
    if route.open_to != "anybody":
        return case(route, tried, sends, 401)
    statuses = {"GET": (200, 404), "HEAD": (200, 404), "POST": (403,)}.get(route.method, (404,))
    return case(route, tried, sends, *statuses, answered="what everybody is answered")


def _other_methods(route: Route) -> Case:
    has = {one.method for one in ROUTES if (one.process, one.path) == (route.process, route.path)}

    def sends(world: "World", of: Subject) -> Iterator[Sent]:
        for method in _METHODS:
            if method not in has and "any" not in has:
                sent = replace(ask_for(route, world, of), method=method)
                yield sent.with_headers(bearer(world.attacker.key))

    return case(route, "the own key, other methods", sends, 405, 404, 403)


def _almost_its_key(route: Route) -> Case:
    def sends(world: "World", of: Subject) -> Iterator[Sent]:
        for headers in spellings.almost_keys(of, world.attacker.key).values():
            yield ask_for(route, world, of).with_headers(*headers)
        for name in _IN_QUERIES:
            yield with_query(ask_for(route, world, of), f"{name}={of.key}")

    return case(route, "almost its key", sends, 401)


def _own_key(route: Route) -> Case:
    def sends(world: "World", of: Subject) -> Iterator[Sent]:
        yield ask_for(route, world, of).with_headers(bearer(world.attacker.key))

    return case(route, "the own key", sends, route.refused)


def _own_things(route: Route, target: str) -> Iterator[Case]:
    def claimed(world: "World", of: Subject) -> Iterator[Sent]:
        for headers in spellings.claims(of.tenant).values():
            sent = ask_for(route, world, world.attacker, target)
            yield sent.with_headers(bearer(world.attacker.key), *headers)

    tried = "the own key, and its name in x-tenant-id"
    if route.process == GATEWAY:
        yield case(route, tried, claimed, 403)
    else:
        yield case(route, tried, claimed, 200, 303, 307, answered=OWN, compared="not")

    def asked(world: "World", of: Subject) -> Iterator[Sent]:
        sent = ask_for(route, world, world.attacker, target).with_headers(bearer(world.attacker.key))
        yield sent.with_headers(*spellings.foreign_headers(of), ("If-None-Match", of.etag))
        for accept in _ACCEPTED:
            yield sent.with_headers(("Accept", accept))
        for query in (*_FORMATS, f"tenant_id={of.tenant}", f"tenant={of.tenant}&owner={of.tenant}"):
            yield with_query(sent, query)
        yield replace(sent, target=f"{sent.target}#/../{of.tenant}")

    yield case(
        route,
        "the own, in every format, with its words in query, fragment and headers",
        asked,
        *(200, 303, 307, 400, 404),
        answered=OWN,
        compared="not",
    )


def _its_things(route: Route, word: str) -> Iterator[Case]:
    def spelled(world: "World", of: Subject) -> Iterator[Sent]:
        for spell in spellings.IDS.values():
            words = {**of.words, word: spell(of.words[word])}
            sent = replace(ask_for(route, world, of), target=route.asked.format(**words, days=world.days))
            yield sent.with_headers(bearer(world.attacker.key))

    statuses = [route.refused]
    if route.refused == 303:  # to another page of ours, whatever is asked for; a slash too many is no page
        statuses.append(404)
    elif word == "trace":  # in another form: to the one that gets the 404
        statuses.append(303)
    elif "?" in route.asked.partition("{")[0]:  # what no id looks like is told so
        statuses.append(400)
    yield case(route, f"the own key, its {_NAMES[word]} in the address", spelled, *statuses)

    def in_formats(world: "World", of: Subject) -> Iterator[Sent]:
        sent = ask_for(route, world, of).with_headers(bearer(world.attacker.key))
        for accept in _ACCEPTED:
            yield sent.with_headers(("Accept", accept))
        yield sent.with_headers(("If-None-Match", of.etag))
        yield sent.with_headers(("If-None-Match", "*"), *spellings.foreign_headers(of))
        for query in (*_FORMATS, f"tenant_id={ATTACKER}"):
            yield with_query(sent, query)

    yield case(
        route, "the same in every format, with its ETag and other parameters", in_formats, route.refused
    )
