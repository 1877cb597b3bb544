"""Figures that estimates rest on: measured by the benchmarks, or assumed, each with its source. Pure.

A figure is a range: what measurements gave at least, most likely and at most. What rows, lines and events
weigh is in `llmplatform.footprint`, since the cost job prices by it too; prices are in the price table.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Self


@dataclass(frozen=True, slots=True)
class Range:
    """A number that is known to lie somewhere."""

    low: Decimal
    likely: Decimal
    high: Decimal

    @classmethod
    def exactly(cls, value: Decimal | int) -> Self:
        """A number that is known."""
        return cls(Decimal(value), Decimal(value), Decimal(value))

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def __mul__(self, other: "Range | Decimal | int") -> "Range":
        by = other if isinstance(other, Range) else Range.exactly(other)
        return Range(self.low * by.low, self.likely * by.likely, self.high * by.high)

    def inverse(self) -> "Range":
        """One over it."""
        return Range(1 / self.high, 1 / self.likely, 1 / self.low)

    def larger(self, other: "Range") -> "Range":
        """Whichever of the two is more."""
        return Range(max(self.low, other.low), max(self.likely, other.likely), max(self.high, other.high))

    def map(self, change: Callable[[Decimal], Decimal]) -> "Range":
        """Each of the three, changed by what never turns their order round."""
        return Range(change(self.low), change(self.likely), change(self.high))


def total(ranges: Iterable[Range]) -> Range:
    """The sum."""
    return sum(ranges, Range.exactly(0))


@dataclass(frozen=True, slots=True)
class Figure:
    """A range, what of, and who says so."""

    value: Range
    unit: str
    source: str
    measured: bool = True
    """False for what is assumed: replace it by your own."""


def _measured(low: str, likely: str, high: str, unit: str, source: str) -> Figure:
    return Figure(Range(Decimal(low), Decimal(likely), Decimal(high)), unit, source)


def _assumed(low: str, likely: str, high: str, unit: str, source: str) -> Figure:
    return Figure(Range(Decimal(low), Decimal(likely), Decimal(high)), unit, source, measured=False)


_BENCH: Final = "make bench, November 2026, two cores of an AMD EPYC; several runs"
GATEWAY_REQUEST_US: Final = _measured("677", "760", "773", "µs of CPU a request, but for its tokens", _BENCH)
GATEWAY_TOKEN_US: Final = _measured("59", "60", "63", "µs of CPU a token that comes alone", _BENCH)
GATEWAY_STREAMS: Final = _measured(
    "200", "200", "200", "streams at once a task, as many as were tried", _BENCH
)
CHUNK_BYTES: Final = _measured(
    "250", "260", "300", "bytes a token to the client", "an event as gateway/surfaces encodes it"
)
FRAME_BYTES: Final = _measured(
    "130", "175", "210", "bytes a token from Bedrock", "tests/corpus/converse: an event stream's frames"
)
EVALUATION_US: Final = _measured(
    "734", "888", "971", "µs of CPU a sample", "benchmarks/evaluation, November 2026, several runs"
)
COST_ROW_US: Final = _measured(
    "10.4",
    "10.4",
    "11.9",
    "µs of CPU a ledger row and run",
    "benchmarks/cost, November 2026: 23.9 s a day of 2 M",
)
COST_QUERY_US: Final = _measured(
    "300", "300", "300", "µs of CPU a query of the ledger", "benchmarks/cost, whatever the query brings"
)
JUDGE_INPUT_TOKENS: Final = _measured(
    "1900",
    "2400",
    "3000",
    "tokens a judgement is asked with",
    "rubric and tool are 1,170 by o200k_base, texts of 1,600 to 4,000 characters the rest",
)
JUDGE_OUTPUT_TOKENS: Final = _measured(
    "135", "300", "400", "tokens of a verdict", "four scores with a short reason are 134 by o200k_base"
)
LOG_COMPRESSION: Final = _measured(
    "0.08", "0.10", "0.20", "of a log's bytes are stored", "zlib on 2,000 lines of EMF: 0.08 to 0.10"
)
HISTORY_ROW_BYTES: Final = _measured(
    "1100",
    "1100",
    "18000",
    "bytes of Parquet a sample",
    "decision 0016: among a thousand, and alone in its file",
)
STATUS_BYTES_AN_OWNER: Final = _measured(
    "58", "58", "174", "bytes of an hour's status an owner", "docs/cost.md: short names, and of 48 characters"
)
COST_LINES: Final = _measured(
    "5.5",
    "5.5",
    "5.5",
    "lines an hour, tenant and model",
    "benchmarks/cost: 2,735 an hour of 50 tenants, 10 models",
)

FIRST_TOKEN_S: Final = _assumed(
    "0.4", "0.8", "1.5", "s to the first token in the mean", "the design's objectives: p50 0.8 s, p99 4 s"
)
TOKENS_A_SECOND: Final = _assumed(
    "50", "50", "50", "tokens/s of a stream", "the design's objective for endpoints"
)
JUDGE_S: Final = _assumed(
    "2", "4", "8", "s a call of the judge", "300 tokens at about 75 a second; measured on no account yet"
)
PROMPT_BYTES: Final = _assumed(
    "3", "4", "6", "bytes a token of a prompt", "English prose by o200k_base is near 4"
)
CPU_SHARE: Final = _assumed(
    "0.6",
    "0.6",
    "0.6",
    "of a core that is planned to be busy at the peak",
    "room for what bursts and for a zone lost",
)
JUDGE_SLOTS: Final = _measured(
    "0.8",
    "0.8",
    "1",
    "of a worker's calls at once are under way",
    "benchmarks/capacity: with one shard a batch ends before the next begins; with two none is idle",
)
TENANT_PEAK: Final = _measured(
    "1.6",
    "1.9",
    "2.2",
    "times the platform's peak over mean is the largest tenant's",
    "benchmarks/capacity: bursts of tenants do not come together",
)
SCALED_TASKS: Final = _measured(
    "1",
    "1.25",
    "1.25",
    "times the mean need, where tasks are scaled and held for half an hour",
    "benchmarks/capacity",
)
PARAMETERS_PAGE_S: Final = _assumed(
    "0.01", "0.02", "0.05", "s a page of parameters", "one call after another; measured on no account yet"
)
HISTORY_FILES: Final = _assumed(
    "0.2",
    "1",
    "1.1",
    "files a sample",
    "decision 0016: most hold one row at 1.2 samples a second; compaction adds few",
)
BUSIEST_SECOND: Final = _measured(
    "4",
    "4",
    "4",
    "standard deviations that a busy second is above its minute",
    "benchmarks/capacity: Poisson arrivals",
)

FIGURES: Final = {name.lower(): each for name, each in dict(globals()).items() if isinstance(each, Figure)}
"""All of them, by name."""
