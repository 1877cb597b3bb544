"""What is tried on pages of the console alone: ids in every form, shared traces, filters, searches."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from integration.isolation import forged
from integration.isolation.routes import CONSOLE, route_of
from integration.isolation.spellings import bearer
from integration.isolation.subjects import ATTACKER, Subject
from integration.isolation.trying import HTML, OWN, Case, Compared, ask_for, case
from integration.isolation.wire import Sent

if TYPE_CHECKING:
    from integration.isolation.world import World


def cases() -> Iterator[Case]:
    """Of all pages."""
    yield forged.login(route_of(CONSOLE, "POST", "/login"))
    yield from _of_traces()
    yield from _of_requests()
    yield _asked(
        "/alarms",
        "its alarms by name and state",
        ("?name={tenant}&state=", "?state=ALARM&parts=yes&name={tenant}", "?about={alarm}"),
        200,
        answered="200, none of its",
        compared="in form",
    )
    yield _asked(
        "/runbooks/{name}",
        "read from its alarm",
        ("?about={alarm}",),
        200,
        target="/runbooks/cost",
        answered="200, with the name that was sent",
    )
    yield _asked(
        "/evaluations/{tenant_id}",
        "the own, with its model and its name in the parameters",
        (
            "?model={model}",
            "?tenant={tenant}&dimension=relevance",
            "?dimension={tenant}",
            "?epoch={tenant}",
        ),
        200,
        400,
        target=f"/evaluations/{ATTACKER}",
        answered=OWN,
        compared="in form",
    )


def _of_traces() -> Iterator[Case]:
    page = "/traces/{any_id}"
    forms = ("{hex}", "{xray}", "{request}", "chatcmpl-{request}", "CHATCMPL-{request}")
    yield _asked(page, "its ids in every form that an answer gives", forms, 404, 303, target="/traces/")
    yield _asked(page, "its trace id, with the log", ("?log=1",), 404, target="/traces/{trace}")
    yield _asked(
        page,
        "its trace id, which the attacker has used too",
        ("", "?log=1", "?format=csv&table=tokens-1"),
        200,
        target="/traces/{shared}",
        answered="200, as if no other request were under it",
        compared="in form",
    )
    content = route_of(CONSOLE, "POST", "/traces/{any_id}/content")

    def sends(world: "World", of: Subject) -> Iterator[Sent]:
        yield ask_for(content, world, of, "/traces/{shared}/content").with_headers(
            bearer(world.attacker.key), HTML
        )

    yield case(
        content,
        "its trace id, which the attacker has used too",
        sends,
        200,
        answered="200, what the own request said",
        compared="in form",
    )


def _of_requests() -> Iterator[Case]:
    page = "/requests"
    yield _asked(
        page,
        "its ids in the search",
        ("?q={trace}", "?q={request}", "?q={xray}", "?q=chatcmpl-{request}"),
        303,
        answered="303 to the page that then refuses",
    )
    yield _asked(
        page,
        "its name behind the own, with its cursor and with scores",
        (
            f"?tenant={ATTACKER}&tenant={{tenant}}",
            "?tenant={tenant}&after={after}",
            "?tenant={tenant}&score=5&dimension=relevance",
        ),
        404,
    )
    yield _asked(
        page,
        "the own, with its cursor, its model, its name in filters and search",
        (
            "?after={after}",
            "?after={after}&format=csv",
            f"?tenant={{tenant}}&tenant={ATTACKER}",
            "?model={model}",
            "?error={tenant}",
            "?q={tenant}",
        ),
        200,
        answered=OWN,
        compared="not",
    )


def _asked(
    path: str,
    tried: str,
    follows: tuple[str, ...],
    *statuses: int,
    target: str | None = None,
    answered: str | None = None,
    compared: Compared = "exactly",
) -> Case:
    """A page that is read with the own key and what follows its target, by a program and by a person."""
    route = route_of(CONSOLE, "GET", path)

    def sends(world: "World", of: Subject) -> Iterator[Sent]:
        for follow in follows:
            sent = ask_for(route, world, of, f"{path if target is None else target}{follow}")
            yield sent.with_headers(bearer(world.attacker.key))
            yield sent.with_headers(bearer(world.attacker.key), HTML)

    return case(route, tried, sends, *statuses, answered=answered, compared=compared)
