"""The worst answers of a tenant, and the judges that said so, as tables. Pure.

A judge's reason quotes what was said: it is passed here only where it was asked for and may be read.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from llmplatform import ids
from llmplatform.aws.eval_content import Said, Withheld
from llmplatform.eval_scores import Worst
from llmplatform.evaluations import BERTSCORE, DIMENSIONS, JUDGE_DIMENSIONS, EvalResult, Judge
from watch.console.evaluations_overview import Judges, calibration_cell, title_of
from watch.console.tables import Cell, Column, Row, Table

WORST: Final = 10
LOW: Final = 2
"""A score of at most so much is a bad answer."""


def worst_table(worst: Sequence[tuple[Worst, EvalResult | None]], said: Mapping[str, Said] | None) -> Table:
    """The worst answers, the worst first; `said` by request where the judge's reasons were asked for."""
    dimensions = [name for name in DIMENSIONS if any(name in one.scores.values for one, _ in worst)]
    rows: list[Row] = []
    for one, result in worst:
        rows.append(
            {
                "at": one.scores.event_at,
                "trace": _trace_cell(result),
                "model": one.scores.model_id,
                "lowest": title_of(one.dimension),
                **{
                    name: Cell(value, state="warning" if name != BERTSCORE and value <= LOW else None)
                    for name, value in one.scores.values.items()
                },
                "reason": _reason(one, None if said is None else said.get(one.scores.request_id)),
            }
        )
    return Table(
        caption="Worst answers",
        name="worst",
        columns=(
            Column("trace", "Trace"),
            Column("at", "Completed", "time"),
            Column("model", "Model"),
            Column("lowest", "Lowest in"),
            *(
                Column(name, title_of(name), "score" if name == BERTSCORE else "number")
                for name in dimensions
            ),
            *(() if said is None else (Column("reason", "The judge's reason", sortable=False),)),
        ),
        rows=rows,
        empty="No answer was scored in this time.",
    )


def judges_table(judges: Mapping[str, Judge | str | None], calibrations: Judges) -> Table:
    """Who stands behind each epoch; None is not told by the answers that were looked through."""
    rows: list[Row] = [
        {"epoch": epoch, **_judge_told(judge), "calibration": _calibrated(epoch, judge, calibrations)}
        for epoch, judge in sorted(judges.items())
    ]
    return Table(
        caption="Judges: their scores are never compared",
        name="judges",
        columns=(
            Column("epoch", "Epoch"),
            Column("model", "Scored by"),
            Column("rubric", "Rubric"),
            Column("calibration", "Calibration"),
        ),
        rows=rows,
    )


def _judge_told(judge: Judge | str | None) -> dict[str, str]:
    match judge:
        case Judge():
            return {"model": judge.model_id, "rubric": f"{judge.rubric_id} {judge.rubric_version}"}
        case str():
            return {"model": judge, "rubric": "none: likeness to the reference"}
        case None:
            return {}


def _calibrated(epoch: str, judge: Judge | str | None, calibrations: Judges) -> Cell:
    """People are asked about judges, not about a likeness."""
    return Cell(None) if isinstance(judge, str) else calibration_cell(calibrations.get(epoch, ""))


def _reason(worst: Worst, said: Said | None) -> Cell:
    if said is None or worst.dimension not in JUDGE_DIMENSIONS:
        return Cell(None)
    if isinstance(said, Withheld):
        return Cell(None, note=said.reason)
    return Cell(said.reasons.get(worst.dimension))


def _trace_cell(result: EvalResult | None) -> Cell:
    if result is None:
        return Cell(None, note="gone meanwhile")
    bare = ids.trace_id_of(result.trace_id)
    path = result.trace_id if bare is None else ids.as_uuid(bare)
    return Cell(result.trace_id, href=f"/traces/{quote(path, safe='')}")
