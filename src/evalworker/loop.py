"""The worker's story: what happens to a batch of sampled requests, from top to bottom.

A batch is read, what cannot be read is parked, what need not be judged is skipped, what was judged before is
taken as it is; the rest is judged, and every result is stored before the batch counts as done. Whatever did
not answer (a judge, a key, a store) leaves its records unfinished: the feed brings them again, and a record
that is brought twice costs a read, not a second verdict: what is stored is found, and what was paid for and
could not be stored yet is kept here.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from functools import partial

import msgspec

from evalworker.bertscore.scoring import BertScoring
from evalworker.ends import End, Judged, Parked, Skipped, Unfinished
from evalworker.intake import read_event, refuses
from evalworker.judging.bedrock import BedrockJudge
from evalworker.judging.budget import Budget
from evalworker.judging.judge import Candidate, Malformed, Refused, Scored, Unavailable
from evalworker.judging.specimen import Specimen
from evalworker.patience import Patience
from evalworker.publishing import ScoreLines
from evalworker.records import Place, StreamRecord
from evalworker.sealing import Sealing
from evalworker.stores.faults import StoreRefused, StoreUnavailable
from evalworker.stores.history import HistoryWriter
from evalworker.stores.history_rows import HistoryRow
from evalworker.stores.parked import ParkedRecords
from evalworker.stores.results import Results
from evalworker.tally import Tally
from llmplatform.aws.envelope import ContentTampered, KeyServiceFailed, KeyUnavailable
from llmplatform.aws.parameters import PolicySource
from llmplatform.clock import Clock
from llmplatform.evaluations import EvalContent, EvalResult, ResultKey
from llmplatform.policy import TenantPolicy
from llmplatform.redaction import describe_fault
from llmplatform.samples import SampleEvent

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Sample:
    """A readable record of a tenant that wants it judged."""

    record: StreamRecord
    event: SampleEvent
    policy: TenantPolicy
    key: ResultKey


class Evaluator:
    """Evaluates batches of records, whoever feeds them; see `records.RecordProcessor`."""

    def __init__(
        self,
        *,
        policies: PolicySource,
        judge: BedrockJudge,
        budget: Budget,
        daily_budget_usd: Decimal,
        bertscoring: BertScoring | None,
        sealing: Sealing,
        results: Results,
        history: HistoryWriter,
        parked: ParkedRecords,
        lines: ScoreLines,
        clock: Clock,
    ) -> None:
        self._policies = policies
        self._judge = judge
        self._budget = budget
        self._daily_budget_usd = daily_budget_usd
        self._bertscoring = bertscoring
        self._bertscore_identity = None if bertscoring is None else bertscoring.identity
        self._sealing = sealing
        self._results = results
        self._history = history
        self._parked = parked
        self._lines = lines
        self._clock = clock
        self._patience = Patience()
        self._specimen = Specimen(judge, clock)
        self._unstored: dict[Place, Scored] = {}
        self._untold: dict[Place, EvalResult] = {}
        """Results of which the table has not told yet whether it took them."""
        self.tally = Tally()

    async def process(self, records: Sequence[StreamRecord]) -> frozenset[str]:
        """Evaluate a batch; gives the sequence numbers of what is to be brought again."""
        self.tally.begin(records)
        tenants: dict[Place, str] = {}
        ends: dict[Place, End] = {}
        samples: list[_Sample] = []
        for record in records:
            try:
                read = self._read(record, tenants)
            except Exception as fault:  # noqa: BLE001  # as in `_guarded`
                read = self._stumbled(record.place, fault)
            if isinstance(read, _Sample):
                samples.append(read)
            else:
                ends[record.place] = read
        ends |= await self._judged(samples)
        ends |= await self._without_history(ends)
        ends |= await self._not_put_aside(records, ends)
        now = self._clock.now()
        for record in records:
            place = record.place
            self.tally.settle(record, ends[place], tenant_id=tenants.get(place), at=now)
            if not isinstance(ends[place], Unfinished):
                self._forget(place)
        return frozenset(
            record.sequence_number for record in records if isinstance(ends[record.place], Unfinished)
        )

    def give_up(self, records: Sequence[StreamRecord]) -> None:
        """Take it that these will not be brought here again."""
        for record in records:
            self._forget(record.place)
        self.tally.forget(records)

    def _forget(self, place: Place) -> None:
        self._patience.forget(place)
        self._unstored.pop(place, None)
        self._untold.pop(place, None)

    def _read(self, record: StreamRecord, tenants: dict[Place, str]) -> _Sample | End:
        """What a record holds, and whether it is to be judged; notes whose it is, where that is known."""
        event = read_event(record.data)
        if not isinstance(event, SampleEvent):
            return Parked(event)
        age_s = self._policies.age_s
        if age_s is None:  # who the tenants are is not known yet
            return Unfinished("policies")
        policy = self._policies.policy_of(event.tenant_id)
        if policy is None:
            # A gateway reads a new tenant at its first request, before we read all of them again.
            read_at = self._clock.now() - timedelta(seconds=age_s)
            return Skipped("no_tenant") if record.arrived_at < read_at else Unfinished("policies")
        tenants[record.place] = event.tenant_id
        reason = refuses(event, policy)
        if reason is not None:
            return Skipped(reason)
        key = ResultKey.of(event.tenant_id, event.completed_at, event.request_id, self._judge.judge.identity)
        return _Sample(record, event, policy, key)

    async def _judged(self, samples: Sequence[_Sample]) -> dict[Place, End]:
        """Each sample's result: the one that is there already, or a new one."""
        by_key = {sample.key: sample for sample in reversed(samples)}  # of twins in one batch, the first
        try:
            known = await self._results.known(list(by_key))
        except StoreUnavailable as fault:
            _note("results", fault)
            return {sample.record.place: Unfinished("store") for sample in samples}
        except Exception as fault:  # noqa: BLE001  # as in `_guarded`
            return {sample.record.place: self._stumbled(sample.record.place, fault) for sample in samples}
        fresh = [sample for key, sample in by_key.items() if key not in known]
        evaluated = await asyncio.gather(
            *(self._guarded(sample, partial(self._evaluated, sample)) for sample in fresh),
            *(self._guarded(by_key[key], partial(self._found, by_key[key], known[key])) for key in known),
        )
        ends = dict(zip([*(sample.key for sample in fresh), *known], evaluated, strict=True))
        return {sample.record.place: ends[sample.key] for sample in samples}

    async def _guarded(self, sample: _Sample, work: Callable[[], Awaitable[End]]) -> End:
        """The end of one sample, whatever befalls it: no record takes its batch along."""
        try:
            return await work()
        except (StoreUnavailable, KeyServiceFailed) as fault:
            _note("evaluation", fault)
            return Unfinished("key" if isinstance(fault, KeyServiceFailed) else "store")
        except KeyUnavailable:
            return Skipped("key_unavailable")
        except ContentTampered:
            return Parked("content_corrupt")
        except StoreRefused:
            return Parked("store_refused")
        except Exception as fault:  # noqa: BLE001  # a bug at one record holds up neither its batch nor its shard
            return self._stumbled(sample.record.place, fault)

    def _stumbled(self, place: Place, fault: Exception) -> End:
        """The end of a record at which we failed ourselves: tried again, but not for ever."""
        _note("evaluation", fault)
        return Parked("worker_failed") if self._patience.stumbled(place) else Unfinished("worker")

    async def _found(self, sample: _Sample, result: EvalResult) -> End:
        """The end of a sample that was judged before: the history may not have it yet."""
        if self._untold.pop(sample.record.place, None) == result:  # ours: what was lost is the answer
            self._publish(sample, result)
        return Judged(HistoryRow(await self._sealing.as_stored(sample.event, sample.policy), result))

    async def _evaluated(self, sample: _Sample) -> End:
        """Have one sample judged, compare it with its reference, store the result."""
        event, policy, place = sample.event, sample.policy, sample.record.place
        content = await self._sealing.opened(event, policy)
        if not content.completion:
            return Skipped("no_answer")
        kept = await self._sealing.as_stored(event, policy)  # before the judge is paid: the key may be gone
        if place not in self._unstored:
            outcome = await self._asked(sample, content)
            if not isinstance(outcome, Scored):
                return outcome
            self._unstored[place] = outcome
        result = await self._result(sample, content, self._unstored[place])
        self._untold[place] = result
        stored = await self._results.put(result)
        self._untold.pop(place, None)
        if stored is result:
            self._publish(sample, result)
        return Judged(HistoryRow(kept, stored))

    def _publish(self, sample: _Sample, result: EvalResult) -> None:
        """Take a result that is stored as this worker's."""
        self.tally.claim(sample.record)
        self._lines.add(result)

    async def _asked(self, sample: _Sample, content: EvalContent) -> Scored | End:
        """What the judge says, as far as the tenant's budget goes."""
        event, place = sample.event, sample.record.place
        limit_usd = sample.policy.judge_daily_budget_usd
        if limit_usd is None:
            limit_usd = self._daily_budget_usd
        if not await self._budget.allows(event.tenant_id, limit_usd):
            return Skipped("budget")
        candidate = Candidate(event.tenant_id, event.request_id, event.trace_id.replace("-", ""), content)
        # The one call that a circuit lets through is not for a candidate that may have opened it.
        if self._judge.circuit_open and not await self._answers_others(candidate):
            return Unfinished("judge")
        outcome = await self._judge.verdict(candidate)
        self._budget.spent(event.tenant_id, outcome.bill)
        match outcome:
            case Scored():
                return outcome
            case Unavailable(reason):
                give_up = self._patience.unanswered(place, reason) and await self._answers_others(candidate)
                return Parked("judge_failed") if give_up else Unfinished("judge")
            case Malformed():
                return Skipped("judge_malformed")
            case Refused():
                return Skipped("judge_refused")

    async def _answers_others(self, candidate: Candidate) -> bool:
        """Whether the judge, which fails at this candidate, answers at all: it is asked about a plain one."""
        answers, bill = await self._specimen.is_judged(candidate)
        self._budget.spent(candidate.tenant_id, bill)
        return answers

    async def _result(self, sample: _Sample, content: EvalContent, scored: Scored) -> EvalResult:
        """The result as it is stored: what was said is under the tenant's own key where it has one."""
        event = sample.event
        likeness = None
        if content.reference and self._bertscoring is not None:
            likeness = await self._bertscoring.score(content.completion, content.reference)
        result = EvalResult(
            tenant_id=event.tenant_id,
            request_id=event.request_id,
            trace_id=event.trace_id,
            event_at=event.completed_at,
            judged_at=self._clock.now(),
            model_id=event.model_id,
            endpoint_type=event.endpoint_type,
            backend_model_id=event.backend_model_id,
            endpoint_name=event.endpoint_name,
            sample_rate=event.sample_rate,
            sample_reason=event.sample_reason,
            prompt_sha256=event.prompt_sha256,
            judge=self._judge.judge,
            scores=scored.verdict.scores,
            content_truncated=scored.content_truncated,
            judge_usage=scored.bill.usage,
            judge_latency_ms=scored.latency_ms,
            judge_cost_usd=scored.bill.cost_usd,
            bertscore_f1=None if likeness is None else likeness.f1,
            bertscore_identity=None if likeness is None else self._bertscore_identity,
        )
        said = msgspec.structs.replace(content, reasons=scored.verdict.reasons)
        return replace(result, content=await self._sealing.sealed(event, said, sample.policy))

    async def _without_history(self, ends: Mapping[Place, End]) -> dict[Place, End]:
        """Has the history take the results; unfinished are those that it did not take."""
        judged = {place: end.row for place, end in ends.items() if isinstance(end, Judged)}
        try:
            await self._history.write(list({id(row): row for row in judged.values()}.values()))
        except StoreUnavailable as fault:
            _note("history", fault)
            return dict.fromkeys(judged, Unfinished("store"))
        except Exception as fault:  # noqa: BLE001  # some row fits into no file: which, and the others do
            _note("history", fault)
            return await self._written_alone(judged)
        return {}

    async def _written_alone(self, judged: Mapping[Place, HistoryRow]) -> dict[Place, End]:
        ends: dict[Place, End] = {}
        for place, row in judged.items():
            try:
                await self._history.write([row])
            except StoreUnavailable as fault:
                _note("history", fault)
                ends[place] = Unfinished("store")
            except Exception as fault:  # noqa: BLE001  # as in `_guarded`
                ends[place] = self._stumbled(place, fault)
        return ends

    async def _not_put_aside(
        self, records: Sequence[StreamRecord], ends: Mapping[Place, End]
    ) -> dict[Place, End]:
        """Puts the parked records aside; unfinished are those that could not be."""
        unfinished: dict[Place, End] = {}
        for record in records:
            end = ends[record.place]
            if isinstance(end, Parked):
                try:
                    await self._parked.put(record, end.reason)
                except StoreUnavailable as fault:
                    _note("parked records", fault)
                    unfinished[record.place] = Unfinished("store")
        return unfinished


def _note(what: str, fault: Exception) -> None:
    logger.warning("%s: %s", what, describe_fault(fault))
