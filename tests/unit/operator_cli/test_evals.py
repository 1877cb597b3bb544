"""The pure rooms of `evals`: times, weighted means, the worst answers, how it all looks."""

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console, RenderableType

from corpus.eval_results import CANARY, JUDGE, TENANT_KEY, make_event, make_result, make_sealed_row
from llmplatform.aws.envelope import ContentKeys, ContentTampered, KeyServiceFailed, KeyUnavailable
from llmplatform.aws.eval_content import NO_PERMISSION, NOTHING_STORED, ContentReader, Withheld
from llmplatform.aws.eval_reader import JudgedScores
from llmplatform.eval_heartbeat import Heartbeat
from llmplatform.eval_scores import lines_of, width_of, worst_of
from llmplatform.eval_status import SeriesStatus
from llmplatform.evaluations import EvalContent, Judge
from llmplatform.judges import load_judge_models
from llmplatform.testing import make_policy
from operator_cli.__main__ import main
from operator_cli.doctor_evals import CALIBRATION_WARNING_DAYS, calibration_check, judge_check, workers_check
from operator_cli.evals_columns import CONTENT, FIGURES, content_of, figures_of
from operator_cli.evals_show_view import Shown, evaluations, facts_of_shown
from operator_cli.evals_times import parse_when
from operator_cli.evals_view import BadAnswer, Overview, facts_of_overview, overview, sparkline

END = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
START = END - timedelta(hours=24)
LIKENESS = "minilm/0f0f"


def shown(what: RenderableType | Overview, width: int = 200) -> str:
    console = Console(width=width, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(overview(what) if isinstance(what, Overview) else what, soft_wrap=False)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def judged(number: int, *, hours_ago: float = 1, **fields: Any) -> JudgedScores:
    at = END - timedelta(hours=hours_ago)
    return JudgedScores(
        **{
            "tenant_id": "acme",
            "request_id": f"r{number}",
            "event_at": at,
            "judged_at": at,
            "model_id": "small",
            "sample_rate": 0.5,
            "judge_identity": JUDGE.identity,
            "scores": {"relevance": 4, "coherence": 5},
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        ("2026-11-23T10:00Z", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("2026-11-23T10:00", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("2026-11-23T10:00+02:00", datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ("30m", END - timedelta(minutes=30)),
        ("24h", END - timedelta(hours=24)),
        (" 7D ", END - timedelta(days=7)),
    ],
)
def test_a_time_is_a_day_a_moment_or_so_long_ago(text: str, moment: datetime) -> None:
    assert parse_when(text).moment(END) == moment
    assert parse_when(text).moment(END).tzinfo is UTC


@pytest.mark.parametrize("text", ["", "yesterday", "24", "-3h", "1w", "2026-13-01", "10:00"])
def test_what_is_no_time_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match="2026-11-23T10:00Z"):
        parse_when(text)


def test_means_are_weighted_by_the_rate_of_each_answer() -> None:
    scores = [
        judged(1, scores={"relevance": 5}, sample_rate=0.01),
        judged(2, scores={"relevance": 1}, sample_rate=1.0),
    ]
    (line,) = lines_of(scores, START, END)
    assert line.whole.value == pytest.approx((500 + 1) / 101)
    assert line.whole.n == 2
    assert line.whole.weight == pytest.approx(101)


def test_every_hour_is_there_also_those_without_scores() -> None:
    lines = lines_of([judged(1, hours_ago=0.25), judged(2, hours_ago=23)], START, END)
    buckets = lines[0].buckets
    assert len(buckets) == 25
    assert buckets[0][0] == datetime(2026, 11, 22, 20, tzinfo=UTC)
    assert [mean.n for _, mean in buckets if mean.n] == [1, 1]
    assert [mean.value for _, mean in buckets].count(None) == 23
    assert width_of(START, END) == "hour"
    assert width_of(END - timedelta(days=7), END) == "day"
    assert len(lines_of([judged(1)], END - timedelta(days=7), END)[0].buckets) == 8


def test_no_mean_spans_two_epochs() -> None:
    scores = [
        judged(1, scores={"relevance": 5}, judge_identity="old", hours_ago=3),
        judged(2, scores={"relevance": 1}, bertscore_f1=0.9, bertscore_identity=LIKENESS),
    ]
    lines = lines_of(scores, START, END)
    assert [(line.series.dimension, line.series.epoch, line.whole.value) for line in lines] == [
        ("relevance", JUDGE.identity, 1.0),  # the judge that was last seen
        ("relevance", "old", 5.0),
        ("bertscore_f1", LIKENESS, 0.9),
    ]


def test_the_worst_are_of_the_newest_judge_and_by_each_ones_lowest() -> None:
    scores = [
        judged(1, scores={"relevance": 1}, judge_identity="old", hours_ago=3),
        judged(2, scores={"relevance": 5, "coherence": 2}),
        judged(3, scores={"relevance": 2, "coherence": 2}),
        judged(4, scores={"relevance": 5, "coherence": 5}),
    ]
    worst = worst_of(scores, 2)
    assert [(one.scores.request_id, one.value) for one in worst] == [("r3", 2), ("r2", 2)]
    assert worst[1].dimension == "coherence"
    assert [one.scores.request_id for one in worst_of(scores, 1, "relevance")] == ["r3"]
    assert worst_of(scores, 3, "bertscore_f1") == ()
    assert worst_of([], 3) == ()


def test_bars_have_a_scale_of_their_own_and_gaps_are_told() -> None:
    assert sparkline([4.0, None, 4.1]) == "▁·█"
    assert sparkline([3.0, 3.0]) == "▅▅"
    assert sparkline([None, None]) == "··"
    assert sparkline([]) == ""


def overview_of(**fields: Any) -> Overview:
    scores = [judged(1), judged(2, judge_identity="old", hours_ago=5, scores={"relevance": 2})]
    bad = worst_of(scores, 1)[0]
    result = make_result(make_event(1))
    given: dict[str, Any] = {
        "tenant_id": "acme",
        "start": START,
        "end": END,
        "answers": 2,
        "stand_for": 4.0,
        "lines": lines_of(scores, START, END),
        "judges": {JUDGE.identity: JUDGE, "old": Judge("old", "vendor.old", "answer-quality", "0")},
        "statuses": {},
        "worst": (BadAnswer(bad, result, EvalContent(reasons={"relevance": "It [bold]guesses\x1b[2J."})),),
        "workers": (),
    }
    return Overview(**{**given, **fields})


def test_two_judges_are_said_not_to_compare_and_one_is_not() -> None:
    both = shown(overview_of())
    assert "their scores cannot be compared, and no mean spans them" in both
    assert "judge old  vendor.old, rubric answer-quality 0" in both
    one = overview_of(lines=lines_of([judged(1)], START, END))
    assert "cannot be compared" not in shown(one)


def test_what_others_wrote_neither_steers_the_terminal_nor_is_markup() -> None:
    text = shown(overview_of())
    assert "It [bold]guesses�[2J." in text
    assert "\x1b" not in text


def test_the_overview_fits_eighty_columns() -> None:
    assert max(len(line) for line in shown(overview_of(), 80).splitlines()) <= 80
    assert "from–to" in shown(overview_of(), 80)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"status": "steady", "drop_percent": 1.25}, "steady; 1.2 % under the baseline"),
        ({"status": "steady", "drop_percent": -2.0}, "steady; 2.0 % over the baseline"),
        (
            {"status": "warming_up", "missing_samples": 1_200, "missing_hours": 3},
            "warming up, lacks 1,200 samples and 3 hours",
        ),
        ({"status": "steady", "current": False}, "an earlier epoch"),
    ],
)
def test_how_a_series_stands_is_told(fields: dict[str, Any], told: str) -> None:
    lines = lines_of([judged(1, scores={"relevance": 4})], START, END)
    key = lines[0].series.key
    status = SeriesStatus(key=key, began=START, latest=END, **{"current": True, **fields})
    assert told in shown(overview_of(lines=lines, statuses={key: status}))


def test_an_overview_is_json_for_programs() -> None:
    facts = json.loads(json.dumps(facts_of_overview(overview_of())))
    assert facts["from"] == "2026-11-22T20:30:00Z"
    assert facts["series"][0]["judge"]["rubric_version"] == "1"
    assert facts["series"][0]["buckets"][0] == {
        "at": "2026-11-22T20:00:00Z",
        "n": 0,
        "weight": 0.0,
        "mean": None,
    }
    withheld = overview_of(
        worst=(BadAnswer(worst_of([judged(1)], 1)[0], make_result(), Withheld(NO_PERMISSION)),)
    )
    (one,) = facts_of_overview(withheld)["worst"]
    assert (one["reason"], one["reason_withheld"]) == (None, NO_PERMISSION)


def test_content_is_shown_when_asked_for_alone() -> None:
    content = EvalContent(prompt=f"user: {CANARY}", completion="A bird.", reasons={"relevance": "Because."})
    one = Shown(make_result(), content)
    assert "Because." in shown(evaluations([one], content=False))
    assert CANARY not in shown(evaluations([one], content=False))
    assert CANARY in shown(evaluations([one], content=True))
    assert CANARY not in json.dumps(facts_of_shown(one, content=False))
    assert facts_of_shown(one, content=True)["content"]["prompt"] == f"user: {CANARY}"
    hidden = Shown(make_result(), Withheld(NO_PERMISSION))
    assert shown(evaluations([hidden], content=True)).count(NO_PERMISSION) == 2
    assert facts_of_shown(hidden, content=True)["content"] is None


class ScriptedKeys(ContentKeys):
    """Keys of which each use ends the same way."""

    def __init__(self, fault: Exception) -> None:
        self._fault = fault
        self.closed = False

    async def open(self, ciphertext: bytes, *, kms_key: str, tenant_id: str, request_id: str) -> bytes:
        assert (kms_key, tenant_id) == (TENANT_KEY, "sealed")
        del ciphertext, request_id
        raise self._fault

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (KeyUnavailable("AccessDeniedException"), NO_PERMISSION),
        (KeyUnavailable("DisabledException"), "which cannot be used: DisabledException"),
        (KeyServiceFailed("ThrottlingException"), "KMS does not answer"),
        (ContentTampered("no"), "not what was sealed"),
    ],
)
async def test_why_a_key_does_not_open_content_is_told(fault: Exception, told: str) -> None:
    keys = ScriptedKeys(fault)
    reader = ContentReader(lambda: keys)
    said = await reader.said(make_sealed_row().result, make_policy("sealed", content_mode="full"))
    assert isinstance(said, Withheld)
    assert told in said.reason
    reader.close()
    assert keys.closed


async def test_the_present_policy_decides_whatever_is_stored() -> None:
    def no_keys() -> ContentKeys:
        raise AssertionError("no key is needed")

    reader = ContentReader(no_keys)
    full, silent = make_policy(content_mode="full"), make_policy(content_mode="hash_only")
    assert await reader.said(make_result(), full) == make_result().content
    assert await reader.said(make_result(content=None), full) == NOTHING_STORED
    for policy in (silent, None):
        assert isinstance(await reader.said(make_result(), policy), Withheld)
    reader.close()


def test_an_export_has_every_identity_and_unknown_is_nothing() -> None:
    row = figures_of(make_result(judge_cost_usd=None, bertscore_f1=None))
    assert list(row) == FIGURES.names
    assert row["judge_identity"] == JUDGE.identity
    assert row["judge_cost_usd"] is None
    assert row["judge_cache_read_tokens"] is None
    assert row["score_relevance"] == 5
    said = content_of(EvalContent(prompt="p", completion="c", reasons={"coherence": "flows"}))
    assert list(said) == CONTENT.names
    assert (said["prompt"], said["reason_coherence"], said["content_withheld"]) == ("p", "flows", None)
    hidden = content_of(Withheld("why"))
    assert {name for name, value in hidden.items() if value is not None} == {"content_withheld"}
    assert not set(FIGURES.names) & set(CONTENT.names)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["llm-platform", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["evals", "acme", "--since", "3x"], "--since"),
        (["evals", "--since", "3x", "acme"], "--since"),
        (["evals", "acme", "--dimension", "beauty"], "relevance"),
        (["evals", "Not_A_Tenant"], "is no command, and no tenant"),
        (["evals", "replay"], "--from"),
        (["evals", "replay", "--from", "1h", "--source", "tape"], "--source"),
        (["evals", "export", "--tenant", "acme", "--from", "1d"], "--output"),
        (["evals", "calibrate", "l.csv", "--repeat", "0"], "--repeat"),
    ],
)
def test_misuse_names_the_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["evals", "--help"], ["evals", "-h"], ["evals", "acme", "--help"]])
def test_help_is_help_and_no_tenant(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(monkeypatch, *arguments) == 0
    assert "scores" in capsys.readouterr().out.lower()


def test_what_is_no_id_is_refused_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert run(monkeypatch, "evals", "show", "nonsense") == 1
    assert "is no id" in capsys.readouterr().err


def beat(**fields: Any) -> Heartbeat:
    given: dict[str, Any] = {"read": 1, "scored": 1, "known": 0, "skipped": {}, "parked": {}}
    given |= {"unfinished": 0, "lag_s": 2.0, "judge_failed": {}, "last_at": {}}
    return Heartbeat(**{"worker": "w", "started_at": START, "at": END, **given, **fields})


def test_the_doctor_tells_workers_that_are_gone_from_those_that_lag() -> None:
    assert workers_check([], END).status == "failed"
    assert workers_check([beat(at=END - timedelta(minutes=5))], END).status == "failed"
    assert workers_check([beat(), beat(at=START)], END).found == "1 alive, lag 2 s"
    late = workers_check([beat(lag_s=900.0, judge_failed={"throttled": 3})], END)
    assert late.status == "warning"
    assert "throttled" in late.found
    assert workers_check([beat(lag_s=None)], END).found == "1 alive, lag unknown"


def test_the_doctor_tells_a_judge_that_nobody_calibrated() -> None:
    def check(passed: bool | None = None, days: float = 0) -> tuple[str, str]:  # noqa: FBT001
        record = {"calibrated_at": (END - timedelta(days=days)).isoformat(), "passed": passed}
        made = calibration_check("a" * 16, None if passed is None else record, END)
        assert bool(made.fix) == (made.status != "ok")
        return made.status, made.found

    assert check() == ("warning", f"judge {'a' * 16} was never calibrated")
    assert check(passed=True, days=3)[0] == "ok"
    assert check(passed=False)[0] == "warning"
    assert check(passed=True, days=CALIBRATION_WARNING_DAYS + 1)[0] == "warning"


def test_the_doctor_tells_a_judge_whose_end_is_near() -> None:
    judge = load_judge_models().named()

    def status(end: datetime | None, *, priced: bool = True) -> str:
        model = judge.model_copy(update={"end_of_life": None if end is None else end.date()})
        return judge_check(model, END.date(), priced=priced).status

    assert status(None) == "ok"
    assert status(END + timedelta(days=61)) == "ok"
    assert status(END + timedelta(days=60)) == "warning"
    assert status(END - timedelta(days=1)) == "failed"
    assert status(None, priced=False) == "warning"
