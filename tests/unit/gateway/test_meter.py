"""What a reply amounts to, wherever it is cut."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat import (
    BackendNote,
    ChatEvent,
    EventSkipped,
    Finished,
    FinishReason,
    ReasoningDelta,
    StreamFailed,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from gateway.meter import ReplyMeter
from llmplatform.errors import BackendInternal
from llmplatform.usage import NO_USAGE, TokenUsage, UsageSource

REPORTED = TokenUsage(input_tokens=12, output_tokens=5, cache_read_tokens=100)
STREAM: tuple[ChatEvent, ...] = (
    ReasoningDelta("Hm."),
    TextDelta("Grüße, "),
    TextDelta("世界"),
    ToolCallStarted(0, "call_1", "weather"),
    ToolCallDelta(0, '{"city":'),
    ToolCallDelta(0, '"Köln"}'),
    Finished(FinishReason.TOOL_CALLS, "tool_use"),
    UsageReported(REPORTED),
)
QUIET: tuple[ChatEvent, ...] = (
    UsageReported(TokenUsage(input_tokens=12), final=False),
    BackendNote(latency_ms=3),
    EventSkipped("ping"),
    Finished(FinishReason.STOP, "end_turn"),
)

counts = st.none() | st.integers(0, 1_000)
usages = st.builds(TokenUsage, counts, counts, counts, counts, counts, counts)
reports = st.builds(UsageReported, usages, final=st.booleans())
contents = st.builds(TextDelta, st.text()) | st.builds(ReasoningDelta, st.text())
events = contents | reports | st.sampled_from(STREAM + QUIET)


def metered(events: Sequence[ChatEvent], *, keep_text: bool = False) -> ReplyMeter:
    """A meter that has seen each event in a read of its own, a millisecond apart."""
    meter = ReplyMeter(keep_text=keep_text)
    for number, event in enumerate(events, start=1):
        meter.observe([event], number * 1_000_000)
    return meter


def settled(
    meter: ReplyMeter, *, prompt: int | None = 10, output: int | None = None, drained: bool = False
) -> tuple[TokenUsage, UsageSource]:
    estimate = -(-meter.content_bytes // 3) if output is None else output
    return meter.settle(drained=drained, prompt_estimate=prompt, output_estimate=estimate)


@pytest.mark.parametrize(
    "first",
    [TextDelta("a"), ReasoningDelta("a"), ToolCallStarted(0, "call_1", "f"), ToolCallDelta(0, "{")],
)
def test_the_first_content_of_any_kind_is_the_first_token(first: ChatEvent) -> None:
    meter = metered([*QUIET, first, TextDelta("later")])
    assert meter.first_event_ns == 1_000_000
    assert meter.first_content_ns == 5_000_000


def test_what_carries_no_content_is_no_first_token() -> None:
    meter = metered(QUIET)
    assert meter.first_content_ns is None
    assert (meter.content_events, meter.content_bytes, meter.skipped_events) == (0, 0, 1)


def test_a_read_that_brings_many_events_counts_each_of_them_once() -> None:
    meter = ReplyMeter(keep_text=True)
    meter.observe(STREAM, 7)
    assert (meter.first_event_ns, meter.first_content_ns) == (7, 7)
    assert meter.content_events == 6
    assert meter.content_bytes == len("Hm.Grüße, 世界weather".encode()) + len('{"city":"Köln"}'.encode())
    assert meter.finish_reason == "tool_calls"


def test_only_the_answer_is_kept_and_only_when_asked() -> None:
    assert metered(STREAM, keep_text=True).text == 'Grüße, 世界weather{"city":"Köln"}'
    assert metered((), keep_text=True).text == ""
    assert metered(STREAM).text is None


def test_half_a_surrogate_pair_is_metered_and_not_raised() -> None:
    meter = metered([TextDelta("\ud83d"), TextDelta("\udc4b")], keep_text=True)
    assert meter.content_bytes == 6
    assert meter.text == "\ud83d\udc4b"


def test_a_note_does_not_wipe_out_an_earlier_one() -> None:
    meter = metered([BackendNote(latency_ms=0), BackendNote(service_tier="flex"), BackendNote()])
    assert (meter.upstream_latency_ms, meter.service_tier) == (0, "flex")


def test_what_broke_the_reply_is_remembered_beside_what_came_before() -> None:
    fault = BackendInternal("broke")
    meter = metered([TextDelta("half"), StreamFailed(fault)])
    assert meter.fault is fault
    assert meter.content_events == 1


def test_cumulative_usage_is_never_added() -> None:
    running = [
        UsageReported(TokenUsage(input_tokens=12, output_tokens=count), final=False) for count in (1, 2, 3)
    ]
    assert metered(running).usage == TokenUsage(input_tokens=12, output_tokens=3)


@given(st.lists(reports, max_size=6))
def test_each_figure_is_the_last_one_that_was_told(told: list[UsageReported]) -> None:
    meter = metered(told)
    for name in ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens"):
        known = [value for report in told if (value := getattr(report.usage, name)) is not None]
        assert getattr(meter.usage, name) == (known[-1] if known else None)
    assert meter.usage_final == any(report.final for report in told)


IN, OUT = TokenUsage(input_tokens=12), TokenUsage(output_tokens=5)
BOTH = TokenUsage(input_tokens=12, output_tokens=5)


@pytest.mark.parametrize(
    ("told", "final", "drained", "prompt", "usage", "source"),
    [
        (BOTH, True, False, 10, BOTH, UsageSource.REPORTED),
        (BOTH, True, True, 10, BOTH, UsageSource.DRAINED),
        (BOTH, True, False, None, BOTH, UsageSource.REPORTED),
        (BOTH, False, False, 10, BOTH, UsageSource.CONTINUOUS),
        (BOTH, False, True, 10, BOTH, UsageSource.CONTINUOUS),
        (OUT, True, False, 10, TokenUsage(10, 5), UsageSource.ESTIMATED),
        (OUT, True, True, 10, TokenUsage(10, 5), UsageSource.ESTIMATED),
        (OUT, True, False, None, OUT, UsageSource.UNKNOWN),
        (IN, True, False, 10, TokenUsage(12, 7), UsageSource.ESTIMATED),
        (IN, False, False, None, TokenUsage(12, 7), UsageSource.ESTIMATED),
        (NO_USAGE, False, False, 10, TokenUsage(10, 7), UsageSource.ESTIMATED),
        (NO_USAGE, True, True, 10, TokenUsage(10, 7), UsageSource.ESTIMATED),
        (NO_USAGE, False, False, None, TokenUsage(None, 7), UsageSource.UNKNOWN),
    ],
)
def test_the_label_is_that_of_the_weakest_figure(
    told: TokenUsage,
    prompt: int | None,
    usage: TokenUsage,
    source: UsageSource,
    *,
    final: bool,
    drained: bool,
) -> None:
    meter = metered([UsageReported(told, final=final)])
    assert settled(meter, prompt=prompt, output=7, drained=drained) == (usage, source)


def test_a_reply_cut_anywhere_still_costs_its_prompt_and_what_was_generated() -> None:
    costs = []
    for at in range(len(STREAM)):
        usage, source = settled(metered(STREAM[:at]))
        assert source is UsageSource.ESTIMATED
        assert usage.input_tokens == 10
        assert usage.output_tokens is not None
        costs.append(usage.output_tokens)
    assert costs == sorted(costs)
    assert costs[0] == 0
    assert settled(metered(STREAM)) == (REPORTED, UsageSource.REPORTED)


@given(told=st.lists(events, max_size=12), prompt=counts, output=st.integers(0, 1_000), drained=st.booleans())
def test_settling_changes_no_figure_that_the_backend_gave(
    told: list[ChatEvent], prompt: int | None, output: int, *, drained: bool
) -> None:
    meter = metered(told)
    usage, source = settled(meter, prompt=prompt, output=output, drained=drained)
    assert usage.known().items() >= meter.usage.known().items()
    assert usage.output_tokens is not None
    assert (usage.input_tokens is None) == (source is UsageSource.UNKNOWN)
    assert source is not UsageSource.REPORTED or meter.usage_final
    assert source is not UsageSource.DRAINED or (drained and meter.usage_final)
