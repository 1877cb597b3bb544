from hypothesis import given
from hypothesis import strategies as st

from llmplatform.usage import NO_USAGE, TokenUsage

COUNT = st.none() | st.integers(min_value=0, max_value=10**6)
USAGE = st.builds(TokenUsage, *[COUNT] * 6)


def test_the_prompt_is_all_of_the_input() -> None:
    usage = TokenUsage(input_tokens=100, output_tokens=5, cache_read_tokens=40, cache_write_tokens=10)
    assert (usage.prompt_tokens, usage.total_tokens) == (150, 155)


def test_unknown_input_makes_the_prompt_unknown() -> None:
    usage = TokenUsage(output_tokens=5, cache_read_tokens=40)
    assert (usage.prompt_tokens, usage.total_tokens) == (None, None)


def test_unknown_output_makes_the_total_unknown() -> None:
    assert TokenUsage(input_tokens=1).total_tokens is None


def test_a_part_of_a_class_is_not_counted_again() -> None:
    usage = TokenUsage(1, 2, cache_write_tokens=4, cache_write_1h_tokens=4, reasoning_tokens=2)
    assert usage.total_tokens == 7


def test_a_newer_figure_replaces_and_is_never_added() -> None:
    usage = TokenUsage(input_tokens=10, output_tokens=1).merged(TokenUsage(output_tokens=5))
    assert usage == TokenUsage(input_tokens=10, output_tokens=5)


def test_a_newer_zero_replaces_too() -> None:
    assert TokenUsage(output_tokens=5).merged(TokenUsage(output_tokens=0)).output_tokens == 0


@given(USAGE)
def test_merging_with_nothing_or_itself_changes_nothing(usage: TokenUsage) -> None:
    assert usage.merged(NO_USAGE) == usage
    assert NO_USAGE.merged(usage) == usage
    assert usage.merged(usage) == usage


@given(USAGE, USAGE, USAGE)
def test_it_does_not_matter_how_reports_are_grouped(a: TokenUsage, b: TokenUsage, c: TokenUsage) -> None:
    assert a.merged(b).merged(c) == a.merged(b.merged(c))


@given(USAGE)
def test_known_holds_zeros_and_no_unknowns(usage: TokenUsage) -> None:
    assert TokenUsage(**usage.known()) == usage
    assert None not in usage.known().values()
