from datetime import UTC, datetime, timedelta

from operator_cli.drill.requests import Outage, Request, Tally, tallies

BEGAN = datetime(2026, 11, 29, 20, 0, tzinfo=UTC)


def request(minute: float, *, model: str = "a", failure: str | None = None) -> Request:
    return Request(BEGAN + timedelta(minutes=minute), "acme", model, failure)


def test_requests_are_counted_by_tenant_and_model() -> None:
    asked = [request(1), request(2), request(1, model="b", failure="HTTP 503")]
    assert tallies(asked, ()) == (
        Tally("acme", "a", 2, 0, 0, ()),
        Tally("acme", "b", 1, 1, 1, (("HTTP 503", 1),)),
    )


def test_an_outage_explains_failures_of_its_own_model_and_time_only() -> None:
    outage = Outage("a", BEGAN, BEGAN + timedelta(minutes=5))
    within, after = request(3, failure="HTTP 500"), request(6, failure="HTTP 500")
    elsewhere = request(3, model="b", failure="HTTP 500")
    told = tallies([within, after, elsewhere], (outage,))
    assert [(one.model, one.failed, one.unexplained) for one in told] == [("a", 2, 1), ("b", 1, 1)]


def test_an_outage_covers_what_was_on_its_way_and_the_circuit_after_it() -> None:
    outage = Outage("a", BEGAN, BEGAN + timedelta(minutes=5))
    assert outage.covers(request(-0.4, failure="HTTP 500"))
    assert outage.covers(request(5.4, failure="HTTP 503"))
    assert not outage.covers(request(5.6, failure="HTTP 503"))


def test_an_outage_that_goes_on_has_no_end() -> None:
    assert Outage("a", BEGAN).covers(request(600, failure="HTTP 500"))
