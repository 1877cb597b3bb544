"""The measurements: processor time per request and per token, time to first token, memory."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from backend import INTERVAL_MS, SCRIPTS
from load import LoadResult, Work, run_load
from processes import cpu_s, rss_mib, settled
from targets import Target

_TOKENS = SCRIPTS["burst"].token_count
_PACED_STREAM_S = (SCRIPTS["paced"].ttft_ms + INTERVAL_MS * (_TOKENS - 1)) / 1000
_CONCURRENCY = 16
PACED_STREAMS = 200


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is asked of one target. `limit_s` ends each run that takes longer."""

    whole: int
    burst: int
    paced: int
    alone: int
    soak: int
    repeats: int = 1
    limit_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of a sample, in milliseconds."""

    p50_ms: float
    p99_ms: float
    n: int

    def over(self, other: "Percentiles") -> "Percentiles":
        """How much later these are, percentile by percentile."""
        return Percentiles(self.p50_ms - other.p50_ms, self.p99_ms - other.p99_ms, self.n)


@dataclass(slots=True)
class Report:
    """What was found of one target; None is not measured."""

    name: str
    cpu_us_per_request: float | None = None
    cpu_us_per_burst_token: float | None = None
    cpu_us_per_paced_token: float | None = None
    ttft_alone: Percentiles | None = None
    ttft_loaded: Percentiles | None = None
    paced_wall_s: float | None = None
    paced_streams: int | None = None
    rss_start_mib: float | None = None
    rss_after_work_mib: float | None = None
    rss_soak_mib: list[float] = field(default_factory=list)
    """At twenty points of the soak, evenly apart."""
    soak_streams: int = 0
    soak_cancelled: int = 0
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def soak_growth_mib(self) -> float | None:
        """Mean of the last quarter of the soak less the mean of the second: 0 is flat."""
        quarter = len(self.rss_soak_mib) // 4
        if not quarter:
            return None
        second, last = self.rss_soak_mib[quarter : 2 * quarter], self.rss_soak_mib[-quarter:]
        return sum(last) / quarter - sum(second) / quarter

    def as_json(self) -> dict[str, Any]:
        """For the file of results."""
        return {**asdict(self), "soak_growth_mib": self.soak_growth_mib}


async def measure(target: Target, sizes: Sizes, *, soak: bool) -> Report:
    """All measurements of a running target; of the backend itself, only the times to first token."""
    report = Report(target.name)
    target.check()
    await _load(report, "warm-up", target, "whole", 60)
    await _load(report, "warm-up", target, "burst", 30)
    # One client before many: a process that has just been loaded is not at rest.
    await _at_rest(target)
    alone = await _load(report, "alone", target, "short", sizes.alone, concurrency=1, limit_s=sizes.limit_s)
    report.ttft_alone = percentiles(alone.ttft_ns)
    if target.pid is not None and target.name != "backend":
        report.rss_start_mib = rss_mib(target.pid)
        request_us = median([await _cpu_per_request(report, target, sizes) for _ in range(sizes.repeats)])
        token_us = [
            await _cpu_per_burst_token(report, target, sizes, request_us) for _ in range(sizes.repeats)
        ]
        report.cpu_us_per_request, report.cpu_us_per_burst_token = request_us, median(token_us)
    await _paced(report, target, sizes)
    if target.pid is not None:
        report.rss_after_work_mib = rss_mib(target.pid)
        if soak:
            await _soak(report, target, sizes)
    return report


async def _cpu_per_request(report: Report, target: Target, sizes: Sizes) -> float:
    cpu, result = await _with_cpu(report, "whole", target, "whole", sizes.whole, limit_s=sizes.limit_s)
    return cpu / max(1, result.completed) * 1e6


async def _cpu_per_burst_token(report: Report, target: Target, sizes: Sizes, request_us: float) -> float:
    cpu, result = await _with_cpu(report, "burst", target, "burst", sizes.burst, limit_s=sizes.limit_s)
    return _per_token_us(cpu, result.completed, request_us)


async def _paced(report: Report, target: Target, sizes: Sizes) -> None:
    concurrency = min(PACED_STREAMS, sizes.paced)
    cpu, result = await _with_cpu(
        report,
        "paced",
        target,
        "paced",
        sizes.paced,
        concurrency=concurrency,
        spread_s=_PACED_STREAM_S,
        limit_s=sizes.limit_s,
    )
    # The first streams of each connection begin before all are under way.
    report.ttft_loaded = percentiles(result.ttft_ns[concurrency // 2 :])
    report.paced_wall_s, report.paced_streams = result.wall_s, result.completed
    if report.cpu_us_per_request is not None:
        report.cpu_us_per_paced_token = _per_token_us(cpu, result.completed, report.cpu_us_per_request)


async def _soak(report: Report, target: Target, sizes: Sizes) -> None:
    assert target.pid is not None
    pid, every = target.pid, max(1, sizes.soak // 20)

    def look(number: int) -> None:
        if number % every == 0:
            report.rss_soak_mib.append(rss_mib(pid))

    work = Work(
        target.requests("soak", stream=True),
        sizes.soak,
        concurrency=64,
        streams=True,
        leave_early_every=5,
        limit_s=sizes.limit_s * 5,
    )
    result = await run_load(target.wire, work, look)
    _note(report, "soak", result)
    await _at_rest(target)
    report.soak_streams, report.soak_cancelled = result.completed + result.cancelled, result.cancelled


def _per_token_us(cpu: float, streams: int, request_us: float) -> float:
    """CPU per token = (CPU of the streaming run - CPU per request x requests) / tokens."""
    return (cpu * 1e6 - request_us * streams) / max(1, streams * _TOKENS)


async def _with_cpu(
    report: Report, phase: str, target: Target, model: str, total: int, **work: Any
) -> tuple[float, LoadResult]:
    """The run, and the processor seconds that it cost the target from rest to rest."""
    await _at_rest(target)
    before = 0.0 if target.pid is None else cpu_s(target.pid)
    result = await _load(report, phase, target, model, total, **work)
    await _at_rest(target)
    return (0.0 if target.pid is None else cpu_s(target.pid) - before), result


async def _at_rest(target: Target) -> None:
    if target.pid is not None:
        await settled(target.pid)


async def _load(
    report: Report, phase: str, target: Target, model: str, total: int, **work: Any
) -> LoadResult:
    streams = model != "whole"
    requests = target.requests(model, stream=streams)
    wishes: dict[str, Any] = {"concurrency": _CONCURRENCY, **work}
    result = await run_load(target.wire, Work(requests, total, streams=streams, **wishes))
    _note(report, phase, result)
    return result


def _note(report: Report, phase: str, result: LoadResult) -> None:
    if result.failed:
        report.failures[phase] = f"{result.failed} failed, the first: {result.first_failure}"


def percentiles(sample_ns: Sequence[int]) -> Percentiles | None:
    """p50 and p99 of nanoseconds, by nearest rank; None of nothing."""
    if not sample_ns:
        return None
    ordered = sorted(sample_ns)
    ranks = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6 for share in (0.5, 0.99)]
    return Percentiles(ranks[0], ranks[1], len(ordered))
