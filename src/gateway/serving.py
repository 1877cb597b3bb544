"""The story of one inference request, whatever its surface and whatever its backend.

    authenticate -> admit -> read -> parse -> route -> choose for evaluation -> call and relay -> settle

Calling and relaying are told in `calling.py`. Whatever happens, the invocation has an outcome in the end;
`http/observe.py` closes its record.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from gateway.backends.backend import Backend
from gateway.calling import Caller, Exchange
from gateway.chat import ChatRequest
from gateway.dialects.dialect import Dialect
from gateway.http.asgi import Receive, Scope, Send
from gateway.http.authenticate import authenticate, check_claim
from gateway.http.body import ClientLeftEarly, read_body
from gateway.http.replying import ClientReply, StreamReply, WholeReply
from gateway.invocation import Invocation
from gateway.lifeline import Lifeline, Lifelines, RequestCut
from gateway.limits import InFlight
from gateway.prompt_study import PromptStudy
from gateway.routing import Route, routes
from gateway.surfaces.surface import Surface
from gateway.tokenizing import TokenCounter
from llmplatform.aws.parameters import PolicySource
from llmplatform.catalogue import Catalogue, DialectName, ModelEntry
from llmplatform.circuit import Circuit
from llmplatform.clock import Clock
from llmplatform.errors import BackendFault, GatewayOverloaded, InternalFault, PlatformFault
from llmplatform.ids import UNKNOWN
from llmplatform.invocation import Outcome
from llmplatform.policy import ContentMode, TenantPolicy
from llmplatform.sampling import effective_rate, evaluation_chosen

logger = logging.getLogger(__name__)


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
        self._dialects = dialects
        self._counter = counter
        self._in_flight = in_flight
        self._lifelines = lifelines
        self._clock = clock
        self._limits = limits
        self._caller = Caller(backends, catalogue, clock)

    @property
    def circuits(self) -> Mapping[str, Circuit]:
        """The circuit of each model, by its public name."""
        return self._caller.circuits

    async def serve(
        self, scope: Scope, receive: Receive, send: Send, surface: Surface, invocation: Invocation
    ) -> None:
        """Answer one request and leave its outcome on `invocation`. Only a cancellation gets out of here."""
        reply: ClientReply = WholeReply(surface, send, invocation.trace.trace_id)
        study: PromptStudy | None = None
        try:
            headers = scope["headers"]
            policy = invocation.policy = await authenticate(headers, self._policies)
            check_claim(headers, policy)
            with self._in_flight.permit(policy):
                body = await read_body(
                    receive,
                    dict(headers),
                    max_bytes=self._limits.max_body_bytes,
                    timeout_s=self._limits.body_timeout_s,
                )
                invocation.body_read_ns = self._clock.monotonic_ns()
                request = invocation.request = surface.decode(body)
                plan = self._plan(request, policy, invocation)
                self._choose_for_evaluation(request, policy, invocation)
                study = PromptStudy(self._counter, request, plan[0].model, invocation)
                async with self._lifelines.watch(receive) as lifeline:
                    if request.stream:
                        reply = self._stream_reply(surface, send, invocation, lifeline)
                    await self._caller.answer(
                        Exchange(invocation, policy, request, plan, reply, lifeline, study)
                    )
        except ClientLeftEarly:
            invocation.outcome = Outcome.CLIENT_CANCELLED
        except RequestCut as cut:
            invocation.outcome = Outcome.CLIENT_CANCELLED
            if cut.reason == "shutting_down":
                fault = GatewayOverloaded(
                    "the gateway is shutting down; the reply is incomplete", retry_after_s=1
                )
                await self._fail(invocation, reply, fault, Outcome.BACKEND_FAILED)
        except BackendFault as fault:
            await self._fail(invocation, reply, fault, Outcome.BACKEND_FAILED)
        except PlatformFault as fault:
            await self._fail(invocation, reply, fault, Outcome.REFUSED)
        except Exception as bug:
            # The edge of a request: answered, on the record, and logged without anybody's values.
            logger.exception("a bug of ours failed a request", extra={"request_id": invocation.request_id})
            await self._fail(invocation, reply, InternalFault(type(bug).__name__), Outcome.REFUSED)
        finally:
            reply.close()
            invocation.over_ns = self._clock.monotonic_ns()
            if study is not None:
                # A count may still be waited for: the client has its answer, and so ends its latency.
                await study.settle()
                study.learn()

    def _plan(self, request: ChatRequest, policy: TenantPolicy, invocation: Invocation) -> tuple[Route, ...]:
        may_be_used = request.model in self._catalogue.models and policy.allows_model(request.model)
        # Of the others it is not told which there are, and a tenant reads its own rows.
        invocation.requested_model_id = request.model if may_be_used else UNKNOWN
        return routes(request, policy, self._catalogue, self._check)

    def _check(self, request: ChatRequest, model: ModelEntry) -> None:
        self._dialects[model.dialect].check(request, model)

    def _choose_for_evaluation(
        self, request: ChatRequest, policy: TenantPolicy, invocation: Invocation
    ) -> None:
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
            lifeline,
            ping_s=self._limits.ping_s,
            stall_s=self._limits.stall_s,
        )

    async def _fail(
        self, invocation: Invocation, reply: ClientReply, fault: PlatformFault, outcome: Outcome
    ) -> None:
        """Put a fault on the record and tell the client, if it is still there and reads."""
        invocation.error = fault
        invocation.outcome = outcome
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._limits.stall_s):
                await reply.fail(fault)
