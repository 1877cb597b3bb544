"""Retries, fallbacks, timeouts, circuits, limits, pings: what a client sees, and what is on the record."""

import asyncio
from typing import Any

import openai
import pytest

from harness.gateway import GatewayUnderTest, running_gateway, small_catalogue
from harness.held import hold
from harness.platform import eventually
from llmplatform.circuit import Circuit, CircuitRule
from llmplatform.invocation import Outcome
from sandbox.engines.scripted import Script
from sandbox.faults import Cut, Refuse, Stall, StreamException

HELLO: Any = [{"role": "user", "content": "hello"}]
THROTTLED = Refuse(status=429, error_type="ThrottlingException")


async def ask(gateway: GatewayUnderTest, model: str = "scripted-bedrock", **options: Any) -> str:
    """Ask, streaming or not, and return the text."""
    client = gateway.openai()
    if not options.pop("stream", False):
        reply = await client.chat.completions.create(model=model, messages=HELLO, **options)
        return reply.choices[0].message.content or ""
    pieces = []
    async for chunk in await client.chat.completions.create(
        model=model, messages=HELLO, stream=True, **options
    ):
        pieces += [choice.delta.content or "" for choice in chunk.choices]
    return "".join(pieces)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_throttle_is_tried_again_and_both_attempts_are_on_the_record(stream: bool) -> None:  # noqa: FBT001
    catalogue = small_catalogue(**{"scripted-bedrock": {"max_attempts": 3}})
    async with running_gateway(catalogue=catalogue) as gateway:
        gateway.runtime.scripts["scripted-bedrock"] = Script(
            text="here it is", faults=(Refuse(status=429, error_type="ThrottlingException", times=2),)
        )
        assert (await ask(gateway, stream=stream)).strip() == "here it is"
        record = await gateway.record()
        assert record.outcome is Outcome.COMPLETED
        assert [attempt.reason for attempt in record.attempts] == ["requested", "retry", "retry"]
        assert [attempt.error_type for attempt in record.attempts] == ["ThrottlingException"] * 2 + [None]
        assert record.attempts[0].usage.known() == {}


@pytest.mark.parametrize(
    "fault",
    [
        THROTTLED,
        Refuse(status=503, error_type="ServiceUnavailableException"),
        StreamException(exception_type="throttlingException"),
        Cut(after_events=0),
    ],
)
async def test_a_fallback_answers_where_the_model_cannot(fault: Any) -> None:
    catalogue = small_catalogue(**{"scripted-bedrock": {"fallbacks": ("scripted-openai",)}})
    async with running_gateway(catalogue=catalogue) as gateway:
        gateway.runtime.scripts["scripted-bedrock"] = Script(faults=(fault,))
        gateway.runtime.scripts["scripted-openai"] = Script(text="from the other")
        client = gateway.openai()
        async with client.chat.completions.stream(model="scripted-bedrock", messages=HELLO) as stream:
            final = await stream.get_final_completion()
        assert (final.choices[0].message.content or "").strip() == "from the other"
        assert final.model == "scripted-openai"
        record = await gateway.record()
        assert (record.requested_model_id, record.model_id) == ("scripted-bedrock", "scripted-openai")
        assert record.route_reason == "fallback"
        assert [attempt.model_id for attempt in record.attempts] == ["scripted-bedrock", "scripted-openai"]


async def test_nothing_is_tried_again_after_the_first_content() -> None:
    catalogue = small_catalogue(
        **{"scripted-bedrock": {"fallbacks": ("scripted-openai",), "max_attempts": 3}}
    )
    async with running_gateway(catalogue=catalogue) as gateway:
        gateway.runtime.scripts["scripted-bedrock"] = Script(
            faults=(StreamException(exception_type="throttlingException", after_events=5),), interval_ms=2
        )
        with pytest.raises(openai.APIError) as broken:
            await ask(gateway, stream=True)
        assert broken.value.code == "backend_throttled"
        assert len(gateway.runtime.calls) == 1
        record = await gateway.record()
        assert record.outcome is Outcome.BACKEND_FAILED
        assert record.output_chunks > 0


async def test_a_refused_request_is_not_tried_elsewhere_and_the_client_hears_why() -> None:
    catalogue = small_catalogue(**{"scripted-bedrock": {"fallbacks": ("scripted-openai",)}})
    async with running_gateway(catalogue=catalogue) as gateway:
        gateway.runtime.scripts["scripted-bedrock"] = Script(
            faults=(Refuse(status=400, error_type="ValidationException", message="too many images"),)
        )
        with pytest.raises(openai.BadRequestError, match="too many images") as refused:
            await ask(gateway)
        assert refused.value.code == "backend_rejected_request"
        assert len(gateway.runtime.calls) == 1


@pytest.mark.parametrize(
    ("timeouts", "script", "phase"),
    [
        ({"first_token_s": 0.3}, Script(ttft_ms=120_000), "first_token"),
        ({"idle_s": 0.3}, Script(interval_ms=1, faults=(Stall(after_events=6, seconds=120),)), "idle"),
        ({"total_s": 0.5}, Script(token_count=240, interval_ms=500), "total"),
    ],
)
async def test_each_timeout_fires_on_its_own(timeouts: dict[str, float], script: Script, phase: str) -> None:
    catalogue = small_catalogue(**{"scripted-bedrock": {"timeouts": {"connect_s": 60, **timeouts}}})
    async with running_gateway(catalogue=catalogue) as gateway:
        gateway.runtime.scripts["scripted-bedrock"] = script
        with pytest.raises(openai.APIError) as late:
            async with asyncio.timeout(60):  # the backend would take longer
                await ask(gateway, stream=True)
        assert late.value.code == "backend_timeout"
        record = await gateway.record()
        assert record.outcome is Outcome.BACKEND_FAILED
        assert record.attempts[-1].error_type == f"timeout_{phase}"
        assert (record.usage.input_tokens or 0) > 0


async def test_a_failing_model_opens_its_circuit_and_others_are_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for_long = CircuitRule(window_s=3_600, open_s=3_600)
    monkeypatch.setattr("gateway.calling.Circuit", lambda: Circuit(for_long))
    async with running_gateway() as gateway:
        gateway.runtime.scripts["scripted-bedrock"] = Script(
            faults=(Refuse(status=500, error_type="InternalServerException"),)
        )
        for _ in range(12):
            with pytest.raises(openai.APIStatusError):
                await ask(gateway)
        called = len(gateway.runtime.calls)
        assert called == 10
        record = await gateway.record(12)
        assert record.error_code == "backend_unavailable"
        assert record.attempts == ()
        other = await ask(gateway, "scripted-openai")
        assert other


async def test_a_tenant_over_its_limit_gets_429_and_other_tenants_are_served() -> None:
    async with running_gateway(max_in_flight=2) as gateway:
        go_on = hold(gateway.runtime, "scripted-bedrock", Script(token_count=2))
        other = gateway.openai(gateway.add_tenant("globex"))
        asked = [asyncio.create_task(ask(gateway)) for _ in range(6)]
        answering = asyncio.create_task(
            other.chat.completions.create(model="scripted-bedrock", messages=HELLO)
        )
        await eventually(lambda: sum(one.done() for one in asked) == 4 or None)
        go_on.set()
        theirs = await answering
        results = await asyncio.gather(*asked, return_exceptions=True)
        refused = [result for result in results if isinstance(result, openai.RateLimitError)]
        assert len(refused) == 4
        assert {error.code for error in refused} == {"tenant_concurrency_exceeded"}
        assert all(error.response.headers["retry-after"] == "1" for error in refused)
        assert theirs.choices[0].message.content
        assert gateway.gateway.in_flight.total == 0


async def test_a_permit_is_held_to_the_end_of_the_body() -> None:
    async with running_gateway(max_in_flight=1) as gateway:
        script = Script(token_count=20, interval_ms=1)
        go_on = hold(gateway.runtime, "scripted-bedrock", script, pieces=1)
        client = gateway.openai()
        first = await client.chat.completions.create(model="scripted-bedrock", messages=HELLO, stream=True)
        await anext(aiter(first))
        with pytest.raises(openai.RateLimitError):
            await ask(gateway)
        go_on.set()
        async for _ in first:
            pass
        await gateway.record(2)
        assert await ask(gateway)


async def test_the_whole_gateway_has_a_limit_too() -> None:
    async with running_gateway(settings={"max_in_flight": 3}) as gateway:
        go_on = hold(gateway.runtime, "scripted-bedrock", Script(token_count=2))
        asked = [asyncio.create_task(ask(gateway)) for _ in range(5)]
        await eventually(lambda: sum(one.done() for one in asked) == 2 or None)
        go_on.set()
        results = await asyncio.gather(*asked, return_exceptions=True)
        refused = [result for result in results if isinstance(result, openai.InternalServerError)]
        assert [(error.status_code, error.code) for error in refused] == [(503, "gateway_overloaded")] * 2


async def test_silence_is_filled_with_pings_that_no_client_minds() -> None:
    async with running_gateway(settings={"ping_s": 0.1}) as gateway:
        gateway.runtime.scripts["scripted-bedrock"] = Script(text="at last", ttft_ms=500)
        body = {"model": "scripted-bedrock", "messages": HELLO, "stream": True}
        async with gateway.http() as client:
            reply = await client.post("/v1/chat/completions", json=body)
        assert reply.text.startswith(": ping\n\n")
        assert reply.text.endswith("data: [DONE]\n\n")
        assert (await ask(gateway, stream=True)).strip() == "at last"


async def test_a_failure_after_pings_is_an_error_event() -> None:
    async with running_gateway(settings={"ping_s": 0.1}) as gateway:
        gateway.runtime.scripts["scripted-bedrock"] = Script(
            ttft_ms=400, faults=(StreamException(exception_type="modelStreamErrorException"),)
        )
        with pytest.raises(openai.APIError) as broken:
            await ask(gateway, stream=True)
        assert broken.value.code == "backend_model_error"


async def test_the_first_event_does_not_wait_for_the_second() -> None:
    async with running_gateway() as gateway:
        gateway.runtime.scripts["scripted-bedrock"] = Script(
            pieces=("first ", "second"), faults=(Stall(after_events=2, seconds=120),)
        )
        client = gateway.openai()
        stream = await client.chat.completions.create(model="scripted-bedrock", messages=HELLO, stream=True)
        first = await anext(aiter(stream))
        assert first.choices[0].delta.content == "first "
        assert gateway.runtime.calls_in_flight == 1
        await stream.close()
