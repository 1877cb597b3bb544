"""A client that leaves: noticed before, during and after the first token, and the row still right."""

import asyncio

import httpx
import pytest

from harness.gateway import GatewayUnderTest, running_gateway
from llmplatform.invocation import Outcome
from llmplatform.usage import UsageSource
from sandbox.engines.scripted import Script

HELLO = [{"role": "user", "content": "hello"}]
SLOW = Script(token_count=50, ttft_ms=30, interval_ms=20)
SILENT = Script(token_count=5, ttft_ms=30_000)


async def leave_after(gateway: GatewayUnderTest, model: str, *, chunks: int, stream: bool = True) -> None:
    """Ask, read so many pieces of the body, and hang up."""
    body = {"model": model, "messages": HELLO, "stream": stream}
    async with gateway.http() as client:
        request = asyncio.create_task(_read(client, body, chunks))
        if chunks == 0:
            await asyncio.sleep(0.2)
            request.cancel()
        await asyncio.gather(request, return_exceptions=True)


async def _read(client: httpx.AsyncClient, body: dict[str, object], chunks: int) -> None:
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        async for _ in response.aiter_raw():
            chunks -= 1
            if chunks <= 0:
                return


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", ["scripted-openai", "scripted-lmi", "scripted-tgi"])
async def test_sagemaker_is_cancelled_at_once_before_the_first_token(model: str, stream: bool) -> None:  # noqa: FBT001
    async with running_gateway() as gateway:
        gateway.runtime.scripts[model] = SILENT
        await leave_after(gateway, model, chunks=0, stream=stream)
        record = await gateway.record()
        assert record.outcome is Outcome.CLIENT_CANCELLED
        assert record.total_latency_ms < SILENT.ttft_ms
        # vLLM's role preamble carries a running count already.
        continuous = model == "scripted-openai" and stream
        assert record.usage_source is (UsageSource.CONTINUOUS if continuous else UsageSource.ESTIMATED)
        assert record.usage.input_tokens is not None
        assert record.usage.input_tokens > 0
        await _upstream_closed(gateway)


async def test_sagemaker_is_cancelled_at_once_in_mid_stream() -> None:
    async with running_gateway() as gateway:
        gateway.runtime.scripts["scripted-openai"] = SLOW
        await leave_after(gateway, "scripted-openai", chunks=3)
        record = await gateway.record()
        assert record.outcome is Outcome.CLIENT_CANCELLED
        assert record.usage_source in {UsageSource.CONTINUOUS, UsageSource.ESTIMATED}
        assert 0 < (record.usage.output_tokens or 0) < 50
        await _upstream_closed(gateway)


@pytest.mark.parametrize(("chunks", "stream"), [(0, True), (3, True), (0, False)])
async def test_bedrock_is_read_to_its_end_for_the_true_usage(chunks: int, stream: bool) -> None:  # noqa: FBT001
    async with running_gateway() as gateway:
        gateway.runtime.scripts["scripted-bedrock"] = Script(token_count=40, ttft_ms=300, interval_ms=10)
        await leave_after(gateway, "scripted-bedrock", chunks=chunks, stream=stream)
        record = await gateway.record()
        assert record.outcome is Outcome.CLIENT_CANCELLED
        assert record.usage_source is UsageSource.DRAINED
        (call,) = gateway.runtime.calls
        assert call.billed is not None
        assert record.usage.output_tokens == call.billed.output_tokens == 40
        assert record.usage.input_tokens == call.billed.input_tokens


async def test_a_drain_that_takes_too_long_is_cut_and_estimated() -> None:
    async with running_gateway(settings={"drain_s": 0.2}) as gateway:
        gateway.runtime.scripts["scripted-bedrock"] = Script(token_count=1_000, interval_ms=20)
        await leave_after(gateway, "scripted-bedrock", chunks=3)
        record = await gateway.record()
        assert record.outcome is Outcome.CLIENT_CANCELLED
        assert record.usage_source is UsageSource.ESTIMATED
        assert 0 < (record.usage.output_tokens or 0) < 1_000
        await _upstream_closed(gateway)


async def test_drains_are_bounded_in_number() -> None:
    async with running_gateway(settings={"max_drains": 2}) as gateway:
        gateway.runtime.scripts["scripted-bedrock"] = Script(token_count=100, interval_ms=10)
        await asyncio.gather(*(leave_after(gateway, "scripted-bedrock", chunks=2) for _ in range(5)))
        await gateway.record(5)
        sources = sorted(record.usage_source for record in gateway.records.items)
        assert sources == [UsageSource.DRAINED] * 2 + [UsageSource.ESTIMATED] * 3
        assert gateway.gateway.lifelines.drains == 0
        assert gateway.gateway.lifelines.drains_refused == 3


async def test_a_client_that_leaves_gets_no_retry() -> None:
    async with running_gateway() as gateway:
        gateway.runtime.scripts["scripted-bedrock"] = Script(header_delay_ms=500)
        await leave_after(gateway, "scripted-bedrock", chunks=0)
        await gateway.record()
        assert len(gateway.runtime.calls) == 1


async def test_a_storm_of_cancels_leaves_nothing_behind() -> None:
    async with running_gateway() as gateway:
        gateway.runtime.scripts["scripted-openai"] = SLOW
        gateway.runtime.scripts["scripted-bedrock"] = Script(token_count=20, interval_ms=5)
        models = ["scripted-openai", "scripted-bedrock"] * 20
        await asyncio.gather(*(leave_after(gateway, model, chunks=2) for model in models))
        await gateway.record(len(models))
        assert gateway.gateway.in_flight.total == 0
        assert not gateway.gateway.lifelines.active
        answered = await gateway.openai().chat.completions.create(model="scripted-bedrock", messages=HELLO)  # type: ignore[arg-type]
        assert answered.choices[0].message.content


async def _upstream_closed(gateway: GatewayUnderTest) -> None:
    async with asyncio.timeout(10):
        while gateway.runtime.calls_in_flight:  # noqa: ASYNC110 - the runtime has no event for it
            await asyncio.sleep(0.01)
