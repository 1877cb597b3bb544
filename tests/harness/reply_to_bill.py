"""From a backend's bytes to a bill, by the product's own steps: decoder, record, ledger row, tally, amounts.

No process and no socket: a test holds both ends, what a backend said and what a tenant owes for it.
"""

from collections.abc import Sequence
from decimal import Decimal

import orjson

from corpus.costs import HOUR, REGION, prices
from costagg.allocation import AllocationRules, HourCost, allocate
from costagg.ledger_wire import decode_page
from costagg.tally import HourTally
from costagg.usage import Endpoints, HourUsage
from gateway.chat import ChatEvent, ChatRequest
from gateway.dialects.registry import DIALECTS
from gateway.invocation import Invocation
from gateway.routing import Route
from llmplatform.catalogue import DialectName, ModelEntry
from llmplatform.costs import CostLine
from llmplatform.invocation import InvocationRecord, Outcome
from llmplatform.ledger import encode_item
from llmplatform.testing import TRACE, FakeClock, make_policy


def decoded(dialect: DialectName, reply: bytes, *, stream: bool, size: int | None = None) -> list[ChatEvent]:
    """What a reply says; a stream in reads of `size` bytes, or in one."""
    if not stream:
        return list(DIALECTS[dialect].decode_reply(reply))
    decoder, size = DIALECTS[dialect].stream_decoder(), size or len(reply) or 1
    events: list[ChatEvent] = []
    for at in range(0, len(reply), size):
        events += decoder.feed(reply[at : at + size])
    return [*events, *decoder.finish()]


def recorded(
    model: ModelEntry, events: Sequence[ChatEvent], *, tenant: str = "acme", counted_prompt: int | None = 90
) -> InvocationRecord:
    """The record of a request that a model answered so; `counted_prompt` is our own count of its prompt."""
    clock = FakeClock(HOUR)
    invocation = Invocation(
        request_id=f"{tenant}-1",
        trace=TRACE,
        surface="chat_completions",
        received_at=clock.now(),
        arrived_ns=clock.monotonic_ns(),
    )
    invocation.policy = make_policy(tenant)
    invocation.request = ChatRequest(model.model_id, (), stream=True)
    invocation.counted_prompt_tokens = counted_prompt
    attempt = invocation.begin_attempt(Route(model, "requested"), "requested", clock.monotonic_ns())
    attempt.opened = True
    clock.advance(s=1)
    attempt.meter.observe(events, clock.monotonic_ns())
    fault = attempt.meter.fault
    invocation.outcome = Outcome.COMPLETED if fault is None else Outcome.BACKEND_FAILED
    invocation.end_attempt(
        attempt,
        invocation.outcome,
        fault,
        drained=False,
        output_estimate=-(-attempt.meter.content_bytes // 3),
        now_ns=clock.monotonic_ns(),
    )
    return invocation.finish(
        completed_at=clock.now(),
        now_ns=clock.monotonic_ns(),
        keep_trace=_kept,
    )


def _kept(trace_id: str, *, failed: bool, slow: bool, evaluated: bool) -> str:  # noqa: ARG001
    return "head"


def tallied(*records: InvocationRecord) -> HourUsage:
    """The usage of an hour that had these requests, read from rows as DynamoDB sends them."""
    tally = HourTally(HOUR)
    for record in records:
        page = decode_page(orjson.dumps({"Items": [encode_item(record)], "Count": 1}))
        assert page.undecodable == 0
        tally.add(record.tenant_id, page.rows)
    return tally.usage


def billed(*records: InvocationRecord, endpoints: Endpoints | None = None) -> HourCost:
    """The bill of that hour at the prices of `corpus.costs`."""
    return allocate(
        tallied(*records), endpoints or {}, prices(), region=REGION, rules=AllocationRules(), at_work=False
    )


def lines_of(cost: HourCost, tenant: str = "acme") -> list[CostLine]:
    """The lines of one tenant."""
    return [line for line in cost.lines if line.tenant_id == tenant]


def amounts(cost: HourCost, tenant: str = "acme") -> dict[str, Decimal | None]:
    """What a tenant owes by charge class, which must be told apart by that alone."""
    lines = lines_of(cost, tenant)
    found: dict[str, Decimal | None] = {line.charge_class: line.amount_usd for line in lines}
    assert len(found) == len(lines)
    return found


def owed(cost: HourCost, tenant: str = "acme") -> Decimal:
    """What a tenant owes in all, as far as it is known."""
    return sum(
        (line.amount_usd for line in lines_of(cost, tenant) if line.amount_usd is not None), Decimal(0)
    )
