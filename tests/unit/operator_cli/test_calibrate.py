import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from corpus.calibration.make_labels import PATH, ScriptedJudge
from evalworker.calibration.gate import GateRule, gate
from evalworker.calibration.judgements import JudgedItem, NoScore, Scores
from evalworker.calibration.judging import Judge
from evalworker.calibration.labels import LabelFile, LabelledItem, parse_labels
from evalworker.calibration.report import build_report
from llmplatform.evaluations import JUDGE_DIMENSIONS
from llmplatform.testing import START, FakeClock
from operator_cli.calibrate import BAD_INPUT, FAILED, PASSED, Effort, run_calibrate
from operator_cli.calibrate_view import calibration
from operator_cli.evals_columns import schema

DOCS = Path(__file__).parents[3] / "docs/calibration.md"


@dataclass(slots=True)
class Bench:
    """A judge to open and a place for the record; remembers what happened."""

    judge: Judge
    opened: list[LabelFile] = field(default_factory=list)
    closed: int = 0
    stored: list[Mapping[str, Any]] = field(default_factory=list)

    @asynccontextmanager
    async def open(self, labels: LabelFile) -> AsyncIterator[Judge]:
        self.opened.append(labels)
        try:
            yield self.judge
        finally:
            self.closed += 1

    async def store(self, record: Mapping[str, Any]) -> None:
        assert self.closed
        self.stored.append(record)

    def run(self, path: Path = PATH, **more: Any) -> int:
        return run_calibrate(path, self.open, self.store, FakeClock(), **more)


class StoredScores:
    """A judge that looks up what was said before, by request id."""

    identity = "stored"

    def __init__(self, said: Mapping[str, Mapping[str, int]]) -> None:
        self._said = said

    async def scores(self, item: LabelledItem) -> Scores:
        assert item.request_id is not None
        return self._said.get(item.request_id, NoScore.NOT_STORED)


def test_the_example_in_the_docs_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert Bench(ScriptedJudge()).run() == PASSED
    printed = capsys.readouterr().out
    shown = printed[printed.index("relevance") : printed.index("coherence")].rstrip()
    docs = DOCS.read_text(encoding="utf-8")
    assert f"```\n{shown}\n```" in docs
    assert printed.splitlines()[-1] in docs


def test_a_worse_judge_fails_and_every_reason_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(ScriptedJudge(error=3))
    assert bench.run() == FAILED
    out = capsys.readouterr().out
    assert "gate failed: this judge may not be released" in out
    for reason in ("relevance: kappa may be as low as", "coherence: kappa", "under people's own"):
        assert reason in out
    (record,) = bench.stored
    assert record["passed"] is False
    assert record["calibrated_at"] == START.isoformat()


def test_for_programs_it_is_json_and_nothing_else_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert Bench(ScriptedJudge()).run(as_json=True, effort=Effort(repeat=2, resamples=100)) == PASSED
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"]["passed"] is True
    relevance = told["report"]["dimensions"][0]
    assert relevance["dimension"] == "relevance"
    assert relevance["coverage"]["without_score"] == {"malformed": 2}
    assert relevance["within_item_sd"] == 0  # this judge repeats itself
    assert relevance["mode"]["spearman"] == {
        "value": None,
        "low": None,
        "high": None,
        "reason": "one side is constant",
    }


def test_no_prompt_or_answer_is_printed_or_stored(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(ScriptedJudge())
    bench.run()
    bench.run(as_json=True)
    written = capsys.readouterr()
    for text in ("Where is", "carrier", "tracking"):
        assert text in PATH.read_text(encoding="utf-8")
        assert text not in written.out + written.err + repr(bench.stored)


def test_stored_scores_are_calibrated_by_request_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"r{index},{index % 5 + 1},{10 + index}" for index in range(210)]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["request_id,relevance,completion_chars", *rows]), encoding="utf-8")
    said = {f"r{index}": {"relevance": index % 5 + 1} for index in range(209)}
    bench = Bench(StoredScores(said))
    assert bench.run(path, rule=GateRule(dimensions=("relevance",))) == PASSED
    assert not bench.opened[0].has_content
    assert "209 of 210 judgements gave a score (99.5%); 1 not_stored" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"request_id,relevance\nr1,7\n", "line 2, column `relevance`: not a whole number from 1 to 5"),
        (b"", "line 1: a row of column names is needed"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_status_two_and_no_judge_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, told: str
) -> None:
    path = tmp_path / "[labels].csv"
    if content is not None:
        path.write_bytes(content)
    bench = Bench(ScriptedJudge())
    assert bench.run(path) == BAD_INPUT
    written = capsys.readouterr()
    assert written.out == ""
    assert told in written.err
    assert "[labels].csv" in written.err
    assert not bench.opened


def test_of_many_problems_the_first_are_shown_and_the_rest_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("request_id,relevance\n" + "".join(f"r{index},0\n" for index in range(25)))
    assert Bench(ScriptedJudge()).run(path) == BAD_INPUT
    assert capsys.readouterr().err.splitlines()[-1] == "and 5 more"


def test_that_it_cannot_pass_is_said_before_the_judge_is_paid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("request_id,relevance,remarks\nr1,4,fine\n")

    class Absent:
        identity = "absent"

        async def scores(self, item: LabelledItem) -> Scores:
            raise ConnectionError(item.item_id)

    bench = Bench(Absent())
    with pytest.raises(ConnectionError):
        bench.run(path)
    err = " ".join(capsys.readouterr().err.split())
    assert "relevance has 1 labelled items, the gate asks for 200: it will not pass" in err
    assert "ignored: 3" in err
    assert bench.closed == 1
    assert not bench.stored


def test_an_export_to_which_labels_were_added_can_be_read() -> None:
    exported = schema(content=True).names
    header = ",".join((*exported, *JUDGE_DIMENSIONS))
    labels = parse_labels(f"{header}\n{'x,' * len(exported)}5,4,3,2\n".encode())
    assert labels.items[0].labels == {name: (5 - at,) for at, name in enumerate(JUDGE_DIMENSIONS)}
    assert labels.has_content


def test_what_is_unknown_is_said_to_be_with_its_reason() -> None:
    judged = [
        JudgedItem(LabelledItem(str(index), None, {"relevance": (index % 5 + 1,)}), ({"relevance": 3},))
        for index in range(9)
    ]
    report = build_report(judged, judge_identity="j", repeat=1, rng=np.random.default_rng(0), resamples=100)
    out = io.StringIO()
    Console(file=out, width=120, color_system=None).print(calibration(report, gate(report, GateRule())))
    text = out.getvalue()
    for line in (
        "judge, exact and kappa: no interval: fewer than 10 items",
        "judge, spearman: one side is constant",
        "length: the length of an answer is unknown: give `completion` or `completion_chars`",
        "people (ceiling): no item was rated by two people",
        "0 labelled, 0 compared",
    ):
        assert line in text
    assert "nan" not in text
    assert "-0.00" not in text
