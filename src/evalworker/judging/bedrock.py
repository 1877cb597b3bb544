"""A judge on Bedrock: one candidate in, one outcome out, by Converse over the lean client.

Told apart by status, never by the class of an exception (`statuses`). What may pass is tried again here, with
full jitter and for a bounded time; then the candidate is to be brought again, and a later try really asks.
Whatever may have cost money goes to the ledger as an invocation of origin `judge`, in the tenant's name.
"""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import aiohttp
import msgspec

from evalworker.judging.asking import Asking
from evalworker.judging.judge import (
    NOTHING_SPENT,
    CallFailure,
    Candidate,
    JudgeConfig,
    Malformed,
    Outcome,
    Refused,
    RefusedReason,
    Scored,
    Unavailable,
    judge_of,
)
from evalworker.judging.prompt import render, system_text, tool_config
from evalworker.judging.statuses import (
    CONNECTION_LOST,
    NOT_CONNECTED,
    TIMED_OUT,
    Failure,
    Rejection,
    complaint,
    meaning,
)
from evalworker.judging.verdict import Declined, NoVerdict, Verdict, read_reply
from llmplatform import ids
from llmplatform.aws.signed_http import Answer, SignedHttp
from llmplatform.circuit import Circuit, CircuitRule
from llmplatform.clock import Clock
from llmplatform.invocation import InvocationRecord
from llmplatform.prices import PriceTable
from llmplatform.sinks import Sink
from llmplatform.usage import NO_USAGE, TokenUsage

logger = logging.getLogger(__name__)

_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json"}
_TRACE_ID: Final = re.compile("[0-9a-f]{32}")
# A request id takes 10 bytes, a span id 8.
_RANDOM_BYTES: Final = 18


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """How hard a judge is asked. How long one call may take is the client's to say."""

    concurrency: int = 32
    """Calls under way at a time, in this worker."""
    max_failures: int = 4
    """Calls without an answer before the candidate is given back."""
    max_malformed: int = 2
    """Answers without a verdict before none is expected any more."""
    total_s: float = 90.0
    """No further call is begun later than this after the first."""
    base_backoff_s: float = 0.5
    max_backoff_s: float = 15.0
    circuit: CircuitRule = field(default_factory=CircuitRule)

    def backoff_s(self, failure: int, random: float) -> float:
        """Seconds to wait after failure number `failure` (from 1): full jitter, `random` in [0, 1)."""
        return random * min(self.max_backoff_s, self.base_backoff_s * 2.0 ** (failure - 1))


@dataclass(frozen=True, slots=True)
class _Unanswered:
    """A call without an answer, and how long Bedrock asks to be left alone."""

    failure: Failure
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _HeldBack:
    """A call that the circuit did not let out."""


class BedrockJudge:
    """Asks the judge of a configuration. One a process: it holds the concurrency limit and the circuit."""

    def __init__(
        self,
        config: JudgeConfig,
        http: SignedHttp,
        *,
        ledger: Sink[InvocationRecord],
        prices: PriceTable,
        region: str,
        clock: Clock,
        random: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        policy: CallPolicy | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`http` is open, speaks to `bedrock-runtime` and has as many connections as calls are allowed."""
        self.judge = judge_of(config)
        self.counts: Counter[CallFailure] = Counter()
        """Calls that gave no verdict, by reason."""
        self.unpriced_calls = 0
        """Calls that may be billed and whose cost is not known: no budget can be held against them."""
        self._config = config
        self._http = http
        self._ledger = ledger
        self._prices = prices
        self._region = region
        self._clock = clock
        self._random = random
        self._random_bytes = random_bytes
        self._policy = policy or CallPolicy()
        self._sleep = sleep
        self._places = asyncio.Semaphore(self._policy.concurrency)
        self._circuit = Circuit(self._policy.circuit)
        self._has_answered = False
        self._path = f"/model/{quote(config.model.model_id, safe='')}/converse"
        tools = tool_config(config.rubric, forced=config.model.tool_choice == "tool")
        self._frame = {
            "system": msgspec.Raw(msgspec.json.encode([{"text": system_text(config.rubric)}])),
            "toolConfig": msgspec.Raw(msgspec.json.encode(tools)),
            "inferenceConfig": msgspec.Raw(msgspec.json.encode(config.decoding)),
        }
        price_key = config.model.price_key
        if prices.price_of(price_key, "output", at=clock.now().date(), region=region) is None:
            logger.warning(
                "the judge has no price here: no budget can be held",
                extra={"price_key": price_key, "region": region},
            )

    @property
    def circuit_open(self) -> bool:
        """Whether calls are held back for the model's health."""
        return self._circuit.state(self._now_s()) != "closed"

    async def verdict(self, candidate: Candidate) -> Outcome:
        """What the judge says of a candidate, or why it says nothing. Raises nothing but CancelledError."""
        asking: Asking | None = None
        outcome: Outcome | None = None
        try:
            asking = self._begin(candidate)
            outcome = await self._ask(asking)
        except Exception:  # a bug, or a provider of credentials: the candidate must not be lost by it
            logger.exception("asking the judge failed")
            self.counts["internal"] += 1
            outcome = Unavailable("internal", NOTHING_SPENT if asking is None else asking.bill())
        finally:
            if asking is not None:
                self._write_down(asking, outcome)
        return outcome

    def _begin(self, candidate: Candidate) -> Asking:
        config = self._config
        now = self._clock.now()
        random = self._random_bytes(_RANDOM_BYTES)
        request_id = ids.request_id(int(now.timestamp() * 1_000), random[:10])
        material = render(config.rubric, candidate.request_id, candidate.content, config.limits)
        trace_id = candidate.trace_id if _TRACE_ID.fullmatch(candidate.trace_id) else ids.UNKNOWN
        body = {
            **self._frame,
            "messages": [{"role": "user", "content": material.blocks}],
            # Bedrock refuses a request for one character that it does not allow here.
            "requestMetadata": {
                "origin": "judge",
                "tenant_id": ids.tenant_id(candidate.tenant_id) or ids.UNKNOWN,
                "trace_id": trace_id,
                "request_id": request_id,
            },
        }
        return Asking(
            candidate=candidate,
            model=config.model,
            request_id=request_id,
            span_id=random[10:].hex(),
            asked_at=now,
            started_ns=self._clock.monotonic_ns(),
            content_truncated=material.truncated,
            body=msgspec.json.encode(body),
        )

    async def _ask(self, asking: Asking) -> Outcome:
        while True:
            said = await self._call(asking)
            match said:
                case Verdict():
                    latency_ms = asking.attempts[-1].duration_ms
                    return Scored(said, asking.content_truncated, latency_ms, asking.bill())
                case NoVerdict(kind):
                    self.counts["malformed"] += 1
                    asking.malformed += 1
                    if asking.malformed >= self._policy.max_malformed:
                        return Malformed(kind, asking.bill())
                case Declined(reason) | Rejection(reason):
                    return self._refused(reason, asking)
                case _HeldBack():
                    self.counts["circuit_open"] += 1
                    return Unavailable("circuit_open", asking.bill())
                case _Unanswered(failure, retry_after_s):
                    self.counts[failure.reason] += 1
                    if not failure.retryable or not await self._may_repeat(asking, retry_after_s):
                        return Unavailable(failure.reason, asking.bill())

    def _refused(self, reason: RefusedReason | None, asking: Asking) -> Outcome:
        """The end for this candidate, unless the fault may be the judge's own.

        A judge that has never answered and now finds a request invalid is taken to be set up wrongly: by
        an error of its configuration every sample would be marked as refused.
        """
        if reason is None and not self._has_answered:
            self.counts["misconfigured"] += 1
            return Unavailable("misconfigured", asking.bill())
        refused = Refused(reason or "rejected", asking.bill())
        self.counts[refused.reason] += 1
        return refused

    async def _may_repeat(self, asking: Asking, retry_after_s: float) -> bool:
        """Wait before another call; False when there is to be none."""
        asking.failures += 1
        if asking.failures >= self._policy.max_failures:
            return False
        wait_s = max(self._policy.backoff_s(asking.failures, self._random()), retry_after_s)
        waited_s = (self._clock.monotonic_ns() - asking.started_ns) / 1e9
        if waited_s + wait_s > self._policy.total_s:
            return False
        await self._sleep(wait_s)
        return True

    async def _call(
        self, asking: Asking
    ) -> Verdict | NoVerdict | Declined | Rejection | _Unanswered | _HeldBack:
        """One call, in its place and past the circuit."""
        async with self._places:
            if not self._circuit.admit(self._now_s()):
                return _HeldBack()
            healthy: bool | None = None
            try:
                said = await self._exchange(asking)
                match said:
                    case _Unanswered(failure):
                        healthy = False if failure.ill else None
                    case Verdict() | NoVerdict() | Declined():
                        healthy = True
                return said
            finally:
                if healthy is None:
                    self._circuit.release()
                else:
                    self._circuit.record(healthy=healthy, now_s=self._now_s())

    async def _exchange(self, asking: Asking) -> Verdict | NoVerdict | Declined | Rejection | _Unanswered:
        started_ns = self._clock.monotonic_ns()
        try:
            answer = await self._post(asking.body)
        except asyncio.CancelledError:
            self._take_failure(asking, started_ns, CONNECTION_LOST)
            raise
        if isinstance(answer, Failure):
            self._take_failure(asking, started_ns, answer)
            return _Unanswered(answer)
        upstream_request_id = answer.headers.get("x-amzn-RequestId")
        if answer.ok:
            self._has_answered = True
            reply = read_reply(answer.body, self._config.rubric.tool_name)
            self._charge(asking, reply.usage)
            asking.called(
                started_ns=started_ns,
                ended_ns=self._clock.monotonic_ns(),
                usage=reply.usage,
                upstream_request_id=upstream_request_id,
            )
            return reply.said
        told = complaint(answer.headers, answer.body)
        failed = meaning(answer.status, told)
        self._take_failure(asking, started_ns, failed, told.error_type, upstream_request_id)
        return _Unanswered(failed, told.retry_after_s) if isinstance(failed, Failure) else failed

    async def _post(self, body: bytes) -> Answer | Failure:
        try:
            return await self._http.post(self._path, _HEADERS, body)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            return NOT_CONNECTED
        except TimeoutError:
            return TIMED_OUT
        except (aiohttp.ClientError, OSError):
            return CONNECTION_LOST

    def _take_failure(
        self,
        asking: Asking,
        started_ns: int,
        failed: Failure | Rejection,
        error_type: str = "",
        upstream_request_id: str | None = None,
    ) -> None:
        if isinstance(failed, Failure) and failed.maybe_billed:
            self._charge(asking, NO_USAGE)
        asking.called(
            started_ns=started_ns,
            ended_ns=self._clock.monotonic_ns(),
            failed=failed,
            error_type=error_type,
            upstream_request_id=upstream_request_id,
        )

    def _charge(self, asking: Asking, usage: TokenUsage) -> None:
        cost = self._prices.cost_of(
            usage, self._config.model.price_key, at=self._clock.now().date(), region=self._region
        )
        asking.charge(usage, cost)
        self.unpriced_calls += cost.amount_usd is None

    def _write_down(self, asking: Asking, outcome: Outcome | None) -> None:
        record = asking.record(outcome, now=self._clock.now(), now_ns=self._clock.monotonic_ns())
        if record is not None:
            self._ledger.accept(record)

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9
