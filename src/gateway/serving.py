"""The story of one inference request, whatever its surface and whatever its backend.

    authenticate -> admit -> parse -> route -> call (retry, fall back) -> relay -> settle

`Serving.serve` always returns with an outcome set on the invocation; only a cancellation from outside and a
bug of ours travel on, to `http/observe.py`, which closes the record.
"""

import asyncio
import random
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from gateway.backends.backend import Backend, BackendCall
from gateway.chat import ChatRequest
from gateway.circuit import Circuit
from gateway.dialects.dialect import CallIdentity, Dialect
from gateway.http.asgi import Receive, Scope, Send
from gateway.http.authenticate import authenticate, check_claim
from gateway.http.body import ClientLeftEarly, read_body
from gateway.http.replying import ClientReply, StreamReply, WholeReply
from gateway.invocation import Invocation, RunningAttempt
from gateway.lifeline import Lifeline, Lifelines, RequestCut
from gateway.limits import InFlight
from gateway.prompt_study import PromptStudy
from gateway.retrying import RetryBudget, backoff_s, may_fall_back, may_repeat
from gateway.routing import Route, routes
from gateway.sinks.spans import attempt_span_id
from gateway.surfaces.surface import ReplyHeading, Surface
from gateway.tokenizing import TokenCounter
from llmplatform.aws.parameters import PolicySource
from llmplatform.catalogue import Catalogue, DialectName, ModelEntry
from llmplatform.clock import Clock
from llmplatform.errors import (
    BackendFault,
    BackendUnavailable,
    GatewayOverloaded,
    PlatformFault,
)
from llmplatform.ids import UNKNOWN
from llmplatform.invocation import Outcome
from llmplatform.policy import ContentMode
from llmplatform.sampling import effective_rate, evaluation_chosen


@dataclass(frozen=True, slots=True)
class ServingLimits:
    """Bounds on one request."""

    max_body_bytes: int = 20 * 1024 * 1024
    body_timeout_s: float = 30.0
    ping_s: float = 15.0
    """Silence towards a streaming client before a ping. Load balancers cut idle connections at 60 s."""
    stall_s: float = 60.0
    """How long a client may leave its stream unread."""


class Serving:
    """Everything that the request path is made of, put together once."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        policies: PolicySource,
        backends: Mapping[str, Backend],
        dialects: Mapping[DialectName, Dialect],
        counter: TokenCounter,
        in_flight: InFlight,
        lifelines: Lifelines,
        clock: Clock,
        limits: ServingLimits,
    ) -> None:
        self._catalogue = catalogue
        self._policies = policies
        self._backends = backends
        self._dialects = dialects
        self._counter = counter
        self._in_flight = in_flight
        self._lifelines = lifelines
        self._clock = clock
        self._limits = limits
        self._retries = RetryBudget()
        self.circuits = {name: Circuit() for name in catalogue.models}

    async def serve(
        self, scope: Scope, receive: Receive, send: Send, surface: Surface, invocation: Invocation
    ) -> None:
        """Answer one request and leave its outcome on `invocation`."""
        reply: ClientReply = WholeReply(surface, send, invocation.trace.trace_id)
        try:
            headers: dict[bytes, bytes] = dict(scope["headers"])
            policy = invocation.policy = await authenticate(headers, self._policies)
            check_claim(headers, policy)
            with self._in_flight.permit(policy):
                body = await read_body(
                    receive,
                    headers,
                    max_bytes=self._limits.max_body_bytes,
                    timeout_s=self._limits.body_timeout_s,
                )
                invocation.body_read_ns = self._clock.monotonic_ns()
                request = invocation.request = surface.decode(body)
                plan = self._plan(request, invocation)
                self._choose_for_evaluation(request, invocation)
                study = PromptStudy(self._counter, request, plan[0].model, invocation)
                try:
                    async with self._lifelines.watch(receive) as lifeline:
                        if request.stream:
                            reply = self._stream_reply(surface, send, invocation, lifeline)
                        await self._answer(invocation, plan, reply, lifeline, study)
                finally:
                    await study.settle()
                    study.learn()
        except (ClientLeftEarly, RequestCut) as cut:
            await self._cut(cut, invocation, reply)
        except PlatformFault as fault:
            invocation.error = fault
            invocation.outcome = (
                Outcome.BACKEND_FAILED if isinstance(fault, BackendFault) else Outcome.REFUSED
            )
            await _unless_gone(reply.fail(fault))
        finally:
            reply.close()

    def _plan(self, request: ChatRequest, invocation: Invocation) -> tuple[Route, ...]:
        invocation.requested_model_id = request.model if request.model in self._catalogue.models else UNKNOWN
        policy = invocation.policy
        assert policy is not None  # noqa: S101 - authenticated by now
        return routes(request, policy, self._catalogue, self._check)

    def _check(self, request: ChatRequest, model: ModelEntry) -> None:
        self._dialects[model.dialect].check(request, model)

    def _choose_for_evaluation(self, request: ChatRequest, invocation: Invocation) -> None:
        policy = invocation.policy
        assert policy is not None  # noqa: S101 - authenticated by now
        factor = self._policies.sampling_factor(self._clock.now())
        invocation.sample_rate = effective_rate(policy.eval_sample_rate, factor)
        skipped = request.evaluation is not None and request.evaluation.skip
        invocation.sampled = not skipped and evaluation_chosen(invocation.request_id, invocation.sample_rate)
        invocation.sample_reason = "rate" if invocation.sampled else None
        wanted = invocation.sampled and policy.content_mode is not ContentMode.HASH_ONLY
        invocation.keep_text = wanted or policy.may_log_content

    def _stream_reply(
        self, surface: Surface, send: Send, invocation: Invocation, lifeline: Lifeline
    ) -> StreamReply:
        return StreamReply(
            surface,
            send,
            invocation.trace.trace_id,
            ping_s=self._limits.ping_s,
            stall_s=self._limits.stall_s,
            on_stall=lambda: lifeline.cut("client_stalled"),
        )

    async def _answer(
        self,
        invocation: Invocation,
        plan: tuple[Route, ...],
        reply: ClientReply,
        lifeline: Lifeline,
        study: PromptStudy,
    ) -> None:
        """Call the models of the plan in turn until one answers. Raises the last fault when none does."""
        self._retries.deposit()
        fault: BackendFault | None = None
        reason: str = plan[0].reason
        for route in plan:
            circuit = self.circuits[route.model.model_id]
            for number in range(1, route.model.max_attempts + 1):
                if not circuit.admit(self._now_s()):
                    fault = fault or BackendUnavailable(
                        f"model {route.model.model_id} is failing; its circuit is open",
                        error_type="circuit_open",
                    )
                    reason = "circuit_open"
                    break
                attempt = invocation.begin_attempt(route, reason, self._clock.monotonic_ns())
                fault = await self._attempt(invocation, attempt, reply, lifeline, study)
                if fault is None:
                    return
                if reply.committed or lifeline.gone:
                    raise fault
                reason = "retry"
                if (
                    not may_repeat(fault)
                    or number == route.model.max_attempts
                    or not self._retries.withdraw()
                ):
                    break
                await asyncio.sleep(backoff_s(number, random.random()))  # noqa: S311 - jitter
            if fault is None or not may_fall_back(fault):
                break
            if reason != "circuit_open":
                reason = "fallback"
        assert fault is not None  # noqa: S101 - a plan has at least one route
        raise fault

    async def _attempt(
        self,
        invocation: Invocation,
        attempt: RunningAttempt,
        reply: ClientReply,
        lifeline: Lifeline,
        study: PromptStudy,
    ) -> BackendFault | None:
        """Make one call and relay what it says: None when it was answered to the end, else what broke it."""
        model = attempt.route.model
        circuit = self.circuits[model.model_id]
        outcome, fault = Outcome.CLIENT_CANCELLED, None
        lifeline.hold(model.disconnect_policy == "drain")
        reply.head(self._heading(invocation, model))
        try:
            await self._relay(invocation, attempt, reply, lifeline)
            outcome = Outcome.CLIENT_CANCELLED if lifeline.gone else Outcome.COMPLETED
        except BackendFault as broken:
            outcome, fault = Outcome.BACKEND_FAILED, broken
        finally:
            lifeline.hold(False)
            if outcome is Outcome.CLIENT_CANCELLED:
                circuit.release()
                if lifeline.reason == "shutting_down":
                    outcome = Outcome.BACKEND_FAILED
            elif fault is not None and not fault.counts_against_health:
                circuit.release()
            else:
                circuit.record(healthy=fault is None, now_s=self._now_s())
            if not attempt.meter.usage_complete:
                await study.settle()
            invocation.end_attempt(
                attempt,
                outcome,
                fault,
                drained=lifeline.gone,
                output_estimate=study.output_estimate(attempt),
                now_ns=self._clock.monotonic_ns(),
            )
        if fault is None:
            await self._end(invocation, reply, lifeline)
        return fault

    async def _relay(
        self, invocation: Invocation, attempt: RunningAttempt, reply: ClientReply, lifeline: Lifeline
    ) -> None:
        model, meter, clock = attempt.route.model, attempt.meter, self._clock
        request = invocation.request
        assert request is not None  # noqa: S101 - parsed by now
        if request.stream and not model.streaming:
            request = replace(request, stream=False)
        call = BackendCall(request, model, self._identity(invocation))
        async with self._backends[model.endpoint_type].open(call) as upstream:
            attempt.opened = True
            attempt.upstream_request_id = upstream.upstream_request_id
            while events := await upstream.read():
                meter.observe(events, clock.monotonic_ns())
                if meter.fault is not None:
                    if len(events) > 1 and not lifeline.gone and meter.first_content_ns is not None:
                        await reply.deliver(events[:-1])
                    raise meter.fault
                if lifeline.gone:
                    continue
                try:
                    await reply.deliver(events)
                except OSError:
                    lifeline.client_left()
                    continue
                if invocation.first_token_delivered_ns is None and meter.first_content_ns is not None:
                    invocation.first_token_delivered_ns = clock.monotonic_ns()

    async def _end(self, invocation: Invocation, reply: ClientReply, lifeline: Lifeline) -> None:
        if not lifeline.gone:
            try:
                await reply.end(invocation.usage, invocation.usage_source)
            except OSError:
                lifeline.client_left()
        invocation.outcome = Outcome.CLIENT_CANCELLED if lifeline.gone else Outcome.COMPLETED

    async def _cut(self, cut: Exception, invocation: Invocation, reply: ClientReply) -> None:
        if isinstance(cut, RequestCut) and cut.reason == "shutting_down":
            fault = GatewayOverloaded(
                "the gateway is shutting down; the reply is incomplete", retry_after_s=1
            )
            invocation.error = fault
            invocation.outcome = Outcome.BACKEND_FAILED
            await _unless_gone(reply.fail(fault))
        else:
            invocation.outcome = Outcome.CLIENT_CANCELLED

    def _heading(self, invocation: Invocation, model: ModelEntry) -> ReplyHeading:
        request = invocation.request
        return ReplyHeading(
            f"chatcmpl-{invocation.request_id}",
            int(invocation.received_at.timestamp()),
            model.model_id,
            include_usage=request.include_usage if request else False,
        )

    def _identity(self, invocation: Invocation) -> CallIdentity:
        policy = invocation.policy
        return CallIdentity(
            tenant_id=policy.tenant_id if policy else UNKNOWN,
            request_id=invocation.request_id,
            trace_id=invocation.trace.trace_id,
            span_id=attempt_span_id(invocation.request_id, len(invocation.attempts)),
        )

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9


async def _unless_gone(sending: Awaitable[None]) -> None:
    """Send, unless the client turns out to have left."""
    with suppress(OSError):
        await sending
