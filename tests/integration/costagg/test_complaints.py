"""Cost bugs that users of such systems report, and the test that would catch each of them here.

Here are those that need the whole way from a backend's reply to the amount on a bill. Others are held where
they arise: a file in the right column is one of `tests/`, `this` is this one.

Report                             What happened               Test
litellm 34147, PR 36008            left streams billed whole   this: a_client_that_leaves_owes ...
litellm 34373, 34497               cache counts dropped        this: each_class_of_a_recorded_reply ...
litellm PR 36878                   poorer report replaces      this: a_poorer_report ..., a_second_report ...
bifrost 4746, litellm 36168        stream and whole differ     this: a_stream_costs_what ...;
                                                               gateway/test_usage_equality, over sockets
bifrost 5629                       no input; cache points lost gateway/dialects/test_converse, test_corpus
litellm 36168                      usage beside choices lost   this: usage_in_a_last_chunk ...
litellm PR 37734, bitrouter PR 537 cut streams cost nothing    this: a_reply_cut_after_any_event ...
litellm 30768, 15764               profile as base model       this: a_geographic_profile ..., a_tier ...;
                                                               llmplatform/test_prices
gateway-controllers PR 241         1 h writes at 5 min prices  this: each_class_of_a_recorded_reply ...
cloudflare/ai 491                  usage unread: blank cost    this: a_reply_without_usage ...;
                                                               llmplatform/test_emf: a reply that reports none
docker-agent PR 1855               running counts added up     this: running_counts_weigh ...
litellm 6633                       rows without ids collide    gateway/test_rows, costagg/test_ledger_reader
litellm 38157, 34805               SIGTERM drops rows          platform/test_processes
litellm 19163                      sinks silently disabled     contract/test_sinks, platform/test_start
litellm 31866                      stores in the hot path      contract/test_sinks: accept does not wait
langfuse 10592, 12306              cached tokens counted twice this: each_class ..., a_poorer_report ...
langsmith-sdk 1858                 negative cost               this: no_split_of_a_prompt ...
litellm 15270, opencode PR 38427   cache semantics misread     this: span_metric_ledger_and_bill ...
litellm 8514                       27 $ shown, 770 $ billed    costagg/reconciliation/test_comparing
langfuse 13325, claude-code 80601  profile ARNs priced at 0    costagg/test_profiles
openlit 876                        tokens and cost swapped     this: tokens_and_dollars ...;
                                                               llmplatform/test_metrics: units of cost
phoenix 15532                      judge calls unpriced        this: a_judges_call ...
opik PR 7312                       no ceiling on judging       costagg/test_brake,
                                                               evalworker/test_judge_budget
"""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource

from corpus.costs import GEO, GLOBAL, HOUR, instances
from corpus.make_dialects import CACHED_USAGE, HERE, converse_reply, converse_stream, delta, packed
from corpus.make_eventstream import event
from costagg.publishing import Figures, figure_lines
from costagg.totals import Totals
from evalworker.judging.asking import Asking
from evalworker.judging.judge import Candidate
from evalworker.judging.statuses import CONNECTION_LOST
from gateway.chat import UsageReported
from gateway.sinks.spans import spans_of
from harness.gateway import running_gateway, small_catalogue
from harness.held import hold
from harness.platform import eventually
from harness.reply_to_bill import amounts, billed, decoded, lines_of, owed, recorded, tallied
from llmplatform.catalogue import DialectName
from llmplatform.costs import OBSERVABILITY_LAYER, UNUSED
from llmplatform.emf import encode_invocation
from llmplatform.evaluations import EvalContent
from llmplatform.judges import JudgeModel
from llmplatform.ledger import decode_item, encode_item
from llmplatform.prices import Cost
from llmplatform.testing import make_model
from llmplatform.usage import TokenUsage
from sandbox.engines.engine import CacheDetail
from sandbox.engines.scripted import Script, ScriptedUsage
from sandbox.faults import Cut

BEDROCK = make_model("a", price_key=GEO)
LLAMA = make_model("llama", endpoint_type="sagemaker", dialect="openai_chat", backend_model_id="llama")
ON_AN_ENDPOINT: dict[DialectName, Path] = {
    "openai_chat": HERE / "openai_chat/tools.sse",
    "lmi": HERE / "lmi/vllm.jsonl",
    "tgi": HERE / "tgi/text.sse",
}
MILLION = Decimal(1_000_000)
ROUTE = "/v1/chat/completions"
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "how much is it?"}]}


def of_converse(name: str, *, stream: bool) -> Any:
    recording = HERE / "converse" / f"{name}.{'bin' if stream else 'json'}"
    return decoded("converse", recording.read_bytes(), stream=stream)


# -- a recorded reply -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["text", "tools_cached"])
def test_a_stream_costs_what_the_whole_reply_costs(name: str) -> None:
    streamed, whole = (billed(recorded(BEDROCK, of_converse(name, stream=way))) for way in (True, False))
    assert lines_of(streamed) == lines_of(whole)
    assert owed(streamed) > 0


@pytest.mark.parametrize("stream", [True, False])
def test_each_class_of_a_recorded_reply_is_priced_once(stream: bool) -> None:  # noqa: FBT001
    cost = billed(recorded(BEDROCK, of_converse("tools_cached", stream=stream)))
    # 1,107 tokens of prompt: 7 fresh, 1,000 read, 60 written for five minutes and 40 for an hour.
    assert amounts(cost) == {
        "input": 7 * Decimal("1.10") / MILLION,
        "output": 21 * Decimal("5.50") / MILLION,
        "cache_read": 1_000 * Decimal("0.11") / MILLION,
        "cache_write": 60 * Decimal("1.375") / MILLION,
        "cache_write_1h": 40 * Decimal("2.20") / MILLION,
    }
    assert owed(cost) == Decimal("0.0004037")


@pytest.mark.parametrize("dialect", ON_AN_ENDPOINT)
def test_running_counts_weigh_as_much_as_the_whole_reply(dialect: DialectName) -> None:
    """Two tenants, the same reply, one as a stream read byte by byte: they share the minute evenly."""
    model = make_model("llama", endpoint_type="sagemaker", dialect=dialect, backend_model_id="llama")
    recording = ON_AN_ENDPOINT[dialect]
    cost = billed(
        recorded(model, decoded(dialect, recording.read_bytes(), stream=True, size=1), tenant="streaming"),
        recorded(
            model, decoded(dialect, recording.with_suffix(".json").read_bytes(), stream=False), tenant="whole"
        ),
        endpoints={"llama": (instances((60, 1)),)},
    )
    # A minute of 7.20 $ an hour was used, fifty-nine were not.
    assert {line.tenant_id: line.amount_usd for line in cost.lines if line.charge_class == "instance"} == {
        "streaming": Decimal("0.06"),
        "whole": Decimal("0.06"),
        UNUSED: Decimal("7.08"),
    }


USAGE = {
    "prompt_tokens": 50,
    "completion_tokens": 9,
    "total_tokens": 59,
    "prompt_tokens_details": {"cached_tokens": 32},
}
TEXT: dict[str, Any] = {"choices": [{"index": 0, "delta": {"content": "so"}, "finish_reason": None}]}
STOP: dict[str, Any] = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
EMPTY: dict[str, Any] = {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": None}]}


def of_container(*chunks: dict[str, Any], size: int | None = None) -> Any:
    written = b"".join(b"data: " + packed(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    return decoded("openai_chat", written, stream=True, size=size)


@pytest.mark.parametrize("size", [None, 1], ids=["at once", "byte by byte"])
@pytest.mark.parametrize(
    "chunks",
    [
        (TEXT, STOP, {"choices": [], "usage": USAGE}),
        (TEXT, STOP, {"choices": None, "usage": USAGE}),
        (TEXT, STOP, {"usage": USAGE}),
        (TEXT, {**STOP, "usage": USAGE}),
        (TEXT, STOP, {**EMPTY, "usage": USAGE}),
        ({**TEXT, "usage": USAGE}, STOP),
        ({**TEXT, "usage": None}, {**STOP, "usage": None}, {"choices": [], "usage": USAGE}),
    ],
    ids=["alone", "null", "bare", "with the reason", "after it", "before it", "nulls before"],
)
def test_usage_in_a_last_chunk_of_any_shape_is_billed(
    chunks: tuple[dict[str, Any], ...], size: int | None
) -> None:
    (calls,) = tallied(recorded(LLAMA, of_container(*chunks, size=size))).calls.values()
    assert calls.tokens == {"input": 18, "cache_read": 32, "output": 9}


@pytest.mark.parametrize("size", [None, 1], ids=["at once", "byte by byte"])
def test_a_poorer_report_takes_nothing_off_and_counts_no_cached_token_twice(size: int | None) -> None:
    poorer = {"prompt_tokens": 50, "completion_tokens": 9}
    for chunks in (
        (TEXT, {**STOP, "usage": USAGE}, {"choices": [], "usage": poorer}),
        ({**TEXT, "usage": poorer}, STOP, {"choices": [], "usage": USAGE}),
        ({**TEXT, "usage": USAGE}, {**TEXT, "usage": poorer}, STOP),
    ):
        (calls,) = tallied(recorded(LLAMA, of_container(*chunks, size=size))).calls.values()
        assert calls.tokens == {"input": 18, "cache_read": 32, "output": 9}


def test_a_second_report_without_the_cache_leaves_it_on_the_bill() -> None:
    full, poorer = CACHED_USAGE, {"inputTokens": 7, "outputTokens": 21}
    once = converse_stream([delta(0, {"text": "ok"})], "end_turn", {"usage": full})
    twice = once + event("metadata", {"usage": poorer})
    costs = [billed(recorded(BEDROCK, decoded("converse", reply, stream=True))) for reply in (once, twice)]
    assert amounts(costs[0]) == amounts(costs[1])
    assert len(amounts(costs[0])) == 5


def test_a_reply_without_usage_is_estimated_or_told_and_never_free() -> None:
    silent = [said for said in of_converse("text", stream=True) if not isinstance(said, UsageReported)]
    estimated = billed(recorded(BEDROCK, silent, counted_prompt=90))
    assert amounts(estimated)["input"] == 90 * Decimal("1.10") / MILLION
    assert {line.usage_source for line in lines_of(estimated)} == {"estimated"}
    unknown = billed(recorded(BEDROCK, silent, counted_prompt=None))
    assert unknown.uncounted_requests == 1
    assert amounts(unknown)["input"] is None
    assert (amounts(unknown)["output"] or 0) > 0


def test_a_geographic_profile_costs_a_tenth_more_than_the_global_one() -> None:
    reply = of_converse("text", stream=True)
    geographic, worldwide = (
        owed(billed(recorded(make_model("a", price_key=key), reply))) for key in (GEO, GLOBAL)
    )
    assert geographic == worldwide * Decimal("1.1")


def test_a_tier_without_a_price_is_not_the_default() -> None:
    metadata = {"usage": {"inputTokens": 3, "outputTokens": 2}, "serviceTier": {"type": "flex"}}
    stream = converse_stream([delta(0, {"text": "ok"})], "end_turn", metadata)
    cost = billed(recorded(BEDROCK, decoded("converse", stream, stream=True)))
    assert amounts(cost) == {"input": None, "output": None}
    assert {line.service_tier for line in cost.unpriced if line.tenant_id == "acme"} == {"flex"}


_COUNT = st.integers(0, 10**9)
_DETAILS = st.lists(
    st.fixed_dictionaries({"ttl": st.sampled_from(["5m", "1h"]), "inputTokens": _COUNT}), max_size=3
)
_USAGES = st.fixed_dictionaries(
    {"inputTokens": _COUNT, "outputTokens": _COUNT},
    optional={"cacheReadInputTokens": _COUNT, "cacheWriteInputTokens": _COUNT, "cacheDetails": _DETAILS},
)


@given(_USAGES)
def test_no_split_of_a_prompt_over_the_cache_is_negative(usage: dict[str, Any]) -> None:
    """Whatever Converse says, contradictions too; and what fits together is billed to the last token."""
    stream = converse_stream([delta(0, {"text": "ok"})], "end_turn", {"usage": usage})
    whole = converse_reply([{"text": "ok"}], "end_turn", {"usage": usage})
    cost = billed(recorded(BEDROCK, decoded("converse", stream, stream=True)))
    assert lines_of(cost) == lines_of(billed(recorded(BEDROCK, decoded("converse", whole, stream=False))))
    assert all(amount is not None and amount >= 0 for amount in amounts(cost).values())
    assert all(line.quantity is not None and line.quantity > 0 for line in lines_of(cost))
    written = usage.get("cacheWriteInputTokens", 0)
    if (
        sum(detail["inputTokens"] for detail in usage.get("cacheDetails", ()) if detail["ttl"] == "1h")
        <= written
    ):
        told = usage["inputTokens"] + usage["outputTokens"] + usage.get("cacheReadInputTokens", 0) + written
        assert sum(line.quantity or 0 for line in lines_of(cost)) == told


@given(prompt=_COUNT, cached=_COUNT, output=_COUNT)
def test_no_container_makes_a_token_negative(prompt: int, cached: int, output: int) -> None:
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    reply = of_container(TEXT, STOP, {"choices": [], "usage": usage})
    (calls,) = tallied(recorded(LLAMA, reply)).calls.values()
    assert all(tokens > 0 for tokens in calls.tokens.values())
    assert sum(calls.tokens.values()) == max(prompt, cached) + output


# -- the same everywhere ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["text", "tools_cached"])
def test_span_metric_ledger_and_bill_say_the_same(name: str) -> None:
    record = recorded(BEDROCK, of_converse(name, stream=True))
    quantities = {line.charge_class: int(line.quantity or 0) for line in lines_of(billed(record))}
    written = quantities.get("cache_write", 0) + quantities.get("cache_write_1h", 0)
    read = quantities.get("cache_read", 0)
    on_the_bill = (quantities["input"] + read + written, quantities["output"], read, written)
    metrics = orjson.loads(encode_invocation(record))
    assert on_the_bill == tuple(
        metrics.get(f"{kind}_token_count", 0) for kind in ("input", "output", "cache_read", "cache_write")
    )
    for span in spans_of(record, Resource({})):
        said = dict(span.attributes or {})
        assert on_the_bill == tuple(
            said.get(f"gen_ai.usage.{kind}_tokens", 0)
            for kind in ("input", "output", "cache_read.input", "cache_write.input")
        )
    row = decode_item(encode_item(record)).usage
    assert on_the_bill == (
        row.prompt_tokens,
        row.output_tokens,
        row.cache_read_tokens or 0,
        row.cache_write_tokens or 0,
    )


def test_tokens_and_dollars_are_not_swapped_on_the_way_to_a_metric() -> None:
    usage = {"inputTokens": 2_000_000, "outputTokens": 1_000_000}
    stream = converse_stream([delta(0, {"text": "ok"})], "end_turn", {"usage": usage})
    record = recorded(BEDROCK, decoded("converse", stream, stream=True))
    tokens = orjson.loads(encode_invocation(record))
    assert (tokens["input_token_count"], tokens["output_token_count"]) == (2_000_000, 1_000_000)
    sums = Totals(HOUR).add(billed(record).lines)
    figures = Figures(available=True, today_usd=sums.today, today_by_model_usd=sums.today_by_model)
    told = [orjson.loads(line) for line in figure_lines(HOUR, figures)]
    # 2 x 1.10 $ and 5.50 $
    dollars = {
        line.get("tenant_id") or line.get("model_id"): line["cost_today_usd"]
        for line in told
        if "cost_today_usd" in line
    }
    assert dollars == {"acme": 7.7, "a": 7.7}


# -- the judge --------------------------------------------------------------------------------------------


def test_a_judges_call_is_billed_to_the_tenant_or_told_as_uncounted() -> None:
    judge = JudgeModel(model_id="a", price_key=GEO, source="a test", retrieved_on=date(2026, 1, 1))
    candidate = Candidate("acme", "r-1", "0" * 32, EvalContent(prompt="hello"))
    unpriced = Cost(None, Decimal(0), (), ("input", "output"), "1")
    asking = Asking(candidate, judge, "own", "1" * 16, HOUR, 0, content_truncated=False, body=b"")
    asking.charge(TokenUsage(), unpriced)
    asking.called(started_ns=0, ended_ns=1_000_000, failed=CONNECTION_LOST)
    asking.called(started_ns=1_000_000, ended_ns=2_000_000, usage=TokenUsage(1_000, 200))
    record = asking.record(None, now=HOUR, now_ns=3_000_000)
    assert record is not None
    cost = billed(record)
    assert {line.layer for line in lines_of(cost)} == {OBSERVABILITY_LAYER}
    assert owed(cost) == 1_000 * Decimal("1.10") / MILLION + 200 * Decimal("5.50") / MILLION
    assert cost.uncounted_requests == 1


# -- a living gateway -------------------------------------------------------------------------------------


async def test_a_reply_cut_after_any_event_costs_something_and_never_less_than_one_cut_before() -> None:
    script = Script(token_count=8, interval_ms=0.1, usage=ScriptedUsage(input_tokens=12))
    names = [f"cut-{number}" for number in range(10)]
    # A model for each cut: the circuit of one that had failed so often would answer in its stead.
    catalogue = small_catalogue(**{name: {"price_key": GEO} for name in names})
    async with running_gateway(catalogue=catalogue) as gateway, gateway.http() as client:
        for number, name in enumerate(names, start=1):
            gateway.runtime.scripts[name] = msgspec.structs.replace(
                script, faults=(Cut(after_events=number),)
            )
            await client.post(ROUTE, json={**ASKED, "model": name, "stream": True})
            await gateway.record(number)
        records = gateway.records.items
        costs = [owed(billed(record)) for record in records]
    assert len(costs) == 10
    # After the first event there was no word yet: the prompt is paid for all the same.
    assert amounts(billed(records[0])).keys() == {"input"}
    assert costs[0] > 0
    assert costs == sorted(costs)
    assert costs[-1] > costs[0]


async def test_a_client_that_leaves_owes_what_bedrock_bills() -> None:
    script = Script(
        token_count=40,
        interval_ms=1,
        usage=ScriptedUsage(
            input_tokens=7,
            cache_read_tokens=1_000,
            cache_write_tokens=100,
            cache_details=(CacheDetail(ttl="5m", tokens=60), CacheDetail(ttl="1h", tokens=40)),
        ),
    )
    catalogue = small_catalogue(left={"price_key": GEO})
    async with running_gateway(catalogue=catalogue) as gateway, gateway.http() as client:
        go_on = hold(gateway.runtime, "left", script, pieces=1)
        async with client.stream("POST", ROUTE, json={**ASKED, "model": "left", "stream": True}) as reply:
            await anext(reply.aiter_raw())
        await eventually(lambda: gateway.gateway.lifelines.drains == 1 or None)
        go_on.set()
        record = await gateway.record()
        (call,) = gateway.runtime.calls
    assert call.billed is not None
    assert (call.billed.input_tokens, call.billed.output_tokens) == (7, 40)
    cost = billed(record)
    assert {line.usage_source for line in lines_of(cost)} == {"drained"}
    assert {line.charge_class: line.quantity for line in lines_of(cost)} == {
        "input": 7,
        "output": 40,
        "cache_read": 1_000,
        "cache_write": 60,
        "cache_write_1h": 40,
    }
