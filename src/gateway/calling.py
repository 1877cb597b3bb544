"""Calls the models of a plan in turn until one answers, and relays what it says as it comes.

Retries and fallbacks happen here, and only while nothing of an answer has left for the client. Every call
leaves an attempt on the record, whatever ends it.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.backends.backend import Backend, BackendCall
from gateway.chat import ChatEvent, ChatRequest
from gateway.dialects.dialect import CallIdentity
from gateway.http.replying import ClientReply
from gateway.invocation import Invocation, RunningAttempt
from gateway.lifeline import Lifeline, RequestCut
from gateway.prompt_study import PromptStudy
from gateway.retrying import RetryBudget, backoff_s, may_fall_back, may_repeat
from gateway.routing import Route
from gateway.surfaces.surface import ReplyHeading
from llmplatform.catalogue import Catalogue
from llmplatform.circuit import Circuit
from llmplatform.clock import Clock
from llmplatform.errors import BackendFault, BackendUnavailable
from llmplatform.invocation import Outcome
from llmplatform.policy import TenantPolicy
from llmplatform.tracecontext import attempt_span_id


@dataclass(frozen=True, slots=True)
class Exchange:
    """One admitted request and everything that answers it."""

    invocation: Invocation
    policy: TenantPolicy
    request: ChatRequest
    plan: Sequence[Route]
    """At least one route; the first is the requested model."""
    reply: ClientReply
    lifeline: Lifeline
    study: PromptStudy


class Caller:
    """The backends, how they have been doing, and how much may be tried again."""

    def __init__(self, backends: Mapping[str, Backend], catalogue: Catalogue, clock: Clock) -> None:
        self._backends = backends
        self._clock = clock
        # By model, both: an ill one uses up neither the patience nor the retries that others need.
        self._retries = {name: RetryBudget() for name in catalogue.models}
        self.circuits: Mapping[str, Circuit] = {name: Circuit() for name in catalogue.models}
        """By public model name."""

    async def answer(self, exchange: Exchange) -> None:
        """Answer, or raise the BackendFault that the client is to be told. Sets the outcome of an answer."""
        reason, fault = exchange.plan[0].reason, None
        for route in exchange.plan:
            fault = await self._try(exchange, route, reason) or fault
            if exchange.invocation.outcome is not None:
                return
            if fault is None or exchange.reply.committed or not may_fall_back(fault):
                break
            reason = "circuit_open" if fault.error_type == "circuit_open" else "fallback"
        raise fault or BackendUnavailable("no model could be called")

    async def _try(self, exchange: Exchange, route: Route, reason: str) -> BackendFault | None:
        """Call one model, again where that may help: None when it answered, else its last fault."""
        model, circuit = route.model, self.circuits[route.model.model_id]
        retries = self._retries[model.model_id]
        retries.deposit()
        fault: BackendFault | None = None
        for number in range(1, model.max_attempts + 1):
            if not circuit.admit(self._now_s()):
                return fault or BackendUnavailable(
                    f"model {model.model_id} is failing; its circuit is open", error_type="circuit_open"
                )
            attempt = exchange.invocation.begin_attempt(route, reason, self._clock.monotonic_ns())
            fault = await self._attempt(exchange, attempt, circuit)
            if fault is None:
                await self._end(exchange)
                return None
            if exchange.lifeline.gone:
                raise RequestCut("client_gone") from fault
            if exchange.reply.committed or not may_repeat(fault):
                return fault
            if number == model.max_attempts or not retries.withdraw():
                return fault
            reason = "retry"
            await asyncio.sleep(backoff_s(number, random.random()))  # noqa: S311 - jitter
        return fault

    async def _attempt(
        self, exchange: Exchange, attempt: RunningAttempt, circuit: Circuit
    ) -> BackendFault | None:
        """Make one call and relay what it says: None when it was answered to the end, else what broke it."""
        lifeline, study = exchange.lifeline, exchange.study
        outcome: Outcome = Outcome.REFUSED  # by a bug of ours, unless something better is found below
        fault: BackendFault | None = None
        lifeline.hold(attempt.route.model.disconnect_policy == "drain")
        exchange.reply.head(_heading(exchange, attempt))
        try:
            await self._relay(exchange, attempt, circuit)
            outcome = Outcome.CLIENT_CANCELLED if lifeline.gone else Outcome.COMPLETED
        except BackendFault as broken:
            outcome, fault = Outcome.BACKEND_FAILED, broken
        except asyncio.CancelledError:
            shut_down = lifeline.reason == "shutting_down"
            outcome = Outcome.BACKEND_FAILED if shut_down else Outcome.CLIENT_CANCELLED
            raise
        finally:
            ended_ns = self._clock.monotonic_ns()
            if fault is not None and fault.counts_against_health:
                began_well = attempt.meter.first_event_ns is not None
                circuit.record(healthy=False, now_s=self._now_s(), first=not began_well)
            else:
                circuit.release()
            try:
                # Only an estimate needs our own count: a retry does not wait for it.
                if not attempt.meter.usage_complete and attempt.may_be_billed(fault):
                    await study.settle()
            finally:
                exchange.invocation.end_attempt(
                    attempt,
                    outcome,
                    fault,
                    drained=lifeline.gone,
                    output_estimate=study.output_estimate(attempt),
                    now_ns=ended_ns,
                )
                lifeline.hold(False)
        return fault

    async def _relay(self, exchange: Exchange, attempt: RunningAttempt, circuit: Circuit) -> None:
        """Pass on what one call says, each read at once and as one piece."""
        invocation, lifeline, clock = exchange.invocation, exchange.lifeline, self._clock
        model, meter, request = attempt.route.model, attempt.meter, exchange.request
        if request.stream and not model.streaming:
            request = replace(request, stream=False)
        call = BackendCall(request, model, _identity(exchange))
        backend = self._backends[model.endpoint_type]
        attempt.trace_sent = backend.sends_trace
        async with backend.open(call) as upstream:
            attempt.opened = True
            attempt.upstream_request_id = upstream.upstream_request_id
            while events := await upstream.read():
                if meter.first_event_ns is None:
                    circuit.record(healthy=True, now_s=self._now_s())
                meter.observe(events, clock.monotonic_ns())
                if meter.fault is not None:
                    events = events[:-1]
                if not lifeline.gone and (meter.fault is None or meter.first_content_ns is not None):
                    await _hand_on(exchange, events)
                    if invocation.first_token_delivered_ns is None and exchange.reply.committed:
                        invocation.first_token_delivered_ns = clock.monotonic_ns()
                if meter.fault is not None:
                    raise meter.fault

    async def _end(self, exchange: Exchange) -> None:
        """End an answered reply.

        Nothing may be awaited after its last byte: from then on the server reports the client as gone.
        """
        invocation, lifeline = exchange.invocation, exchange.lifeline
        if not lifeline.gone:
            try:
                await exchange.reply.end(invocation.usage, invocation.usage_source)
            except OSError:
                lifeline.client_left()
            if invocation.first_token_delivered_ns is None:  # a reply in one piece
                invocation.first_token_delivered_ns = self._clock.monotonic_ns()
        invocation.outcome = Outcome.CLIENT_CANCELLED if lifeline.gone else Outcome.COMPLETED

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9


async def _hand_on(exchange: Exchange, events: Sequence[ChatEvent]) -> None:
    try:
        await exchange.reply.deliver(events)
    except OSError:
        exchange.lifeline.client_left()


def _heading(exchange: Exchange, attempt: RunningAttempt) -> ReplyHeading:
    invocation = exchange.invocation
    return ReplyHeading(
        f"chatcmpl-{invocation.request_id}",
        int(invocation.received_at.timestamp()),
        attempt.route.model.model_id,
        include_usage=exchange.request.include_usage,
    )


def _identity(exchange: Exchange) -> CallIdentity:
    invocation = exchange.invocation
    return CallIdentity(
        tenant_id=exchange.policy.tenant_id,
        request_id=invocation.request_id,
        trace_id=invocation.trace.trace_id,
        span_id=attempt_span_id(invocation.request_id, len(invocation.attempts)),
    )
