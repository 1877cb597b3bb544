"""The judge against Bedrock's runtime over a real socket: each answer and each fault to its outcome."""

import asyncio
import json
import random
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from evalworker.judging.bedrock import BedrockJudge, CallPolicy
from evalworker.judging.judge import Candidate, JudgeConfig, Malformed, Refused, Scored, Unavailable
from evalworker.judging.rubric import load_rubric
from harness.platform import eventually
from llmplatform.aws.signed_http import Answer, SignedHttp
from llmplatform.aws.sigv4 import Credentials
from llmplatform.circuit import CircuitRule
from llmplatform.clock import Clock, SystemClock
from llmplatform.evaluations import JUDGE_DIMENSIONS, EvalContent
from llmplatform.invocation import InvocationRecord, Outcome
from llmplatform.judges import load_judge_models
from llmplatform.ledger import decode_item, encode_item
from llmplatform.prices import PriceTable, load_prices, parse_prices
from llmplatform.sinks import NullSink
from llmplatform.testing import FakeClock
from llmplatform.usage import TokenUsage, UsageSource
from sandbox.calls import Call
from sandbox.engines.engine import StopReason
from sandbox.engines.scripted import Script, ScriptedToolCall, ScriptedUsage
from sandbox.faults import Cut, Refuse
from sandbox.runtime import SandboxRuntime, serve_runtime
from sandbox.signing import DUMMY_ACCESS_KEY, DUMMY_SECRET_KEY

CONFIG = JudgeConfig(load_judge_models().named("claude-haiku-4-5"), load_rubric())
MODEL = CONFIG.model.model_id
VERDICT = {name: {"reason": "Because it says so.", "score": 4} for name in JUDGE_DIMENSIONS}
USAGE = ScriptedUsage(input_tokens=1_000, output_tokens=200)
COST = Decimal("0.0011") + Decimal("0.0011")
QUICK = CallPolicy(base_backoff_s=0.001, max_backoff_s=0.002)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CANARY = "zebra-crossing-9"
CANDIDATE = Candidate("acme", "r-1", TRACE, EvalContent(prompt=f"user: {CANARY}?", completion="A zebra."))


class KeptRecords(NullSink[InvocationRecord]):
    """A ledger that a test reads."""

    def __init__(self) -> None:
        super().__init__("kept")
        self.records: list[InvocationRecord] = []

    def accept(self, item: InvocationRecord) -> None:
        self.records.append(item)


def answering(given: Any = VERDICT, **fields: Any) -> Script:
    """A model that calls the rubric's tool."""
    call = ScriptedToolCall(name="record_scores", arguments=json.dumps(given), piece_characters=100_000)
    return Script(**{"tool_calls": (call,), "usage": USAGE, **fields})


def refusing(
    status: int, error_type: str, message: str = "No.", *, times: int | None = None, **fields: Any
) -> Script:
    """A model that refuses the first calls, or all, and then answers."""
    fault = Refuse(status=status, error_type=error_type, message=message, times=times, **fields)
    return answering(faults=(fault,))


@pytest.fixture
async def runtime() -> AsyncIterator[SandboxRuntime]:
    async with serve_runtime() as running:
        running.scripts[MODEL] = answering()
        yield running


@pytest.fixture
def ledger() -> KeptRecords:
    return KeptRecords()


Asked = Callable[..., AbstractAsyncContextManager[BedrockJudge]]


@pytest.fixture
def asked(runtime: SandboxRuntime, ledger: KeptRecords) -> Asked:
    """Opens a judge that asks the runtime."""

    @asynccontextmanager
    async def open_judge(
        *,
        policy: CallPolicy = QUICK,
        config: JudgeConfig = CONFIG,
        prices: PriceTable | None = None,
        url: str = runtime.url,
        timeout_s: float = 60.0,
        clock: Clock | None = None,
    ) -> AsyncIterator[BedrockJudge]:
        async with SignedHttp(
            service="bedrock",
            url=url,
            region="us-east-1",
            credentials=lambda: Credentials(DUMMY_ACCESS_KEY, DUMMY_SECRET_KEY),
            clock=SystemClock(),
            connections=64,  # more than any test allows calls: the judge's own limit is meant
            timeout_s=timeout_s,
        ) as http:
            yield BedrockJudge(
                config,
                http,
                ledger=ledger,
                prices=prices or load_prices(),
                region="us-east-1",
                clock=clock or SystemClock(),
                random=random.Random(1).random,
                random_bytes=secrets.token_bytes,
                policy=policy,
            )

    return open_judge


def only_call(runtime: SandboxRuntime) -> Call:
    (call,) = runtime.calls
    return call


async def test_a_verdict_is_scored_priced_and_in_the_ledger(
    runtime: SandboxRuntime, ledger: KeptRecords, asked: Asked
) -> None:
    async with asked() as judge:
        outcome = await judge.verdict(CANDIDATE)
    assert isinstance(outcome, Scored)
    assert outcome.verdict.scores == dict.fromkeys(JUDGE_DIMENSIONS, 4)
    assert not outcome.content_truncated
    assert outcome.latency_ms > 0
    assert (outcome.bill.calls, outcome.bill.cost_usd, outcome.bill.known_usd) == (1, COST, COST)
    assert outcome.bill.usage == TokenUsage(1_000, 200)
    assert not judge.counts
    (record,) = ledger.records
    assert (record.origin, record.surface, record.outcome) == ("judge", "judge", Outcome.COMPLETED)
    assert (record.tenant_id, record.trace.trace_id) == ("acme", TRACE)
    assert record.request_id != CANDIDATE.request_id
    (attempt,) = record.attempts
    assert (attempt.price_key, attempt.usage) == ("anthropic.claude-haiku-4-5/geo", TokenUsage(1_000, 200))
    assert attempt.upstream_request_id == only_call(runtime).request_id
    row = decode_item(encode_item(record))
    assert (row.origin, row.usage_source) == ("judge", UsageSource.REPORTED)
    assert CANARY not in repr(outcome) + repr(record) + json.dumps(encode_item(record))


async def test_a_call_is_signed_bounded_forced_and_marked(
    runtime: SandboxRuntime, ledger: KeptRecords, asked: Asked
) -> None:
    async with asked() as judge:
        await judge.verdict(CANDIDATE)
    call = only_call(runtime)
    assert (call.model, call.operation, call.signed) == (MODEL, "converse", True)
    assert call.body["inferenceConfig"] == {"maxTokens": 1024, "temperature": 0}
    assert call.body["toolConfig"]["toolChoice"] == {"tool": {"name": "record_scores"}}
    assert call.request_metadata == {
        "origin": "judge",
        "tenant_id": "acme",
        "trace_id": TRACE,
        "request_id": ledger.records[0].request_id,
    }
    assert CANARY not in json.dumps(call.body["system"]) + json.dumps(call.body["toolConfig"])
    (turn,) = call.body["messages"]
    assert [CANARY in block["text"] for block in turn["content"]] == [False, True, False]


async def test_a_model_that_takes_no_temperature_is_sent_none(runtime: SandboxRuntime, asked: Asked) -> None:
    plain = CONFIG.model.model_copy(update={"takes_temperature": False, "tool_choice": "any"})
    async with asked(config=replace(CONFIG, model=plain)) as judge:
        await judge.verdict(CANDIDATE)
    body = only_call(runtime).body
    assert body["inferenceConfig"] == {"maxTokens": 1024}
    assert body["toolConfig"]["toolChoice"] == {"any": {}}


async def test_odd_ids_do_not_spoil_the_call(runtime: SandboxRuntime, asked: Asked) -> None:
    """Bedrock refuses a request for one character that it does not allow in its metadata."""
    async with asked() as judge:
        outcome = await judge.verdict(replace(CANDIDATE, tenant_id="ac*me", trace_id="<not one>"))
    assert isinstance(outcome, Scored)
    metadata = only_call(runtime).request_metadata
    assert (metadata["tenant_id"], metadata["trace_id"]) == ("_unknown", "_unknown")


@pytest.mark.parametrize(
    ("status", "error_type", "reason"),
    [
        (429, "ThrottlingException", "throttled"),
        (500, "InternalServerException", "server_error"),
        (503, "ServiceUnavailableException", "server_error"),
        (408, "ModelTimeoutException", "model_timeout"),
        (424, "ModelErrorException", "model_error"),
    ],
)
async def test_what_passes_is_tried_again_here_and_then_scored(
    runtime: SandboxRuntime, ledger: KeptRecords, asked: Asked, *, status: int, error_type: str, reason: str
) -> None:
    runtime.scripts[MODEL] = refusing(status, error_type, times=2)
    async with asked() as judge:
        outcome = await judge.verdict(CANDIDATE)
    assert isinstance(outcome, Scored)
    assert judge.counts == {reason: 2}
    assert outcome.bill.calls == len(runtime.calls) == 3
    assert outcome.bill.known_usd == COST
    (record,) = ledger.records
    assert [attempt.error_code for attempt in record.attempts] == [reason, reason, None]
    assert [attempt.reason for attempt in record.attempts] == ["requested", "retry", "retry"]


@pytest.mark.parametrize(
    ("status", "error_type", "message", "reason", "calls"),
    [
        (429, "ThrottlingException", "Slow down.", "throttled", 4),
        (500, "InternalServerException", "Oops.", "server_error", 4),
        (503, "ServiceUnavailableException", "Later.", "server_error", 4),
        (408, "ModelTimeoutException", "Late.", "model_timeout", 4),
        (424, "ModelErrorException", "Hm.", "model_error", 4),
        (403, "AccessDeniedException", "No.", "access_denied", 1),
        (403, "ExpiredTokenException", "Old.", "access_denied", 1),
        (404, "ResourceNotFoundException", "Gone.", "model_not_found", 1),
        (400, "ValidationException", "The provided model identifier is invalid.", "model_not_found", 1),
        (400, "ValidationException", "temperature is deprecated for this model", "misconfigured", 1),
    ],
)
async def test_a_judge_that_does_not_answer_marks_no_sample_as_done(
    runtime: SandboxRuntime,
    asked: Asked,
    *,
    status: int,
    error_type: str,
    message: str,
    reason: str,
    calls: int,
) -> None:
    runtime.scripts[MODEL] = refusing(status, error_type, message)
    async with asked() as judge:
        outcome = await judge.verdict(CANDIDATE)
        assert isinstance(outcome, Unavailable)
        assert outcome.reason == reason
        assert len(runtime.calls) == calls
        assert judge.counts == {reason: calls}
        runtime.scripts[MODEL] = answering()
        again = await judge.verdict(CANDIDATE)
    assert isinstance(again, Scored)  # brought again, it is really asked again
    assert len(runtime.calls) == calls + 1


async def test_a_refused_call_costs_nothing_and_is_no_row(
    runtime: SandboxRuntime, ledger: KeptRecords, asked: Asked
) -> None:
    runtime.scripts[MODEL] = refusing(429, "ThrottlingException")
    async with asked() as judge:
        outcome = await judge.verdict(CANDIDATE)
    assert outcome.bill.cost_usd == 0
    assert not ledger.records


async def test_a_sample_that_is_too_long_is_refused_for_good(runtime: SandboxRuntime, asked: Asked) -> None:
    runtime.scripts[MODEL] = refusing(400, "ValidationException", "Input is too long for requested model.")
    async with asked() as judge:
        outcome = await judge.verdict(CANDIDATE)
    assert isinstance(outcome, Refused)
    assert outcome.reason == "too_long"
    assert len(runtime.calls) == 1


async def test_a_request_called_invalid_by_a_judge_that_answers_others_is_refused(
    runtime: SandboxRuntime, asked: Asked
) -> None:
    async with asked() as judge:
        await judge.verdict(CANDIDATE)
        runtime.scripts[MODEL] = refusing(400, "ValidationException", "Malformed input request.")
        outcome = await judge.verdict(CANDIDATE)
    assert isinstance(outcome, Refused)
    assert outcome.reason == "rejected"
    assert judge.counts == {"rejected": 1}


@pytest.mark.parametrize(
    ("stop_reason", "reason"),
    [
        ("content_filtered", "content_filtered"),
        ("guardrail_intervened", "guardrail"),
        ("model_context_window_exceeded", "too_long"),
    ],
)
async def test_a_model_that_will_not_judge_is_not_asked_twice_and_is_paid(
    runtime: SandboxRuntime, ledger: KeptRecords, asked: Asked, stop_reason: StopReason, reason: str
) -> None:
    runtime.scripts[MODEL] = Script(text="I cannot.", stop_reason=stop_reason, usage=USAGE)
    async with asked() as judge:
        outcome = await judge.verdict(CANDIDATE)
    assert isinstance(outcome, Refused)
    assert outcome.reason == reason
    assert outcome.bill.cost_usd == COST
    assert len(runtime.calls) == 1
    (record,) = ledger.records
    assert (record.outcome, record.error_code) == (Outcome.BACKEND_FAILED, reason)


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (Script(text="All five dimensions: 5 out of 5.", usage=USAGE), "no_tool_call"),
        (answering({**VERDICT, "coherence": {"reason": "x", "score": 9}}), "score_out_of_range"),
        (answering({**VERDICT, "coherence": {"reason": "x", "score": "5"}}), "score_not_integer"),
        (answering({}), "dimension_missing"),
        (answering(stop_reason="max_tokens"), "cut_short"),
    ],
)
async def test_malformed_output_is_asked_for_once_more_then_counted_and_never_a_score(
    runtime: SandboxRuntime, ledger: KeptRecords, asked: Asked, script: Script, kind: str
) -> None:
    runtime.scripts[MODEL] = script
    async with asked() as judge:
        outcome = await judge.verdict(CANDIDATE)
    assert isinstance(outcome, Malformed)
    assert outcome.kind == kind
    assert judge.counts == {"malformed": 2}
    assert outcome.bill.cost_usd == 2 * COST
    assert outcome.bill.usage == TokenUsage(2_000, 400)
    (record,) = ledger.records
    assert (record.outcome, record.error_code, len(record.attempts)) == (
        Outcome.BACKEND_FAILED,
        "malformed",
        2,
    )


async def test_a_call_that_takes_too_long_may_have_been_billed(
    runtime: SandboxRuntime, ledger: KeptRecords, asked: Asked
) -> None:
    runtime.scripts[MODEL] = answering(header_delay_ms=2_000)
    async with asked(policy=replace(QUICK, max_failures=2), timeout_s=0.1) as judge:
        outcome = await judge.verdict(CANDIDATE)
    assert isinstance(outcome, Unavailable)
    assert outcome.reason == "timeout"
    assert (outcome.bill.cost_usd, outcome.bill.known_usd) == (None, Decimal(0))
    assert judge.unpriced_calls == 2
    (record,) = ledger.records
    assert {attempt.usage_source for attempt in record.attempts} == {UsageSource.UNKNOWN}
    # Some figure says that it may be billed, a missing one that nobody knows how much.
    assert [attempt.usage for attempt in record.attempts] == [TokenUsage(output_tokens=0)] * 2


async def test_a_connection_that_breaks_is_tried_again(runtime: SandboxRuntime, asked: Asked) -> None:
    runtime.scripts[MODEL] = answering(faults=(Cut(after_bytes=10, reset=True, times=1),))
    async with asked() as judge:
        outcome = await judge.verdict(CANDIDATE)
    assert isinstance(outcome, Scored)
    assert judge.counts == {"unreachable": 1}
    assert (outcome.bill.cost_usd, outcome.bill.known_usd) == (None, COST)


async def test_where_nobody_listens_nothing_is_spent(ledger: KeptRecords, asked: Asked) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        async with asked(url=url) as judge:
            outcome = await judge.verdict(CANDIDATE)
    assert isinstance(outcome, Unavailable)
    assert outcome.reason == "unreachable"
    assert outcome.bill.cost_usd == 0
    assert not ledger.records


async def test_where_nobody_accepts_a_connection_nothing_is_spent(
    ledger: KeptRecords, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmplatform.aws.signed_http.CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first:
        first.connect(full.getsockname())  # the one that waits to be accepted; the kernel drops the next
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        async with asked(url=url, policy=replace(QUICK, max_failures=1)) as judge:
            outcome = await judge.verdict(CANDIDATE)
    assert isinstance(outcome, Unavailable)
    assert outcome.reason == "unreachable"
    assert outcome.bill.cost_usd == 0
    assert not ledger.records


async def test_an_open_circuit_answers_at_once_and_a_probe_closes_it(
    runtime: SandboxRuntime, asked: Asked
) -> None:
    runtime.scripts[MODEL] = refusing(503, "ServiceUnavailableException")
    rule, clock = CircuitRule(min_calls=3), FakeClock()
    async with asked(policy=replace(QUICK, circuit=rule), clock=clock) as judge:
        first = await judge.verdict(CANDIDATE)
        assert judge.circuit_open
        second = await judge.verdict(CANDIDATE)
        assert (first, second.bill.calls) == (Unavailable("circuit_open", first.bill), 0)
        assert second == Unavailable("circuit_open")
        assert len(runtime.calls) == 3
        runtime.scripts[MODEL] = answering()
        clock.advance(s=rule.open_s)
        assert isinstance(await judge.verdict(CANDIDATE), Scored)
        assert not judge.circuit_open


async def test_a_probe_that_is_throttled_makes_room_for_another(
    runtime: SandboxRuntime, asked: Asked
) -> None:
    runtime.scripts[MODEL] = refusing(503, "ServiceUnavailableException")
    rule, clock = CircuitRule(min_calls=1), FakeClock()
    async with asked(policy=replace(QUICK, max_failures=1, circuit=rule), clock=clock) as judge:
        await judge.verdict(CANDIDATE)
        runtime.scripts[MODEL] = refusing(429, "ThrottlingException", times=1)
        clock.advance(s=rule.open_s)
        assert (await judge.verdict(CANDIDATE)).bill.calls == 1
        assert isinstance(await judge.verdict(CANDIDATE), Scored)


async def test_throttles_open_no_circuit(runtime: SandboxRuntime, asked: Asked) -> None:
    runtime.scripts[MODEL] = refusing(429, "ThrottlingException")
    async with asked(policy=replace(QUICK, circuit=CircuitRule(min_calls=2))) as judge:
        for _ in range(3):
            await judge.verdict(CANDIDATE)
        assert not judge.circuit_open


async def test_a_pause_that_bedrock_asks_for_is_kept_or_the_candidate_given_back(
    runtime: SandboxRuntime, asked: Asked
) -> None:
    runtime.scripts[MODEL] = refusing(
        503, "ServiceUnavailableException", times=1, headers={"Retry-After": "1"}
    )
    loop = asyncio.get_running_loop()
    async with asked() as judge:
        started_s = loop.time()
        assert isinstance(await judge.verdict(CANDIDATE), Scored)
        assert loop.time() - started_s >= 1.0
    runtime.scripts[MODEL] = refusing(503, "ServiceUnavailableException", headers={"Retry-After": "3600"})
    async with asked() as judge:
        assert isinstance(await judge.verdict(CANDIDATE), Unavailable)
        assert judge.counts == {"server_error": 1}


async def test_no_more_calls_are_under_way_than_allowed(runtime: SandboxRuntime, asked: Asked) -> None:
    under_way = most = 0
    full = asyncio.Event()
    async with asked(policy=replace(QUICK, concurrency=3)) as judge:
        post = judge._http.post

        async def counted(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
            """A call, the first ones when there are as many as may be."""
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            if under_way == 3:
                full.set()
            await full.wait()
            answer = await post(path, headers, body)
            under_way -= 1
            return answer

        judge._http.post = counted  # type: ignore[method-assign]
        async with asyncio.timeout(60):
            outcomes = await asyncio.gather(*(judge.verdict(CANDIDATE) for _ in range(12)))
    assert all(isinstance(outcome, Scored) for outcome in outcomes)
    assert most == 3
    assert len(runtime.calls) == 12


async def test_a_worker_that_stops_writes_down_what_it_may_have_to_pay(
    runtime: SandboxRuntime, ledger: KeptRecords, asked: Asked
) -> None:
    runtime.scripts[MODEL] = answering(header_delay_ms=60_000)
    async with asked() as judge:
        asking = asyncio.create_task(judge.verdict(CANDIDATE))
        await eventually(lambda: runtime.calls_in_flight or None)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        (record,) = ledger.records
        assert (record.outcome, record.usage_source) == (Outcome.CLIENT_CANCELLED, UsageSource.UNKNOWN)
        runtime.scripts[MODEL] = answering()
        assert isinstance(await judge.verdict(CANDIDATE), Scored)


async def test_without_a_price_the_cost_is_unknown_counted_and_said_once(
    runtime: SandboxRuntime, asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    async with asked(prices=parse_prices('version = "empty"')) as judge:
        await judge.verdict(CANDIDATE)
        outcome = await judge.verdict(CANDIDATE)
    assert isinstance(outcome, Scored)
    assert (outcome.bill.cost_usd, outcome.bill.known_usd) == (None, Decimal(0))
    assert outcome.bill.usage == TokenUsage(1_000, 200)
    assert judge.unpriced_calls == len(runtime.calls) == 2
    assert [record.getMessage() for record in caplog.records if "no price" in record.getMessage()] == [
        "the judge has no price here: no budget can be held"
    ]


async def test_a_bug_loses_no_candidate(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    async with asked() as judge:

        def broken() -> float:
            raise RuntimeError(CANARY)

        monkeypatch.setattr(judge, "_now_s", broken)
        assert await judge.verdict(CANDIDATE) == Unavailable("internal")
        monkeypatch.undo()
        assert isinstance(await judge.verdict(CANDIDATE), Scored)
