"""The questions that dashboards ask of the history of evaluations, in Athena's SQL. Pure.

Each names its tenants and its days, which are the table's partitions: no query reads more than it shows. Rows
that were written twice count once, and means are weighted by how many requests a sample stands for. What was
said (prompts, answers, the judge's reasons) is asked for by none of them: who may read that is for the
console to decide.

Grafana fills in `${__from:date:iso}`, which is UTC whatever the reader's time zone, and its own variables;
`$__timeFilter` is a macro of its Athena data source.
"""

# ruff: noqa: S608  # what is put in are names of ours and tenant ids, which are [a-z0-9-]

from collections.abc import Iterable
from typing import Final

from llmplatform.evaluations import BERTSCORE, JUDGE_DIMENSIONS
from watch.grafana.athena import DATABASE, TABLE

WORST: Final = 50
"""Rows of the table of worst answers."""
_EPOCH_CHARS: Final = 12

_VALUE: Final = "\n".join(
    [
        "CASE '${eval_dimension}'",
        *(f"  WHEN '{name}' THEN CAST(score_{name} AS double)" for name in JUDGE_DIMENSIONS),
        f"  WHEN '{BERTSCORE}' THEN bertscore_f1",
        "END",
    ]
)
_OF_TRACE: Final = "trace_id = '${trace_id}'"
_EPOCH: Final = (
    f"CASE '${{eval_dimension}}' WHEN '{BERTSCORE}' THEN bertscore_identity ELSE judge_identity END"
)


def tenants_quality(tenants: Iterable[str]) -> str:
    """Per tenant: answers scored, and the mean of each dimension."""
    means = ",\n  ".join(
        [_mean(f"score_{name}", name) for name in JUDGE_DIMENSIONS] + [_mean(BERTSCORE, BERTSCORE)]
    )
    return f"""{_answers(tenants)}
SELECT tenant_id, count(*) AS answers,
  {means}
FROM answers
GROUP BY tenant_id
ORDER BY tenant_id"""


def distribution(tenant: str) -> str:
    """Per day, epoch and score: answers. A score is 1 to 5, BERTScore is cut to tenths."""
    bucket = f"CASE '${{eval_dimension}}' WHEN '{BERTSCORE}' THEN floor(value * 10) / 10 ELSE value END"
    return f"""{_answers([tenant], model=True)},
scored AS (
SELECT CAST("date" AS timestamp) AS time, substr({_EPOCH}, 1, {_EPOCH_CHARS}) AS epoch, {_VALUE} AS value
FROM answers
)
SELECT time, epoch, CAST({bucket} AS varchar) AS score, count(*) AS answers
FROM scored
WHERE value IS NOT NULL
GROUP BY time, epoch, {bucket}
ORDER BY time, epoch, score"""


def worst_answers(tenant: str) -> str:
    """The answers with the lowest scores, newest first among equals, by trace."""
    return f"""{_answers([tenant], model=True)},
scored AS (
SELECT completed_at, trace_id, request_id, {_VALUE} AS score, substr({_EPOCH}, 1, {_EPOCH_CHARS}) AS epoch,
  total_latency_ms, judge_saw_less
FROM answers
)
SELECT score, completed_at, trace_id, request_id, epoch, total_latency_ms, judge_saw_less
FROM scored
WHERE score IS NOT NULL
ORDER BY score, completed_at DESC
LIMIT {WORST}"""


def scores_of_trace(tenants: Iterable[str]) -> str:
    """The scores of the requests of one trace, in the days that the dashboard shows."""
    scores = ", ".join(f"score_{name} AS {name}" for name in JUDGE_DIMENSIONS)
    return f"""{_answers(tenants, filters=(_OF_TRACE,))}
SELECT completed_at, tenant_id, model_id, request_id, {scores}, {BERTSCORE}, judge_identity, judged_at,
  judge_cost_usd
FROM answers
ORDER BY completed_at"""


def xray_trace_id() -> str:
    """The trace id as X-Ray writes it: `1-`, eight hexadecimal digits, `-`, the other 24. Reads no data."""
    digits = "replace('${trace_id}', '-', '')"
    return f"SELECT concat('1-', substr({digits}, 1, 8), '-', substr({digits}, 9)) AS xray_trace_id"


def _answers(tenants: Iterable[str], *, model: bool = False, filters: tuple[str, ...] = ()) -> str:
    named = ", ".join(f"'{tenant}'" for tenant in tenants)
    conditions = [
        f"tenant IN ({named})",
        "\"date\" BETWEEN substr('${__from:date:iso}', 1, 10) AND substr('${__to:date:iso}', 1, 10)",
        "$__timeFilter(completed_at)",
        *(["model_id = '${model_id}'"] if model else []),
        *filters,
    ]
    where = "\n  AND ".join(conditions)
    return f"""WITH copies AS (
SELECT *, row_number() OVER (PARTITION BY request_id, judge_identity ORDER BY judged_at DESC) AS copy
FROM "{DATABASE}"."{TABLE}"
WHERE {where}
),
answers AS (
SELECT * FROM copies WHERE copy = 1
)"""


def _mean(column: str, name: str) -> str:
    there = f"CASE WHEN {column} IS NOT NULL THEN 1 / sample_rate END"
    return f"sum({column} / sample_rate) / sum({there}) AS {name}"
