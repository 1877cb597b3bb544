"""What is tried on the gateway and the billing API alone: trace ids, labels, models, cursors, ETags."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from integration.isolation.filling import PAGED
from integration.isolation.routes import BILLING, CHAT, CHAT_BODY, COSTS, GATEWAY, Route, route_of
from integration.isolation.spellings import bearer
from integration.isolation.subjects import ATTACKER, Subject
from integration.isolation.trying import Case, ask_for, case
from integration.isolation.wire import Sent

if TYPE_CHECKING:
    from integration.isolation.world import World

_Sends = Callable[["World", Subject, str], Iterator[Sent]]
"""On the costs of an owner."""


def cases() -> Iterator[Case]:
    """Of both."""
    yield from _of_chat(route_of(GATEWAY, "POST", CHAT))
    yield from _of_costs(route_of(BILLING, "GET", COSTS))


def _of_chat(chat: Route) -> Iterator[Case]:
    def asked(world: "World", of: Subject, body: str = CHAT_BODY) -> Sent:
        sent = ask_for(chat, world, of).with_headers(bearer(world.attacker.key))
        return replace(sent, body=body)

    def traced(world: "World", of: Subject) -> Iterator[Sent]:
        trace, hexadecimal = of.spent_trace, of.spent_trace.replace("-", "")
        for given in (trace, trace.upper(), f" {trace} "):
            yield asked(world, of).with_headers(("X-Trace-Id", given))
        for flags in ("00", "01", "ff"):
            parent = f"00-{hexadecimal}-00f067aa0ba902b7-{flags}"
            yield asked(world, of).with_headers(("Traceparent", parent))
        xray = f"Root=1-{hexadecimal[:8]}-{hexadecimal[8:]};Sampled=1"
        yield asked(world, of).with_headers(("X-Amzn-Trace-Id", xray))

    own = "200, the own answer"
    yield case(chat, "under its trace id", traced, 200, answered=own, compared="in form")

    def labelled(world: "World", of: Subject) -> Iterator[Sent]:
        for label in ("user", "safety_identifier", "prompt_cache_key"):
            yield asked(world, of, f'{CHAT_BODY[:-1]},"{label}":"{of.tenant}"}}')
        metadata = f'"metadata":{{"tenant_id":"{of.tenant}","request_id":"{of.request}"}}'
        yield asked(world, of, f"{CHAT_BODY[:-1]},{metadata}}}")

    yield case(chat, "its name as a label in the body", labelled, 200, answered=own, compared="in form")

    def same_prompt(world: "World", of: Subject) -> Iterator[Sent]:
        for _ in range(2):
            yield asked(world, of, CHAT_BODY.replace("plain", of.secret))

    yield case(chat, "the very prompt that it has sent", same_prompt, 200, answered=own, compared="in form")

    def tuned(world: "World", of: Subject) -> Iterator[Sent]:
        for model in (of.model, of.model.upper(), f" {of.model}", f"{of.model}/", f"bedrock/{of.model}"):
            for stream in ("false", "true"):
                body = CHAT_BODY.replace("scripted-bedrock", model)
                yield asked(world, of, f'{body[:-1]},"stream":{stream}}}')

    yield case(chat, "the model that it alone may use", tuned, 404)


def _of_costs(costs: Route) -> Iterator[Case]:
    def asked(world: "World", of: Subject, owner: str, query: str = "") -> Sent:
        target = f"/v1/tenants/{owner}/costs?{{days}}{query}"
        return ask_for(costs, world, of, target).with_headers(bearer(world.attacker.key))

    def paged(world: "World", of: Subject, owner: str) -> Iterator[Sent]:
        query = "".join(f"&{name}={value}" for name, value in PAGED)
        yield asked(world, of, owner, f"{query}&cursor={{cursor}}")

    def twice(world: "World", of: Subject, owner: str) -> Iterator[Sent]:
        for query in (
            "from={tenant}",
            "model_id={model}&model_id=x",
            "tenant={tenant}",
            "tenant_id={tenant}",
        ):
            yield asked(world, of, owner, f"&{query}")

    for tried, sends in (("its cursor", paged), ("parameters twice, or unknown, with its words", twice)):

        def on_own(world: "World", of: Subject, sends: _Sends = sends) -> Iterator[Sent]:
            yield from sends(world, of, ATTACKER)

        def on_its(world: "World", of: Subject, sends: _Sends = sends) -> Iterator[Sent]:
            yield from sends(world, of, of.tenant)

        yield case(costs, f"{tried}, on the own costs", on_own, 400)
        yield case(costs, f"{tried}, on its costs", on_its, 404)

    def tagged(world: "World", of: Subject) -> Iterator[Sent]:
        for tag in (of.etag, f"W/{of.etag}", f'"x", {of.etag}'):
            yield asked(world, of, ATTACKER).with_headers(("If-None-Match", tag))

    yield case(costs, "its ETag, on the own costs", tagged, 200, answered="200, the own in full")
