"""What observing adds: judge, metrics, alarms, tables, logs, stream, traces and what works on them. Pure.

How much of a service a request, a sample and a judgement take is `llmplatform.footprint`, by which the cost
job prices what was. Here is also what that leaves out: alarms, storage, files, the console, jobs.
"""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Final

from llmplatform.aws.tables import (
    DATA_KEYS,
    EVAL_RESULTS,
    EVAL_STREAM,
    GATEWAY_LOGS,
    REQUEST_LEDGER,
    TENANT_COST,
)
from llmplatform.fixed_costs import KEYS
from llmplatform.footprint import (
    COMPOSITE_ALARM,
    GB,
    HIGH_RESOLUTION_ALARM,
    LEDGER_ROW_BYTES,
    LOGS_IN,
    METRIC_MONTHS,
    METRICS_READ,
    READS,
    RESULT_BYTES,
    STANDARD_ALARM,
    STREAM_HOURS,
    STREAM_IN,
    STREAM_OUT,
    TRACES,
    WRITES,
    PipelineQuantities,
)
from operator_cli.estimate import figures as known
from operator_cli.estimate.figures import Range, total
from operator_cli.estimate.needs import Needs
from operator_cli.estimate.parts import Part, bought, tasks_of
from operator_cli.estimate.pricing import DAYS_IN_A_MONTH, HOURS, Pricing, TaskSize, added
from watch.alarming.counting import METRICS_OF_A_BAND

STORED: Final = "AmazonDynamoDB/TimedStorage-ByteHrs"
RECOVERABLE: Final = "AmazonDynamoDB/TimedPITRStorage-ByteHrs"
LOGS_STORED: Final = "AmazonCloudWatch/TimedStorage-ByteHrs"
DELIVERED: Final = "AmazonKinesisFirehose/BilledBytes"
ARCHIVED: Final = "AmazonS3/TimedStorage-GIR-ByteHrs"
OBJECTS_STORED: Final = "AmazonS3/TimedStorage-ByteHrs"
OBJECTS_PUT: Final = "AmazonS3/Requests-Tier1"
STREAM_KEPT: Final = "AmazonKinesis/OnDemand-ExtendedRetention-ByteHrs"

JUDGE: Final = "judge"
ARCHIVE_DAYS: Final = 730
HISTORY_DAYS: Final = 365
"""The bucket's life cycle decides; a year is assumed."""
ITEM_OVERHEAD_BYTES: Final = 100
"""That DynamoDB adds to an item, in the table and in each index."""
RESULT_BY_TIME_BYTES: Final = 700
COST_LINE_BYTES: Final = 550
COST_LINE_RUNS: Final = 7
"""An hour's lines are written anew in so many of its runs, and those of the run before are removed."""
SHORT_JOBS_AN_HOUR: Final = 7
"""Alarms every ten minutes, compaction once; each is billed a minute."""

_EACH: Final = PipelineQuantities()
_METERED_WORKER: Final = TaskSize(Decimal(1), Decimal(2), 1)
"""The cost job counts one worker, whatever the number."""
_MINUTE_H: Final = Decimal(1) / 60
_SECONDS_AN_HOUR: Final = 3_600


def observing_parts(needs: Needs, pricing: Pricing) -> Iterator[Part]:
    """Each part, the dearest first at the design's scale."""
    yield _judge(needs, pricing)
    series = Range.exactly(needs.series)
    yield bought("custom metrics", METRIC_MONTHS, series, "series", pricing, metered=True)
    yield _alarms(needs, pricing)
    yield from _tables(needs, pricing)
    yield from _logs(needs, pricing)
    yield from _stream(needs, pricing)
    yield from _history(needs, pricing)
    yield from _work(needs, pricing)
    yield bought("keys", KEYS, Range.exactly(len(DATA_KEYS)), "keys", pricing)


def _judge(needs: Needs, pricing: Pricing) -> Part:
    month = needs.judgements_per_day * DAYS_IN_A_MONTH
    key = needs.facts.judge_price_key
    usd = added(
        pricing.tokens(key, "input", known.JUDGE_INPUT_TOKENS.value * month),
        pricing.tokens(key, "output", known.JUDGE_OUTPUT_TOKENS.value * month),
    )
    source = f"{needs.facts.judge}, {pricing.source_of_tokens(key)}; {known.JUDGE_INPUT_TOKENS.source}"
    return Part(JUDGE, "observing", Range.exactly(month), "judgements", usd, source, usd)


def _alarms(needs: Needs, pricing: Pricing) -> Part:
    counts = needs.alarms
    watched = counts.standard + METRICS_OF_A_BAND * counts.bands
    usd = added(
        pricing.month(STANDARD_ALARM, Range.exactly(watched)),
        pricing.month(HIGH_RESOLUTION_ALARM, Range.exactly(counts.high_resolution)),
        pricing.month(COMPOSITE_ALARM, Range.exactly(counts.composite)),
    )
    source = f"counted on the alarms that `watch apply` puts; {pricing.source_of(STANDARD_ALARM)}"
    return Part("alarms", "observing", Range.exactly(counts.total), "alarms", usd, source)


def _tables(needs: Needs, pricing: Pricing) -> Iterator[Part]:
    rows, judged = needs.rows_per_day * DAYS_IN_A_MONTH, needs.judgements_per_day * DAYS_IN_A_MONTH
    writes = rows * _decimal(_EACH.per_request[WRITES]) + judged * _decimal(_EACH.per_judgement[WRITES])
    yield bought("tables, writes", WRITES, Range.exactly(writes), "units", pricing, metered=True)
    reads = Range.exactly(rows * _decimal(_EACH.per_request[READS]))
    yield bought("tables, reads", READS, reads, "units", pricing, metered=True)
    lines = known.COST_LINES.value * (needs.workload.tenants * needs.workload.models_per_tenant * HOURS)
    yield bought("tables, cost lines", WRITES, lines * (2 * COST_LINE_RUNS), "units", pricing)
    ledger = _kept(needs.rows_per_day, LEDGER_ROW_BYTES, REQUEST_LEDGER.retention_days)
    results = _kept(needs.judgements_per_day, RESULT_BYTES, EVAL_RESULTS.retention_days)
    by_time = _kept(needs.judgements_per_day, RESULT_BY_TIME_BYTES, EVAL_RESULTS.retention_days)
    costs = lines * (COST_LINE_BYTES * TENANT_COST.retention_days / DAYS_IN_A_MONTH / GB)
    tables = total([ledger, results, costs])
    indexes = total([ledger, results, by_time])
    yield bought("tables, stored", STORED, tables + indexes, "GB", pricing)
    yield bought("tables, recovery", RECOVERABLE, tables, "GB", pricing)


def _logs(needs: Needs, pricing: Pricing) -> Iterator[Part]:
    daily = Range.exactly(needs.rows_per_day * _decimal(_EACH.per_request[LOGS_IN]))
    month = daily * DAYS_IN_A_MONTH
    yield bought("logs, taken in", LOGS_IN, month, "GB", pricing, metered=True)
    compressed = daily * known.LOG_COMPRESSION.value
    stored = compressed * GATEWAY_LOGS.retention_days
    yield bought(f"logs, {GATEWAY_LOGS.retention_days} days", LOGS_STORED, stored, "GB", pricing)
    yield bought("logs, to the archive", DELIVERED, month, "GB", pricing)
    yield bought("logs, 2 years", ARCHIVED, compressed * ARCHIVE_DAYS, "GB", pricing)


def _stream(needs: Needs, pricing: Pricing) -> Iterator[Part]:
    samples = needs.judgements_per_day * DAYS_IN_A_MONTH
    carried = Range.exactly(samples * _decimal(_EACH.per_sample[STREAM_IN]))
    paid = ((STREAM_HOURS, Range.exactly(HOURS)), (STREAM_IN, carried), (STREAM_OUT, carried))
    yield Part(
        "stream",
        "observing",
        carried,
        "GB",
        added(*(pricing.month(name, units) for name, units in paid)),
        pricing.source_of(STREAM_IN),
        added(*(pricing.listed(name, units) for name, units in paid)),
    )
    kept = carried * ((Decimal(EVAL_STREAM.retention_h) / 24 - 1) / DAYS_IN_A_MONTH)
    yield bought("stream, after its first day", STREAM_KEPT, kept, "GB", pricing)
    traces = needs.workload.requests_per_day * DAYS_IN_A_MONTH * _decimal(_EACH.per_request[TRACES])
    traces += samples * _decimal(_EACH.per_sample[TRACES])
    yield bought("traces", TRACES, Range.exactly(traces), "traces", pricing, metered=True)


def _history(needs: Needs, pricing: Pricing) -> Iterator[Part]:
    stored = known.HISTORY_ROW_BYTES.value * (needs.judgements_per_day * HISTORY_DAYS / GB)
    yield bought("history, a year", OBJECTS_STORED, stored, "GB", pricing)
    put = known.HISTORY_FILES.value * (needs.judgements_per_day * DAYS_IN_A_MONTH)
    yield bought("history, files put", OBJECTS_PUT, put, "requests", pricing)


def _work(needs: Needs, pricing: Pricing) -> Iterator[Part]:
    workload, sizes = needs.workload, needs.facts.sizes
    yield tasks_of(
        "evaluation workers",
        sizes.evalworker,
        needs.peak_worker_tasks,
        pricing,
        source=f"the judge's calls at once, {known.JUDGE_S.source}; CPU of {known.EVALUATION_US.source}",
        mean=needs.worker_tasks(workload.requests_per_s * workload.sample_rate),
        metered_usd=pricing.tasks(_METERED_WORKER, Range.exactly(HOURS)),
    )
    for name, size in (("console", sizes.console), ("billing API", sizes.billing_api)):
        least = Range.exactly(size.least)
        yield tasks_of(name, size, least, pricing, source="as many as the deployment has at least")
    run = needs.cost_run_s(needs.rows_per_day / 24)
    costs = run.map(lambda seconds: max(seconds / _SECONDS_AN_HOUR, _MINUTE_H))
    hours = (costs + Range.exactly(1 + SHORT_JOBS_AN_HOUR * _MINUTE_H)) * HOURS
    source = f"drift all the time, costs by the CPU of {known.COST_ROW_US.source}, the others a minute each"
    yield Part("scheduled jobs", "observing", hours, "hours", pricing.tasks(sizes.job, hours), source)
    variants = sum(len(endpoint.variants) for endpoint in needs.facts.catalogue.endpoints.values())
    asked = Range.exactly((2 * workload.tenants + variants) * HOURS)
    yield bought("metrics read", METRICS_READ, asked, "metrics", pricing, metered=True)


def _kept(a_day: Decimal, bytes_each: int, days: int) -> Range:
    """Gigabytes that are there when so many items a day are kept so long."""
    return Range.exactly(a_day * (bytes_each + ITEM_OVERHEAD_BYTES) * days / GB)


def _decimal(fraction: Fraction) -> Decimal:
    return Decimal(fraction.numerator) / fraction.denominator
