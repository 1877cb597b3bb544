"""Usage of a stream is the usage of the same reply in one piece; of a cut one, what is known by then."""

import json
from typing import Any

import msgspec
import pytest

from harness.gateway import GatewayUnderTest, running_gateway, small_catalogue
from llmplatform.invocation import InvocationRecord, Outcome
from llmplatform.usage import TokenUsage, UsageSource
from sandbox.engines.engine import CacheDetail, ContainerName
from sandbox.engines.scripted import Script, ScriptedToolCall, ScriptedUsage
from sandbox.faults import Cut, Omit

ROUTE = "/v1/chat/completions"
BEDROCK, OPENAI, LMI, TGI = "scripted-bedrock", "scripted-openai", "scripted-lmi", "scripted-tgi"

CONTAINERS: dict[str, ContainerName] = {OPENAI: "openai", LMI: "lmi", TGI: "tgi"}
CACHED = {
    "read": ScriptedUsage(input_tokens=7, output_tokens=3, cache_read_tokens=1_024),
    "write_5m": ScriptedUsage(
        input_tokens=7,
        output_tokens=3,
        cache_write_tokens=512,
        cache_details=(CacheDetail(ttl="5m", tokens=512),),
    ),
    "write_1h": ScriptedUsage(
        input_tokens=7,
        output_tokens=3,
        cache_write_tokens=512,
        cache_details=(CacheDetail(ttl="1h", tokens=512),),
    ),
    "all": ScriptedUsage(
        input_tokens=7,
        output_tokens=3,
        cache_read_tokens=100,
        cache_write_tokens=512,
        cache_details=(CacheDetail(ttl="1h", tokens=500), CacheDetail(ttl="5m", tokens=12)),
    ),
}


async def both_ways(gateway: GatewayUnderTest, model: str) -> tuple[InvocationRecord, InvocationRecord]:
    """The records of one request asked whole and asked as a stream, and what each client was told."""
    told: list[Any] = []
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "how much is it?"}]}
    async with gateway.http() as client:
        whole = await client.post(ROUTE, json=body)
        assert whole.status_code == 200
        told.append(whole.json()["usage"])
        first = await gateway.record(1)
        streaming = {**body, "stream": True, "stream_options": {"include_usage": True}}
        streamed = await client.post(ROUTE, json=streaming)
        told.append(_last_chunk(streamed.text)["usage"])
    second = await gateway.record(2)
    assert told[0] == told[1]
    assert (first.stream, second.stream) == (False, True)
    return first, second


def _last_chunk(text: str) -> Any:
    *events, done = text.removesuffix("\n\n").split("\n\n")
    assert done == "data: [DONE]"
    return json.loads(events[-1].removeprefix("data: "))


@pytest.mark.parametrize("model", [BEDROCK, OPENAI, LMI, TGI])
@pytest.mark.parametrize(
    "script",
    [
        Script(token_count=17),
        Script(text="stopped early STOP", usage=ScriptedUsage(input_tokens=40)),
        Script(text="世界 👩‍👩‍👧 and more"),
    ],
    ids=["burst", "input", "unicode"],
)
async def test_every_dialect_counts_alike_both_ways(
    acme: GatewayUnderTest, model: str, script: Script
) -> None:
    acme.runtime.scripts[model] = script
    whole, streamed = await both_ways(acme, model)
    assert whole.usage == streamed.usage
    assert whole.usage_source == streamed.usage_source
    assert (whole.usage.input_tokens or 0) > 0
    assert (whole.usage.output_tokens or 0) > 0
    if model in {BEDROCK, OPENAI}:
        assert whole.usage_source is UsageSource.REPORTED


@pytest.mark.parametrize("model", [BEDROCK, OPENAI])
async def test_reasoning_and_tools_count_alike_both_ways(acme: GatewayUnderTest, model: str) -> None:
    acme.runtime.scripts[model] = Script(
        reasoning_tokens=9, tool_calls=(ScriptedToolCall(name="look", arguments='{"where": "everywhere"}'),)
    )
    whole, streamed = await both_ways(acme, model)
    assert whole.usage == streamed.usage
    assert (whole.usage.output_tokens or 0) > 9


@pytest.mark.parametrize("split", CACHED)
async def test_each_cache_split_of_bedrock_is_kept_both_ways(acme: GatewayUnderTest, split: str) -> None:
    scripted = CACHED[split]
    acme.runtime.scripts[BEDROCK] = Script(token_count=3, usage=scripted)
    whole, streamed = await both_ways(acme, BEDROCK)
    one_hour = sum(detail.tokens for detail in scripted.cache_details if detail.ttl == "1h")
    assert whole.usage == streamed.usage
    assert streamed.usage.input_tokens == 7
    assert streamed.usage.output_tokens == 3
    assert streamed.usage.cache_read_tokens == scripted.cache_read_tokens
    assert streamed.usage.cache_write_tokens == scripted.cache_write_tokens
    assert (streamed.usage.cache_write_1h_tokens or 0) == one_hour
    assert streamed.usage.prompt_tokens == 7 + (scripted.cache_read_tokens or 0) + (
        scripted.cache_write_tokens or 0
    )


async def test_cached_tokens_of_a_container_are_taken_out_of_its_prompt(acme: GatewayUnderTest) -> None:
    acme.runtime.scripts[OPENAI] = Script(token_count=3, usage=CACHED["read"])
    whole, streamed = await both_ways(acme, OPENAI)
    assert whole.usage == streamed.usage
    assert (streamed.usage.input_tokens, streamed.usage.cache_read_tokens) == (7, 1_024)
    assert streamed.usage.prompt_tokens == 1_031


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [BEDROCK, OPENAI])
async def test_zero_is_a_figure_and_stays_one(acme: GatewayUnderTest, model: str, stream: bool) -> None:  # noqa: FBT001
    acme.runtime.scripts[model] = Script(text="", usage=ScriptedUsage(input_tokens=0, output_tokens=0))
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "stream": stream}
    async with acme.http() as client:
        assert (await client.post(ROUTE, json=body)).status_code == 200
    record = await acme.record()
    assert (record.usage.input_tokens, record.usage.output_tokens) == (0, 0)
    assert record.usage_source is UsageSource.REPORTED


async def test_a_reply_without_its_figures_is_estimated_and_labelled(acme: GatewayUnderTest) -> None:
    acme.runtime.scripts[BEDROCK] = Script(token_count=10, faults=(Omit(event_types=("metadata",)),))
    body = {"model": BEDROCK, "messages": [{"role": "user", "content": "hello"}], "stream": True}
    async with acme.http() as client:
        await client.post(ROUTE, json=body)
    record = await acme.record()
    assert record.usage_source is UsageSource.ESTIMATED
    assert (record.usage.input_tokens or 0) > 0
    assert (record.usage.output_tokens or 0) > 0


@pytest.mark.parametrize("model", [BEDROCK, OPENAI, LMI, TGI])
async def test_a_reply_cut_after_any_event_counts_what_came(model: str) -> None:
    script = Script(token_count=8, interval_ms=0.1, usage=ScriptedUsage(input_tokens=12))
    # A model for each cut: the circuit of one that had failed so often would answer in its stead.
    alike = small_catalogue().models[model].model_dump(exclude={"model_id", "backend_model_id"})
    catalogue = small_catalogue(**{f"{model}-{number}": alike for number in range(30)})
    async with running_gateway(catalogue=catalogue) as gateway, gateway.http() as client:
        body = {"messages": [{"role": "user", "content": "count to eight"}], "stream": True}
        gateway.runtime.scripts[model] = script
        await client.post(ROUTE, json={**body, "model": model})
        full = (await gateway.record(1)).usage
        frames = gateway.runtime.calls[-1].events_sent
        usages: list[tuple[TokenUsage, UsageSource]] = []
        for after in range(1, frames):
            name = f"{model}-{after}"
            cut = (Cut(after_events=after),)
            gateway.runtime.scripts[name] = msgspec.structs.replace(
                script, faults=cut, container=CONTAINERS.get(model)
            )
            reply = await client.post(ROUTE, json={**body, "model": name})
            record = await gateway.record(after + 1)
            # Bedrock's answer is complete before its figures come.
            complete = record.outcome is Outcome.COMPLETED
            assert complete or record.outcome is Outcome.BACKEND_FAILED
            assert complete == reply.text.endswith("[DONE]\n\n")
            assert not complete or after >= frames - 2
            usages.append((record.usage, record.usage_source))
    outputs = [usage.output_tokens for usage, _ in usages]
    assert all((usage.input_tokens or 0) > 0 for usage, _ in usages)
    assert all(output is not None for output in outputs)
    assert outputs == sorted(outputs, key=lambda output: output or 0)
    for usage, source in usages:
        if source is UsageSource.REPORTED:
            assert usage == full
        elif source is UsageSource.CONTINUOUS:
            assert usage.input_tokens == full.input_tokens
            assert (usage.output_tokens or 0) <= (full.output_tokens or 0)
        else:
            assert source is UsageSource.ESTIMATED
