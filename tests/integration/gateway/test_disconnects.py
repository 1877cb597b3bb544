"""A client that leaves: noticed before, during and after the first token, and the row still right."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from harness.gateway import GatewayUnderTest, running_gateway
from harness.held import hold
from harness.platform import eventually
from llmplatform.invocation import Outcome
from llmplatform.usage import UsageSource
from sandbox.engines.scripted import Script

HELLO = [{"role": "user", "content": "hello"}]
LONG = Script(token_count=50, interval_ms=1)


async def leave_once(
    gateway: GatewayUnderTest, model: str, seen: Callable[[], bool], *, stream: bool = True
) -> None:
    """Ask, and hang up once something is seen."""
    async with gateway.http() as client:
        request = asyncio.create_task(_read(client, model, events=1_000, stream=stream))
        await eventually(lambda: seen() or None)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)


async def leave_after(gateway: GatewayUnderTest, model: str, *, events: int) -> None:
    """Ask, read so many events of the body, and hang up."""
    async with gateway.http() as client:
        await _read(client, model, events=events, stream=True)


async def _read(client: httpx.AsyncClient, model: str, *, events: int, stream: bool) -> None:
    body = {"model": model, "messages": HELLO, "stream": stream}
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        async for line in response.aiter_lines():
            events -= line.startswith("data: ")
            if events <= 0:
                return


def heard_of(gateway: GatewayUnderTest, model: str) -> bool:
    """Whether the gateway has read the beginning of a model's answer."""
    return sum(gateway.gateway.serving.circuits[model]._calls) > 0


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", ["scripted-openai", "scripted-lmi", "scripted-tgi"])
async def test_sagemaker_is_cancelled_at_once_before_the_first_token(model: str, stream: bool) -> None:  # noqa: FBT001
    async with running_gateway() as gateway:
        hold(gateway.runtime, model, LONG)
        # vLLM's role preamble carries a running count already.
        continuous = model == "scripted-openai" and stream
        await leave_once(
            gateway,
            model,
            lambda: heard_of(gateway, model) if continuous else gateway.runtime.calls_in_flight == 1,
            stream=stream,
        )
        record = await gateway.record()
        assert record.outcome is Outcome.CLIENT_CANCELLED
        assert record.usage_source is (UsageSource.CONTINUOUS if continuous else UsageSource.ESTIMATED)
        assert record.usage.input_tokens is not None
        assert record.usage.input_tokens > 0
        await _upstream_closed(gateway)


async def test_sagemaker_is_cancelled_at_once_in_mid_stream() -> None:
    async with running_gateway() as gateway:
        hold(gateway.runtime, "scripted-openai", LONG, pieces=3)
        await leave_after(gateway, "scripted-openai", events=3)
        record = await gateway.record()
        assert record.outcome is Outcome.CLIENT_CANCELLED
        assert record.usage_source in {UsageSource.CONTINUOUS, UsageSource.ESTIMATED}
        assert 0 < (record.usage.output_tokens or 0) < 50
        await _upstream_closed(gateway)


@pytest.mark.parametrize(("pieces", "stream"), [(0, True), (3, True), (0, False)])
async def test_bedrock_is_read_to_its_end_for_the_true_usage(pieces: int, stream: bool) -> None:  # noqa: FBT001
    async with running_gateway() as gateway:
        script = Script(token_count=40, interval_ms=1)
        go_on = hold(gateway.runtime, "scripted-bedrock", script, pieces=pieces)
        if pieces:
            await leave_after(gateway, "scripted-bedrock", events=pieces)
        else:
            in_flight = lambda: gateway.runtime.calls_in_flight == 1  # noqa: E731
            await leave_once(gateway, "scripted-bedrock", in_flight, stream=stream)
        await eventually(lambda: gateway.gateway.lifelines.drains == 1 or None)
        go_on.set()
        record = await gateway.record()
        assert record.outcome is Outcome.CLIENT_CANCELLED
        assert record.usage_source is UsageSource.DRAINED
        (call,) = gateway.runtime.calls
        assert call.billed is not None
        assert record.usage.output_tokens == call.billed.output_tokens == 40
        assert record.usage.input_tokens == call.billed.input_tokens


async def test_a_drain_that_takes_too_long_is_cut_and_estimated() -> None:
    async with running_gateway(settings={"drain_s": 0.2}) as gateway:
        hold(gateway.runtime, "scripted-bedrock", LONG, pieces=3)
        await leave_after(gateway, "scripted-bedrock", events=3)
        record = await gateway.record()
        assert record.outcome is Outcome.CLIENT_CANCELLED
        assert record.usage_source is UsageSource.ESTIMATED
        assert 0 < (record.usage.output_tokens or 0) < 50
        await _upstream_closed(gateway)


async def test_drains_are_bounded_in_number() -> None:
    async with running_gateway(settings={"max_drains": 2}) as gateway:
        go_on = hold(gateway.runtime, "scripted-bedrock", LONG, pieces=2)
        await asyncio.gather(*(leave_after(gateway, "scripted-bedrock", events=2) for _ in range(5)))
        lifelines = gateway.gateway.lifelines
        await eventually(lambda: lifelines.drains + lifelines.drains_refused == 5 or None)
        go_on.set()
        await gateway.record(5)
        sources = sorted(record.usage_source for record in gateway.records.items)
        assert sources == [UsageSource.DRAINED] * 2 + [UsageSource.ESTIMATED] * 3
        assert lifelines.drains == 0
        assert lifelines.drains_refused == 3


async def test_a_client_that_leaves_gets_no_retry() -> None:
    async with running_gateway() as gateway:
        go_on = hold(gateway.runtime, "scripted-bedrock", LONG)
        await leave_once(gateway, "scripted-bedrock", lambda: gateway.runtime.calls_in_flight == 1)
        await eventually(lambda: gateway.gateway.lifelines.drains == 1 or None)
        go_on.set()
        await gateway.record()
        assert len(gateway.runtime.calls) == 1


async def test_a_storm_of_cancels_leaves_nothing_behind() -> None:
    async with running_gateway() as gateway:
        gateway.runtime.scripts["scripted-openai"] = Script(token_count=50, ttft_ms=30, interval_ms=20)
        gateway.runtime.scripts["scripted-bedrock"] = Script(token_count=20, interval_ms=5)
        models = ["scripted-openai", "scripted-bedrock"] * 20
        await asyncio.gather(*(leave_after(gateway, model, events=2) for model in models))
        await gateway.record(len(models))
        assert gateway.gateway.in_flight.total == 0
        assert not gateway.gateway.lifelines.active
        answered = await gateway.openai().chat.completions.create(model="scripted-bedrock", messages=HELLO)  # type: ignore[arg-type]
        assert answered.choices[0].message.content


async def _upstream_closed(gateway: GatewayUnderTest) -> None:
    await eventually(lambda: gateway.runtime.calls_in_flight == 0 or None)
