"""Who a judge is: everything that can move a score, and nothing else."""

from dataclasses import replace
from datetime import date

import pytest

from evalworker.judging import judge as judge_module
from evalworker.judging.judge import Candidate, JudgeConfig, judge_of
from evalworker.judging.prompt import Limits
from evalworker.judging.rubric import load_rubric
from llmplatform.evaluations import EvalContent
from llmplatform.judges import JudgeModel

MODEL = JudgeModel(
    model_id="vendor.a", price_key="vendor.a/geo", source="a test", retrieved_on=date(2026, 1, 1)
)
CONFIG = JudgeConfig(MODEL, load_rubric())


def identity(config: JudgeConfig) -> str:
    return judge_of(config).identity


def test_an_identity_is_16_hex_digits_and_the_same_each_time() -> None:
    assert identity(CONFIG) == identity(JudgeConfig(MODEL, load_rubric()))
    assert len(identity(CONFIG)) == 16
    assert int(identity(CONFIG), 16) >= 0
    told = judge_of(CONFIG)
    assert (told.model_id, told.rubric_id, told.rubric_version) == ("vendor.a", "answer-quality", "1")


@pytest.mark.parametrize(
    "other",
    [
        replace(CONFIG, model=MODEL.model_copy(update={"model_id": "vendor.b"})),
        replace(CONFIG, model=MODEL.model_copy(update={"max_tokens": 2048})),
        replace(CONFIG, model=MODEL.model_copy(update={"takes_temperature": False})),
        replace(CONFIG, model=MODEL.model_copy(update={"tool_choice": "any"})),
        replace(CONFIG, rubric=CONFIG.rubric.model_copy(update={"version": "2"})),
        replace(CONFIG, limits=Limits(prompt_chars=1_000)),
    ],
)
def test_whatever_can_move_a_score_is_another_judge(other: JudgeConfig) -> None:
    assert identity(other) != identity(CONFIG)


def test_a_changed_word_of_a_rubric_is_another_judge_even_if_its_version_stays() -> None:
    rubric = CONFIG.rubric
    reworded = type(rubric).model_validate({**rubric.model_dump(), "task": "Score the answer."})
    assert reworded.version == rubric.version
    assert identity(replace(CONFIG, rubric=reworded)) != identity(CONFIG)


def test_another_parser_is_another_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    before = identity(CONFIG)
    monkeypatch.setattr(judge_module, "PARSER_VERSION", "other")
    assert identity(CONFIG) != before


def test_what_cannot_move_a_score_is_no_other_judge() -> None:
    dearer = MODEL.model_copy(update={"price_key": "vendor.a/global", "source": "another"})
    assert identity(replace(CONFIG, model=dearer)) == identity(CONFIG)


def test_a_temperature_is_asked_for_only_where_it_is_taken() -> None:
    assert CONFIG.decoding == {"maxTokens": 1024, "temperature": 0}
    plain = replace(CONFIG, model=MODEL.model_copy(update={"takes_temperature": False}))
    assert plain.decoding == {"maxTokens": 1024}


def test_a_candidate_shows_nothing_that_was_said() -> None:
    candidate = Candidate("acme", "r-1", "0" * 32, EvalContent(prompt="zebra"))
    assert "zebra" not in repr(candidate)
