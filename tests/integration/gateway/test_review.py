"""What a reviewer tried to break: our own counting, clients that do not read, odd connections."""

import time
from typing import Any

import pytest

from gateway.chat import ChatRequest
from gateway.tokenizers.tokenizer import Pieces
from gateway.tokenizing import Counters
from harness.gateway import GatewayUnderTest, running_gateway, small_catalogue
from llmplatform.invocation import Outcome
from sandbox.engines.scripted import Script
from sandbox.faults import Refuse

HELLO: Any = [{"role": "user", "content": "hello"}]


class SlowTokenizer:
    """Takes 150 ms for anything, in a thread."""

    name = "slow"
    inline_bytes = 0

    def pieces(self, request: ChatRequest) -> Pieces:
        """Nothing to count, slowly."""
        time.sleep(0.15)
        return Pieces((), 7, exact=True)

    def count_text(self, text: str) -> int:
        """Never asked: there are no pieces."""
        raise NotImplementedError


class BrokenTokenizer(SlowTokenizer):
    """Fails on everything."""

    def pieces(self, request: ChatRequest) -> Pieces:
        """Fail."""
        raise OverflowError("the vocabulary cannot split this text")


@pytest.fixture
def tokenizer(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The tokenizer that the next gateway counts every model with: put it in."""
    given: list[Any] = []
    monkeypatch.setattr(
        "harness.gateway.build_counters",
        lambda catalogue: Counters(
            dict.fromkeys(catalogue.models, given[0]), dict.fromkeys(catalogue.models, 4.0), {}
        ),
    )
    return given


async def ask(gateway: GatewayUnderTest, model: str, *, stream: bool) -> int:
    """Ask and read the whole reply; its status."""
    body = {"model": model, "messages": HELLO, "stream": stream}
    async with gateway.http() as client:
        return (await client.post("/v1/chat/completions", json=body)).status_code


@pytest.mark.parametrize("stream", [True, False])
async def test_latency_ends_with_the_reply_and_not_with_our_own_count(
    tokenizer: list[Any],
    stream: bool,  # noqa: FBT001
) -> None:
    tokenizer.append(SlowTokenizer())
    async with running_gateway() as gateway:
        assert await ask(gateway, "scripted-bedrock", stream=stream) == 200
        record = await gateway.record()
        assert record.counted_prompt_tokens == 7
        assert record.total_latency_ms < 100


async def test_a_retry_does_not_wait_for_our_own_count(tokenizer: list[Any]) -> None:
    tokenizer.append(SlowTokenizer())
    catalogue = small_catalogue(**{"scripted-bedrock": {"max_attempts": 2}})
    async with running_gateway(catalogue=catalogue) as gateway:
        gateway.runtime.scripts["scripted-bedrock"] = Script(
            faults=(Refuse(status=429, error_type="ThrottlingException", times=1),)
        )
        assert await ask(gateway, "scripted-bedrock", stream=True) == 200
        first, second = (await gateway.record()).attempts
        assert second.reason == "retry"
        assert first.duration_ms < 100


@pytest.mark.parametrize("model", ["scripted-bedrock", "scripted-openai"])
async def test_a_tokenizer_that_fails_costs_exactness_and_no_reply(tokenizer: list[Any], model: str) -> None:
    tokenizer.append(BrokenTokenizer())
    async with running_gateway() as gateway:
        assert await ask(gateway, model, stream=True) == 200
        record = await gateway.record()
        assert record.outcome is Outcome.COMPLETED
        assert not record.counted_prompt_exact
        assert (record.counted_prompt_tokens or 0) > 0
        assert record.prompt_sha256 is not None
