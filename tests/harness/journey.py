"""One chat, from its first token to the bill: told once, for every place that the platform can run in.

All that is known of the place are the variables that `llm-platform env` prints: the gateway's address and a
tenant's key, the billing API's and the console's address, and where AWS is. Nothing is started here.
`python -m harness.journey`, with `tests` on the path, takes it with the variables of the shell.
"""

import asyncio
import csv
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar

import httpx
from openai import AsyncOpenAI

from llmplatform import apikeys, ids
from llmplatform.aws.eval_reader import EvalReader
from llmplatform.aws.ledger_reader import LedgerReader
from llmplatform.aws.sessions import aws_session, endpoint_url
from llmplatform.aws.sigv4 import Credentials
from llmplatform.clock import SystemClock
from llmplatform.evaluations import JUDGE_DIMENSIONS, MAX_SCORE, MIN_SCORE, EvalResult
from llmplatform.invocation import Outcome
from llmplatform.ledger import LedgerRow, hour_of
from watch.reading.traces import TraceReader

UP_WITHIN_S: Final = 120.0
"""The gateway is announced before all else is up."""
FOUND_WITHIN_S: Final = 60.0
SCORED_WITHIN_S: Final = 240.0
"""A laptop's worker takes its lease first, and its judge is a small model."""
PRICED_WITHIN_S: Final = 150.0
"""A laptop's cost job runs once a minute."""
_LOOK_AGAIN_S: Final = 0.5

ResultT = TypeVar("ResultT")
Tell = Callable[[str, float], None]
"""Takes what is done, and the seconds that it took."""


class JourneyEnds(AssertionError):
    """The chat came no further; says what was missing, and how long it was waited for."""


class _NotYet(Exception):
    """What is looked for is not there; says what is there instead."""


@dataclass(frozen=True, slots=True)
class Chat:
    """An answer as its client has it."""

    trace_id: str
    model: str
    text: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where the platform is, as its clients see it."""

    tenant: str
    gateway: AsyncOpenAI
    billing: httpx.AsyncClient
    console: httpx.AsyncClient
    ledger: LedgerReader
    traces: TraceReader
    results: EvalReader

    async def model(self) -> str:
        """The first model that the gateway lists."""
        return (await self.gateway.models.list()).data[0].id

    async def chat(self, model: str) -> Chat:
        """One streamed answer, under a trace id of ours."""
        trace_id = ids.as_uuid(ids.uuid4_hex(secrets.token_bytes(16)))
        stream = await self.gateway.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "Why is the sky blue? One sentence."}],
            max_tokens=40,
            stream=True,
            stream_options={"include_usage": True},
            extra_headers={"x-trace-id": trace_id},
        )
        pieces: list[str] = []
        usage = None
        async for chunk in stream:
            pieces += [choice.delta.content for choice in chunk.choices if choice.delta.content]
            usage = chunk.usage or usage
        assert len(pieces) > 1, f"the answer came in {len(pieces)} pieces"
        assert usage is not None, "the stream ended without its usage"
        return Chat(trace_id, model, "".join(pieces), usage.prompt_tokens, usage.completion_tokens)

    async def row(self, chat: Chat) -> LedgerRow:
        """The ledger's row of a chat."""
        rows = await self.ledger.of_trace(ids.bare(chat.trace_id).replace("-", ""))
        found = next((row for row in rows if row.origin == "client"), None)
        if found is None:
            raise _NotYet(f"{len(rows)} rows have this trace id, none of them a client's")
        return found

    async def spans(self, row: LedgerRow) -> tuple[str, ...]:
        """Names of a request's spans, parents first."""
        names = tuple(bar.name for bar in await self.traces.of_requests((row,)))
        if len(names) < 2:  # the request's own, and the model's
            raise _NotYet(f"X-Ray has the spans {names}")
        return names

    async def scored(self, row: LedgerRow) -> EvalResult:
        """A request's scores."""
        async for result in self.results.of_trace(ids.as_uuid(row.trace_id)):
            if result.request_id == row.request_id:
                return result
        raise _NotYet("no result has this trace id")

    async def bill(self, model: str) -> list[dict[str, Any]]:
        """What the tenant was billed for a model's answers of today and yesterday, by the hour."""
        today = datetime.now(UTC).date()
        asked = {
            "from": (today - timedelta(days=1)).isoformat(),
            "to": (today + timedelta(days=1)).isoformat(),
            "granularity": "hour",
        }
        reply = await self.billing.get(f"/v1/tenants/{self.tenant}/costs", params=asked)
        if not reply.is_success:
            raise _NotYet(f"the billing API says {reply.status_code}: {reply.text[:300]}")
        rows = reply.json()["rows"]
        return [row for row in rows if (row["layer"], row["model_id"]) == ("inference", model)]

    async def charges(self, row: LedgerRow, before: list[dict[str, Any]]) -> Mapping[str, Decimal]:
        """The price of a token by class, once the row's tokens have come to what was billed `before`."""
        bill = await self.bill(row.model_id or "")
        hour = hour_of(row.completed_at)
        for token_class, tokens in _tokens_of(row).items():
            were, are = _billed(before, hour, token_class), _billed(bill, hour, token_class)
            if are < were + tokens:
                raise _NotYet(f"{are} {token_class} tokens of {hour} are billed, and were {were}")
        for line in bill:
            assert Decimal(line["amount_usd"]) == Decimal(line["quantity"]) * Decimal(line["unit_price_usd"])
        return {line["charge_class"]: Decimal(line["unit_price_usd"]) for line in bill}

    async def table(self, path: str, name: str, **asked: str) -> list[dict[str, str]]:
        """A table of one of the console's pages."""
        page = await self.console.get(path, params=asked)
        reply = await self.console.get(path, params={**asked, "format": "csv", "table": name})
        if not (page.is_success and reply.is_success):
            raise _NotYet(f"the console says {page.status_code}, and {reply.status_code}: {reply.text[:300]}")
        return list(csv.DictReader(reply.text.splitlines()))


async def travel(environ: Mapping[str, str], tell: Tell) -> None:
    """Take the journey. Raises JourneyEnds, or another AssertionError where something is there but wrong."""
    async with AsyncExitStack() as stack:
        place = await _place(environ, stack)
        step = _steps(tell)
        model = await place.model()
        before = await _within(UP_WITHIN_S, "billing API", lambda: place.bill(model))
        step("the gateway lists models, and the billing API answers")

        chat = await place.chat(model)
        step(f"{model} answers, under trace {chat.trace_id}")

        row = await _within(FOUND_WITHIN_S, "row in the ledger", lambda: place.row(chat))
        assert (row.tenant_id, row.model_id) == (place.tenant, model)
        assert (row.outcome, row.stream, row.sampled) == (Outcome.COMPLETED, True, True)
        assert _tokens_of(row) == {"input": chat.input_tokens, "output": chat.output_tokens}
        step(f"the ledger has it, as request {row.request_id}")

        spans = await _within(FOUND_WITHIN_S, "trace in X-Ray", lambda: place.spans(row))
        assert any(model in name for name in spans), spans
        step(f"X-Ray has its {len(spans)} spans")

        result = await _within(SCORED_WITHIN_S, "result of an evaluation", lambda: place.scored(row))
        assert set(result.scores) == set(JUDGE_DIMENSIONS)
        assert all(MIN_SCORE <= score <= MAX_SCORE for score in result.scores.values())
        step(f"it is scored, by {result.judge.model_id}")

        prices = await _within(PRICED_WITHIN_S, "price on the bill", lambda: place.charges(row, before))
        amount = sum(prices[token_class] * tokens for token_class, tokens in _tokens_of(row).items())
        assert amount > 0
        step(f"it is on the bill, at {amount} US dollars")

        page = f"/traces/{chat.trace_id}"
        shown = await _within(UP_WITHIN_S, "page of the console", lambda: place.table(page, "scores-1"))
        scores = {line["dimension"].replace(" ", "_"): int(line["score"]) for line in shown}
        assert scores == dict(result.scores)
        calls = await _within(UP_WITHIN_S, "tokens of the trace", lambda: place.table(page, "tokens-1"))
        assert sum(Decimal(line["amount"]) for line in calls) == amount
        month = f"{row.completed_at:%Y-%m}"
        bill = f"/cost/{place.tenant}"
        owed = await _within(UP_WITHIN_S, "bill", lambda: place.table(bill, "bill", month=month))
        assert model in {line["model_id"] for line in owed}
        step("the console shows its scores, its price, and the bill")


async def _place(environ: Mapping[str, str], stack: AsyncExitStack) -> Place:
    key = environ["OPENAI_API_KEY"]
    tenant = apikeys.tenant_of(key)
    assert tenant is not None, "OPENAI_API_KEY is no tenant's key"
    region = environ["AWS_REGION"]
    credentials = Credentials(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"])
    session = aws_session(region, credentials)

    def http(variable: str) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {key}"}
        return httpx.AsyncClient(base_url=environ[variable], headers=headers, timeout=30, trust_env=False)

    def where(service: str) -> str:
        return endpoint_url(service, region, environ)

    dynamodb = await stack.enter_async_context(session.client("dynamodb", endpoint_url=where("dynamodb")))
    xray = await stack.enter_async_context(session.client("xray", endpoint_url=where("xray")))
    return Place(
        tenant=tenant,
        gateway=await stack.enter_async_context(
            AsyncOpenAI(base_url=environ["OPENAI_BASE_URL"], api_key=key, timeout=120, max_retries=0)
        ),
        billing=await stack.enter_async_context(http("BILLING_URL")),
        console=await stack.enter_async_context(http("CONSOLE_URL")),
        ledger=LedgerReader(dynamodb),
        traces=TraceReader(xray, SystemClock()),
        results=EvalReader(dynamodb, SystemClock()),
    )


async def _within(limit_s: float, what: str, look: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """What `look` finds, as soon as it does. Raises JourneyEnds."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return await look()
        except (_NotYet, httpx.TransportError) as missing:
            if time.monotonic() > deadline:
                raise JourneyEnds(f"no {what} within {limit_s:g} s: {missing!r}") from missing
        await asyncio.sleep(_LOOK_AGAIN_S)


def _steps(tell: Tell) -> Callable[[str], None]:
    """What tells each step with the time since the one before it."""
    started = time.monotonic()

    def step(what: str) -> None:
        nonlocal started
        now = time.monotonic()
        tell(what, now - started)
        started = now

    return step


def _tokens_of(row: LedgerRow) -> dict[str, int]:
    """A request's tokens by the class that they are billed in."""
    usage = row.usage
    classes = {"input": usage.input_tokens, "output": usage.output_tokens}
    return {name: tokens for name, tokens in classes.items() if tokens}


def _billed(bill: list[dict[str, Any]], hour: str, token_class: str) -> int:
    return sum(
        int(line["quantity"])
        for line in bill
        if (line["period"], line["charge_class"]) == (hour, token_class)
    )


def main() -> int:
    """Exit status 1 where the journey ends early, with what was missing."""

    def tell(what: str, seconds: float) -> None:
        print(f"{seconds:6.1f} s  {what}", flush=True)  # noqa: T201

    try:
        asyncio.run(travel(os.environ, tell))
    except JourneyEnds as ended:
        print(f"the journey ends: {ended}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
