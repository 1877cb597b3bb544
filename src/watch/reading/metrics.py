"""Metrics as pages read them from CloudWatch: many series at once, each asked once whoever wants it.

`GetMetricData` is billed by the metric that it names, so an answer is kept for a short while and shared: by
panels, pages and people. When CloudWatch does not answer, the last good one is given with its age. How calls
are packed is in `llmplatform.metric_queries`, what may be shown for how long in `watch.metric_queries`.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from llmplatform.aws.refusals import error_code
from llmplatform.clock import Clock
from llmplatform.metric_queries import Answer, Call, calls_for
from llmplatform.redaction import safe_label
from watch.metric_queries import STILL_SHOWN, Figures, Found, Span, Wanted, by_span, fresh_for, may_stand_in
from watch.tables.readings import Series

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_cloudwatch import CloudWatchClient
    from types_aiobotocore_cloudwatch.type_defs import GetMetricDataInputTypeDef

logger = logging.getLogger(__name__)

WITHIN_S: Final = 4.0
"""A page waits no longer for a call, its pages and retries included."""
AT_ONCE: Final = 8
"""CloudWatch takes 50 calls a second of an account in a region; others ask too."""
MOST_KEPT: Final = 500_000
"""Datapoints of answers, some 100 bytes each; an answer without any counts as ten."""
_LEAST_WEIGHT: Final = 10
_MAX_PAGES: Final = 100
_FAILURES: Final = (ClientError, BotoCoreError, aiohttp.ClientError, OSError, asyncio.TimeoutError)

_Outcome = Mapping[Series, Found] | str
"""What a call brought, or why it brought nothing."""


class MetricReader:
    """Series by the time they are wanted for. A context manager: what is under way ends with it."""

    def __init__(
        self,
        cloudwatch: "CloudWatchClient",
        clock: Clock,
        *,
        within_s: float = WITHIN_S,
        most_kept: int = MOST_KEPT,
    ) -> None:
        self._cloudwatch = cloudwatch
        self._clock = clock
        self._within_s = within_s
        self._most_kept = most_kept
        self._kept: OrderedDict[Wanted, Found] = OrderedDict()
        self._weight = 0
        self._last: dict[tuple[Series, int, float], Wanted] = {}
        """The newest answer of a series by period and length, for times that move on."""
        self._under_way: dict[Wanted, asyncio.Task[_Outcome]] = {}
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self.metrics_requested = 0
        """Metrics that calls named, each page again: what is billed at most, at a cent a thousand."""

    async def __aenter__(self) -> Self:
        """Nothing is asked before somebody wants it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the calls under way."""
        tasks = set(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def read(self, wants: Iterable[Wanted]) -> Figures:
        """What these series say. Raises nothing: what could not be read says so.

        Calls go on when who waits for them has left: others may wait too, and the answer is kept.
        """
        found: dict[Wanted, Found] = {}
        waits: dict[Wanted, asyncio.Task[_Outcome]] = {}
        missing: list[Wanted] = []
        for want in dict.fromkeys(wants):
            if (fresh := self._fresh(want)) is not None:
                found[want] = fresh
            elif (task := self._under_way.get(want)) is not None:
                waits[want] = task
            else:
                missing.append(want)
        for span, series in by_span(missing).items():
            for call in calls_for(series, span.first, span.end, span.period_s):
                task = asyncio.create_task(self._ask(call, span), name="metrics")
                for one in call.series:
                    self._under_way[Wanted(one, span)] = waits[Wanted(one, span)] = task
        if waits:
            await asyncio.wait(set(waits.values()))
        for want, task in waits.items():
            outcome = "it was given up" if task.cancelled() else task.result()
            found[want] = self._last_good(want, outcome) if isinstance(outcome, str) else outcome[want.series]
        return Figures(found)

    def _fresh(self, want: Wanted) -> Found | None:
        kept = self._kept.get(want)
        if kept is None or kept.read_at is None:
            return None
        if self._clock.now() - kept.read_at >= fresh_for(want.span, kept.read_at):
            return None
        self._kept.move_to_end(want)
        return kept

    def _last_good(self, want: Wanted, why: str) -> Found:
        """What was said before, where that is not too old to be shown."""
        last = self._last.get(_kind_of(want))
        kept = self._kept.get(last) if last is not None else None
        if last is None or kept is None or kept.read_at is None:
            return Found({}, None, failed=why)
        if self._clock.now() - kept.read_at > STILL_SHOWN or not may_stand_in(last.span, want.span):
            return Found({}, None, failed=why)
        return Found(kept.values, kept.read_at, kept.incomplete, failed=why)

    async def _ask(self, call: Call, span: Span) -> _Outcome:
        try:
            async with self._at_once, asyncio.timeout(self._within_s):
                answer = await self._answer(call)
        except _FAILURES as error:
            why = error_code(error) or type(error).__name__
            logger.warning("metrics not read", extra={"reason": safe_label(why), "series": len(call.series)})
            return safe_label(why)
        finally:
            for one in call.series:
                self._under_way.pop(Wanted(one, span), None)
        now = self._clock.now()
        flawed = answer.flawed()
        outcome = {
            series: Found(values, now, ", ".join(map(safe_label, flawed.get(series, ()))))
            for series, values in answer.values().items()
        }
        self._keep(outcome, span)
        return outcome

    async def _answer(self, call: Call) -> Answer:
        answer = Answer(call)
        request: GetMetricDataInputTypeDef = {
            "MetricDataQueries": call.queries(),
            "StartTime": call.start,
            "EndTime": call.end,
            "ScanBy": "TimestampAscending",
        }
        for _ in range(_MAX_PAGES):
            self.metrics_requested += len(call.series)
            page = await self._cloudwatch.get_metric_data(**request)
            answer.add(page)
            if not (token := page.get("NextToken")):
                return answer
            request["NextToken"] = token
        answer.give_up("TooManyPages")
        return answer

    def _keep(self, outcome: Mapping[Series, Found], span: Span) -> None:
        for series, found in outcome.items():
            if found.incomplete:  # to be asked again at once
                continue
            want = Wanted(series, span)
            self._forget(want)
            self._kept[want] = found
            self._last[_kind_of(want)] = want
            self._weight += _weight(found)
        while self._weight > self._most_kept:
            self._forget(next(iter(self._kept)))

    def _forget(self, want: Wanted) -> None:
        if (found := self._kept.pop(want, None)) is None:
            return
        self._weight -= _weight(found)
        if self._last.get(_kind_of(want)) == want:
            del self._last[_kind_of(want)]


def _kind_of(want: Wanted) -> tuple[Series, int, float]:
    return want.series, want.span.period_s, want.span.length.total_seconds()


def _weight(found: Found) -> int:
    return len(found.values) + _LEAST_WEIGHT
