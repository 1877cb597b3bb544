"""Application inference profiles, told by the SDK's own client from a server that answers as Bedrock does.

The emulator's profiles are of no use here: a copy lists what it was copied from, where AWS lists models.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from aiohttp import web

from costagg.profiles import ProfileResolver, price_key_of_models, resolved
from costagg.usage import CallKey, Calls, HourUsage
from llmplatform.aws.sessions import aws_session
from llmplatform.aws.sigv4 import Credentials
from llmplatform.prices import load_prices

HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/"
DAY = date(2026, 11, 24)


def models(*regions: str, model: str = HAIKU) -> list[str]:
    return [f"arn:aws:bedrock:{region}::foundation-model/{model}" for region in regions]


COPIES = {
    "in-region": models("us-east-1"),
    "geo": models("us-east-1", "us-east-2", "us-west-2"),
    "global": models("", "us-east-1"),
}


class Bedrock:
    """`GetInferenceProfile` over REST JSON, with the faults that the service documents."""

    def __init__(self, profiles: dict[str, list[str]]) -> None:
        self.profiles = profiles
        self.asked: list[str] = []
        self.fault: tuple[int, str] | None = None
        self._runner: web.AppRunner | None = None

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @asynccontextmanager
    async def resolver(self) -> AsyncIterator[ProfileResolver]:
        application = web.Application()
        application.router.add_get("/inference-profiles/{identifier:.+}", self._answer)
        self._runner = runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        try:
            session = aws_session("us-east-1", Credentials("test", "test"))
            async with session.client("bedrock", endpoint_url=f"http://{host}:{port}") as client:
                yield ProfileResolver(client)
        finally:
            await self.stop()

    async def _answer(self, request: web.Request) -> web.Response:
        arn = request.match_info["identifier"]
        self.asked.append(arn)
        found = self.profiles.get(arn)
        status, fault = self.fault or (404, "ResourceNotFoundException")
        if self.fault or found is None:
            return web.json_response({"message": "no"}, status=status, headers={"x-amzn-ErrorType": fault})
        return web.json_response(
            {
                "inferenceProfileName": "support",
                "inferenceProfileArn": arn,
                "inferenceProfileId": arn.rpartition("/")[2],
                "models": [{"modelArn": model} for model in found],
                "status": "ACTIVE",
                "type": "APPLICATION",
                "createdAt": "2026-11-01T08:00:00Z",
            }
        )


def key(backend_model_id: str, price_key: str, endpoint_type: str = "bedrock") -> CallKey:
    return CallKey(
        tenant_id="acme",
        layer="inference",
        endpoint_type=endpoint_type,
        model_id="support",
        backend_model_id=backend_model_id,
        endpoint_name=None,
        price_key=price_key,
        service_tier="default",
        usage_source="reported",
    )


def usage(calls: dict[CallKey, Calls]) -> HourUsage:
    return HourUsage(datetime(2026, 11, 24, 10, tzinfo=UTC), "request-ledger", calls=calls)


@pytest.mark.parametrize("scope", COPIES)
async def test_a_profile_has_the_price_of_the_model_and_routing_that_it_was_copied_from(scope: str) -> None:
    bedrock = Bedrock({PROFILE + scope: COPIES[scope]})
    async with bedrock.resolver() as resolver:
        assert await resolver.price_key(PROFILE + scope) == f"anthropic.claude-haiku-4-5/{scope}"


async def test_a_profile_is_asked_for_once_and_a_models_own_id_never() -> None:
    bedrock = Bedrock({PROFILE + "geo": COPIES["geo"]})
    async with bedrock.resolver() as resolver:
        for _ in range(3):
            assert await resolver.price_key(PROFILE + "geo") == "anthropic.claude-haiku-4-5/geo"
            assert await resolver.price_key(f"eu.{HAIKU}") == "anthropic.claude-haiku-4-5/geo"
            assert await resolver.price_key("an-endpoint") is None
    assert bedrock.asked == [PROFILE + "geo"]


@pytest.mark.parametrize(
    "fault",
    [None, (403, "AccessDeniedException"), (400, "ValidationException"), (500, "InternalServerException")],
)
async def test_a_profile_that_nobody_can_tell_has_no_price_and_says_so_once(
    fault: tuple[int, str] | None, caplog: pytest.LogCaptureFixture
) -> None:
    bedrock = Bedrock({})
    bedrock.fault = fault
    async with bedrock.resolver() as resolver:
        with caplog.at_level(logging.WARNING, "costagg.profiles"):
            for _ in range(2):
                assert await resolver.price_key(PROFILE + "gone") is None
    assert [PROFILE + "gone" in record.getMessage() for record in caplog.records] == [True]


async def test_bedrock_that_cannot_be_reached_leaves_the_profile_without_a_price() -> None:
    bedrock = Bedrock({PROFILE + "geo": COPIES["geo"]})
    async with bedrock.resolver() as resolver:
        await bedrock.stop()
        assert await resolver.price_key(PROFILE + "geo") is None


@pytest.mark.parametrize(
    "routes",
    [
        [],
        [*models("us-east-1"), *models("us-west-2", model="amazon.nova-pro-v1:0")],
        ["arn:aws:bedrock:us-east-1:111122223333:custom-model/abcdefghijkl"],
        [f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.{HAIKU}"],
    ],
)
def test_routes_that_are_not_all_to_one_foundation_model_have_no_price(routes: list[str]) -> None:
    assert price_key_of_models(routes) is None


async def test_calls_through_a_profile_are_added_to_those_of_its_model_and_nothing_is_lost() -> None:
    """Two calls of one tenant, one through the profile, one by the geographic profile itself."""
    direct = key(PROFILE + "geo", "anthropic.claude-haiku-4-5/geo")
    through = key(PROFILE + "geo", "anthropic.claude-haiku-4-5/support")
    before = usage(
        {
            direct: Calls(1, {"input": 10, "cache_read": 1}, {"output": 1}),
            through: Calls(2, {"input": 5, "output": 7}, {"output": 1}),
        }
    )
    async with Bedrock({PROFILE + "geo": COPIES["geo"]}).resolver() as resolver:
        after = await resolved(before, load_prices(), resolver)
    assert after.calls == {direct: Calls(3, {"input": 15, "cache_read": 1, "output": 7}, {"output": 2})}
    assert before.calls[direct].requests == 1
    assert before.calls[through].requests == 2


async def test_what_is_known_is_not_asked_for_and_what_nobody_knows_stays_as_it_is() -> None:
    priced = key(PROFILE + "geo", "anthropic.claude-haiku-4-5/global")
    gone = key(PROFILE + "gone", "support/geo")
    endpoint = key("an.endpoint", "sagemaker/support", "sagemaker")
    misspelt = key(f"us.{HAIKU}", "support/goe")
    system = key(f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.{HAIKU}", "support/geo")
    before = usage({one: Calls(1, {"input": 1}) for one in (priced, gone, endpoint, misspelt, system)})
    bedrock = Bedrock({PROFILE + "geo": COPIES["geo"]})
    async with bedrock.resolver() as resolver:
        after = await resolved(before, load_prices(), resolver)
    told = replace(system, price_key="anthropic.claude-haiku-4-5/geo")
    assert set(after.calls) == {priced, gone, endpoint, misspelt, told}
    assert bedrock.asked == [PROFILE + "gone"]


async def test_a_profile_is_priced_neither_at_nothing_nor_by_default() -> None:
    """Langfuse issue 13325: profiles priced 0; litellm issue 30768: a geographic one as its base model."""
    prices = load_prices()
    async with Bedrock({PROFILE + scope: routes for scope, routes in COPIES.items()}).resolver() as resolver:
        costs = {}
        for scope in (*COPIES, "gone"):
            (told,) = (await resolved(usage({key(PROFILE + scope, "x"): Calls(1)}), prices, resolver)).calls
            found = prices.price_of(told.price_key, "input", at=DAY, region="us-east-1")
            costs[scope] = None if found is None else found.of(1_000_000)
    assert costs == {"in-region": None, "geo": Decimal("1.10"), "global": Decimal("1.00"), "gone": None}
