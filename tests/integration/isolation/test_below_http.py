"""What leaves the gateway of an attacker's request is the attacker's; what it uses up is its own."""

import json
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest_asyncio
from opentelemetry.sdk.resources import Resource

from evalworker.judging.budget import Budget
from evalworker.judging.judge import Bill
from gateway.chat import ChatRequest, Message, TextPart
from gateway.sinks.spans import spans_of
from gateway.tokenizers.tokenizer import Pieces
from gateway.tokenizing import Counters, TokenCounter
from harness.gateway import GatewayUnderTest, running_gateway
from harness.night.world import lean_dynamodb
from integration.isolation.routes import CHAT, CHAT_BODY
from integration.isolation.spellings import Headers, almost_keys, bearer, claims, foreign_headers
from integration.isolation.subjects import ATTACKER, BANK, Subject
from integration.isolation.wire import Sent, Wire
from llmplatform.aws.tables import EVAL_SPEND
from llmplatform.ids import UNKNOWN
from llmplatform.ledger import encode_item
from llmplatform.policy import ContentMode
from llmplatform.testing import FakeClock
from sandbox.emulator import Emulator, sandbox_session
from sandbox.provision import create_table

TRACE: Final = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"
CENT: Final = Bill(calls=1, cost_usd=Decimal("0.01"), known_usd=Decimal("0.01"))
LIMIT: Final = Decimal("0.05")


@pytest_asyncio.fixture
async def gateway() -> AsyncIterator[GatewayUnderTest]:
    """Of the attacker and of a bank, every answer of which is sampled and logged."""
    told: dict[str, Any] = {
        "content_mode": ContentMode.FULL,
        "eval_sample_rate": 1.0,
        "log_content": True,
    }
    async with running_gateway(settings={"trace_sample_rate": 1.0}, **told) as running:
        yield running


def everything_out(gateway: GatewayUnderTest) -> str:
    """All that left the gateway of all requests, in every form that it takes."""
    resource, records = Resource.create({}), gateway.records.items
    return "\n".join(
        (
            *(line.decode() for line in gateway.lines.items),
            *(json.dumps(encode_item(record)) for record in records),
            *(span.to_json() for record in records for span in spans_of(record, resource)),
            *(sample.data.decode() for sample in gateway.samples.items),
            *(event.message for event in gateway.content.items),
            *(json.dumps(call.body) + json.dumps(call.headers) for call in gateway.runtime.calls),
        )
    )


def attempts(of: Subject, own: str) -> Mapping[str, Headers]:
    """Headers of requests that speak of another tenant, by what they do."""
    key = bearer(own)
    return {
        **{f"claims {said}": (key, *headers) for said, headers in claims(of.tenant).items()},
        "under its trace id": (key, ("X-Trace-Id", TRACE)),
        "below its span": (key, ("Traceparent", f"00-{TRACE.replace('-', '')}-00f067aa0ba902b7-01")),
        "with others' headers": (key, *foreign_headers(of)),
        **{f"key {said}": headers for said, headers in almost_keys(of, own).items()},
    }


async def test_no_signal_of_a_request_names_another_tenant(gateway: GatewayUnderTest) -> None:
    key = gateway.add_tenant(BANK, eval_sample_rate=1.0)
    bank = Subject(BANK, key=key, old_key=f"{key[:-1]}x", trace=TRACE, request=TRACE)
    body = f'{CHAT_BODY[:-1]},"user":"{BANK}","safety_identifier":"{BANK}","prompt_cache_key":"{BANK}"}}'
    tried = attempts(bank, gateway.key)
    async with Wire() as wire:
        for headers in tried.values():
            await wire.asked(gateway.url, Sent("POST", CHAT, headers, body))
    await gateway.record(len(tried))
    assert {record.tenant_id for record in gateway.records.items} == {ATTACKER, UNKNOWN}
    out = everything_out(gateway)
    assert ATTACKER in out
    assert BANK not in out.lower()


async def test_under_one_trace_each_signal_says_whose_it_is(gateway: GatewayUnderTest) -> None:
    keys = {ATTACKER: gateway.key, BANK: gateway.add_tenant(BANK, eval_sample_rate=1.0)}
    async with Wire() as wire:
        for number, key in enumerate((*keys.values(), *keys.values()), 1):
            headers = (bearer(key), ("X-Trace-Id", TRACE))
            await wire.asked(gateway.url, Sent("POST", CHAT, headers, CHAT_BODY))
            await gateway.record(number)
    expected = [ATTACKER, BANK, ATTACKER, BANK]
    assert [record.tenant_id for record in gateway.records.items] == expected
    assert [call.request_metadata["tenant_id"] for call in gateway.runtime.calls] == expected
    assert [json.loads(sample.data)["tenant_id"] for sample in gateway.samples.items] == expected
    assert [json.loads(event.message)["tenant_id"] for event in gateway.content.items] == [ATTACKER] * 2
    for record in gateway.records.items:
        spans = spans_of(record, Resource.create({}))
        assert {str((span.attributes or {})["tenant.id"]) for span in spans} == {record.tenant_id}


class Words:
    """A token a word."""

    name = "words"
    inline_bytes = 1_000

    def pieces(self, request: ChatRequest) -> Pieces:
        return Pieces([part.text for m in request.messages for part in m.parts if isinstance(part, TextPart)])

    def count_text(self, text: str) -> int:
        return len(text.split())


async def test_a_count_does_not_tell_that_the_same_was_counted_before() -> None:
    request = ChatRequest("small", (Message("user", (TextPart("Where do we keep the heliotrope ink?"),)),))
    used, fresh = (TokenCounter(Counters({"small": Words()}, {"small": 4.0}, {})) for _ in range(2))
    first = await used.count("small", request)
    assert await used.count("small", request) == await fresh.count("small", request) == first
    for counter in (used, fresh):
        counter.close()


async def test_what_one_tenant_spends_on_judging_is_not_anothers(tmp_path: Path) -> None:
    async with Emulator(tmp_path) as aws, lean_dynamodb(aws.url) as lean:
        async with sandbox_session().client("dynamodb", endpoint_url=aws.url) as dynamodb:
            await create_table(dynamodb, EVAL_SPEND)
        budget = Budget(lean, FakeClock())
        for _ in range(9):
            budget.spent(ATTACKER, CENT)
        await budget.flush()
        assert not await budget.allows(ATTACKER, LIMIT)
        assert await budget.allows(BANK, LIMIT)
