"""One finished request goes out as every signal that it should, and no failure of one touches another."""

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any, Generic

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from opentelemetry.trace.status import StatusCode

from corpus.invocations import attempt, content, policy, record, refused
from gateway.emission import Emission, HealthFigures, Sinks
from gateway.sinks.content_log import LogEvent
from gateway.sinks.kinesis import StreamRecord
from gateway.sinks.spans import spans_of
from llmplatform.clock import SystemClock
from llmplatform.invocation import InvocationRecord, Outcome
from llmplatform.ledger import encode_item
from llmplatform.policy import ContentMode, TenantPolicy
from llmplatform.process.tracing import process_resource
from llmplatform.samples import UnsealedSample, decode_sample
from llmplatform.sinks import ItemT, SinkCounts

RESOURCE = process_resource("gateway", version="1", instance_id="task-1")
CANARY = "canary-7d1f"


class ListSink(Generic[ItemT]):
    """Keeps what it is given."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts = SinkCounts()
        self.items: list[ItemT] = []
        self.flushed_with_s: float | None = None

    def accept(self, item: ItemT) -> None:
        self.counts.accepted += 1
        self.items.append(item)

    async def start(self) -> None:
        pass

    async def flush(self, deadline_s: float) -> None:
        self.flushed_with_s = deadline_s
        self.counts.delivered = self.counts.accepted


class BrokenSink(ListSink[Any]):
    """Breaks its promise."""

    def accept(self, item: object) -> None:
        raise RuntimeError(CANARY, item)


class Rig:
    def __init__(
        self, *, health: Mapping[str, int | float | None] | None = None, every_s: float = 60
    ) -> None:
        self.lines: ListSink[bytes] = ListSink("emf")
        self.ledger: ListSink[InvocationRecord] = ListSink("ledger")
        self.spans: ListSink[InvocationRecord] = ListSink("spans")
        self.samples: ListSink[StreamRecord] = ListSink("samples")
        self.sealing: ListSink[UnsealedSample] = ListSink("sealing")
        self.content: ListSink[LogEvent] = ListSink("content_log")
        self.emission = Emission(
            Sinks(self.lines, self.ledger, self.spans, self.samples, self.sealing, self.content),
            clock=SystemClock(),
            health=lambda: [({"component": "gateway"}, health or {"availability": 1})],
            report_every_s=every_s,
        )

    def health_lines(self) -> list[dict[str, Any]]:
        events = [json.loads(line) for line in self.lines.items]
        return [event for event in events if "request_id" not in event]


def chosen(**fields: Any) -> InvocationRecord:
    return record(sampled=True, sampled_rate=0.05, sample_reason="rate", trace_kept="evaluated", **fields)


def test_every_request_leaves_a_line_and_a_row_whatever_its_outcome() -> None:
    rig = Rig()
    for outcome in Outcome:
        rig.emission.emit(record(outcome=outcome), policy(), None)
    rig.emission.emit(refused(), None, None)
    assert (len(rig.lines.items), len(rig.ledger.items)) == (5, 5)
    assert rig.spans.items == []
    assert rig.samples.items == []
    assert rig.content.items == []


def test_a_kept_trace_leaves_spans_and_a_chosen_request_a_sample() -> None:
    rig = Rig()
    rig.emission.emit(chosen(), policy(), content())
    assert rig.spans.items == [chosen()]
    (sample,) = rig.samples.items
    assert sample.partition_key == chosen().request_id
    assert decode_sample(sample.data).completion == "A book. What is a ledger?"


def test_a_sample_under_a_key_goes_to_be_encrypted_and_not_to_the_stream() -> None:
    rig = Rig()
    given = policy(kms_key="alias/acme")
    rig.emission.emit(chosen(), given, content(CANARY))
    assert rig.samples.items == []
    (unsealed,) = rig.sealing.items
    assert CANARY in unsealed.content.decode()
    # What has no content needs no key.
    rig.emission.emit(chosen(), given, None)
    rig.emission.emit(chosen(), policy(kms_key="alias/acme", content_mode=ContentMode.HASH_ONLY), content())
    assert [decode_sample(one.data).content_withheld for one in rig.samples.items] == [None, "hash_only"]
    assert len(rig.sealing.items) == 1


async def test_what_is_sealed_at_the_last_moment_still_goes_out() -> None:
    rig = Rig()

    class Sealing(ListSink[UnsealedSample]):
        async def flush(self, deadline_s: float) -> None:
            await super().flush(deadline_s)
            assert rig.samples.flushed_with_s is None

    sealing = Sealing("sealing")
    sinks = Sinks(rig.lines, rig.ledger, rig.spans, rig.samples, sealing, rig.content)
    emission = Emission(sinks, clock=SystemClock(), health=list)
    await emission.start()
    await emission.flush(8.0)
    assert sealing.flushed_with_s is not None
    assert rig.samples.flushed_with_s is not None
    assert sealing.flushed_with_s + rig.samples.flushed_with_s <= 6.0


def test_content_is_logged_for_those_who_opted_in_only() -> None:
    rig = Rig()
    rig.emission.emit(record(), policy(), content(CANARY))
    assert rig.content.items == []
    rig.emission.emit(record(), policy(log_content=True), content(CANARY))
    (event,) = rig.content.items
    assert CANARY in event.message
    assert CANARY not in repr(event)


@pytest.mark.parametrize("broken", ["lines", "ledger", "spans", "samples", "sealing", "content"])
def test_a_sink_that_fails_fails_alone(broken: str, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    every: dict[str, ListSink[Any]] = {
        "lines": rig.lines,
        "ledger": rig.ledger,
        "spans": rig.spans,
        "samples": rig.samples,
        "sealing": rig.sealing,
        "content": rig.content,
    }
    sinks: dict[str, Any] = {**every, broken: BrokenSink(broken)}
    emission = Emission(Sinks(**sinks), clock=SystemClock(), health=list)
    for _ in range(2):
        emission.emit(chosen(), policy(log_content=True), content())
        emission.emit(chosen(), policy(kms_key="alias/acme"), content())
    sent = {"lines": 4, "ledger": 4, "spans": 4, "samples": 2, "sealing": 2, "content": 2}
    assert {name: len(sink.items) for name, sink in every.items() if name != broken} == {
        name: number for name, number in sent.items() if name != broken
    }
    assert emission.faults == sent[broken]
    assert [one.message for one in caplog.records] == ["telemetry: RuntimeError"]


def test_a_record_that_makes_no_sense_harms_nobody() -> None:
    rig = Rig()
    rig.emission.emit(object(), policy(), content())  # type: ignore[arg-type]
    rig.emission.emit(record(), policy(), content())
    assert len(rig.lines.items) == 1
    assert rig.emission.faults > 0


@pytest.mark.parametrize(
    "given",
    [
        policy(content_mode=ContentMode.HASH_ONLY, log_content=True),
        policy(kms_key="alias/acme", log_content=True, content_mode=ContentMode.FULL),
    ],
)
def test_no_canary_leaves_by_any_door(given: TenantPolicy, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    rig = Rig()
    failed = attempt(
        outcome=Outcome.BACKEND_FAILED,
        error_type=f"it said {CANARY}",
        upstream_request_id=f"id {CANARY}",
        service_tier=f"tier {CANARY}",
    )
    made = chosen(
        attempts=(failed, attempt()),
        finish_reason=f"because {CANARY}",
        client_metadata={"note": CANARY},
        prompt_sha256=None,
    )
    rig.emission.emit(made, given, content(CANARY))
    assert (len(rig.lines.items), len(rig.content.items)) == (1, 0)
    assert len(rig.samples.items) + len(rig.sealing.items) == 1
    spans = "".join(span.to_json() for span in spans_of(made, RESOURCE))
    said = [
        rig.lines.items[0].decode(),
        *(sample.data.decode() for sample in rig.samples.items),
        *(repr(sample) + sample.without_key().decode() for sample in rig.sealing.items),
        spans,
        json.dumps(encode_item(made)),
    ]
    said += [repr(content(CANARY)), caplog.text]
    assert [CANARY in text for text in said] == [False] * len(said)


async def test_the_platform_reports_on_itself_every_so_often() -> None:
    rig = Rig(health={"availability": 1, "policy_age_seconds": 12.5, "tokenizer_missing": None}, every_s=0.02)
    rig.ledger.counts.accepted = 5
    rig.ledger.counts.dropped = 3
    await rig.emission.start()
    await asyncio.sleep(0.1)
    await rig.emission.flush(1)
    of_ledger = [line for line in rig.health_lines() if line.get("sink") == "ledger"]
    assert (of_ledger[0]["sink_dropped"], of_ledger[0]["sink_pending"]) == (3, 2)
    assert sum(line["sink_dropped"] for line in of_ledger) == 3
    (faults, own, *_) = [line for line in rig.health_lines() if line.get("component") == "gateway"]
    assert (own["availability"], own["policy_age_seconds"], faults["telemetry_faults"]) == (1, 12.5, 0)
    assert "tokenizer_missing" not in own


async def test_a_health_figure_that_fails_is_a_fault_and_not_the_end_of_reports() -> None:
    rig = Rig()

    def ill() -> list[HealthFigures]:
        raise RuntimeError

    emission = Emission(rig.emission._sinks, clock=SystemClock(), health=ill, report_every_s=0.01)
    await emission.start()
    await asyncio.sleep(0.1)
    await emission.flush(1)
    assert emission.faults > 1


async def test_flush_reports_a_last_time_and_keeps_its_deadline() -> None:
    rig = Rig()
    await rig.emission.start()
    rig.emission.emit(record(), policy(), None)
    await rig.emission.flush(8.0)
    assert len(rig.health_lines()) == 8
    assert rig.ledger.flushed_with_s is not None
    assert rig.lines.flushed_with_s is not None
    assert rig.ledger.flushed_with_s + rig.lines.flushed_with_s <= 8.0
    assert set(rig.emission.counts()) == {"emf", "ledger", "spans", "sealing", "samples", "content_log"}


# -- spans


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_request_is_a_server_span_with_a_client_span_for_each_attempt() -> None:
    failed = attempt(outcome=Outcome.BACKEND_FAILED, error_type="throttlingException", duration_ms=10.0)
    made = record(attempts=(failed, attempt(started_ms=20.0, duration_ms=1_200.0)), trace_kept="head")
    server, first, second = spans_of(made, RESOURCE)
    assert server.context.trace_id == int(made.trace.trace_id, 16)
    assert server.context.span_id == int(made.trace.span_id, 16)
    assert (server.kind, server.parent, server.status.status_code) == (
        SpanKind.SERVER,
        None,
        StatusCode.UNSET,
    )
    assert (first.kind, first.status.status_code) == (SpanKind.CLIENT, StatusCode.ERROR)
    assert {span.parent.span_id for span in (first, second) if span.parent} == {server.context.span_id}
    assert len({span.context.span_id for span in (server, first, second)}) == 3
    assert server.start_time is not None
    assert second.start_time == server.start_time + 20_000_000
    assert second.end_time == server.start_time + 1_220_000_000
    assert server.start_time % 1_000_000_000 == 15_433_000
    assert attributes(first)["error.type"] == "throttlingException"


def test_spans_have_genai_names_and_totals_that_include_cached_tokens() -> None:
    server, client = spans_of(record(trace_kept="slow"), RESOURCE)
    assert client.name == "chat claude-sonnet"
    assert (
        attributes(client).items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "aws.bedrock",
            "gen_ai.request.model": "eu.anthropic.claude-sonnet-v1:0",
            "gen_ai.usage.input_tokens": 150,
            "gen_ai.usage.output_tokens": 51,
            "gen_ai.usage.cache_read.input_tokens": 40,
            "gen_ai.usage.cache_write.input_tokens": 10,
            "gen_ai.response.time_to_first_chunk": 0.29925,
            "tenant.id": "acme",
        }.items()
    )
    assert attributes(server)["llmplatform.trace_kept"] == "slow"
    assert attributes(server)["gen_ai.response.finish_reasons"] == ("stop",)
    assert "gen_ai.usage.reasoning.output_tokens" not in attributes(server)


def test_a_caller_that_sent_its_span_is_the_remote_parent() -> None:
    trace = record().trace
    called = type(trace)(trace.trace_id, trace.span_id, "b7ad6b7169203331", "traceparent")
    (server, _) = spans_of(record(trace=called), RESOURCE)
    assert server.parent is not None
    assert (server.parent.span_id, server.parent.is_remote) == (0xB7AD6B7169203331, True)


def test_a_refusal_of_the_clients_making_is_no_error_of_the_server() -> None:
    (server,) = spans_of(refused(), RESOURCE)
    assert server.status.status_code is StatusCode.UNSET
    assert attributes(server)["error.type"] == "invalid_api_key"
    (ours,) = spans_of(refused(http_status=503, error_code="gateway_overloaded"), RESOURCE)
    assert ours.status.status_code is StatusCode.ERROR
