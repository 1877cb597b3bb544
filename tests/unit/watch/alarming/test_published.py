"""Scores and judges are known by what they publish."""

from watch.alarming.published import Listed, counted, judges_in, scores_in
from watch.tables.targets import Scores

DIMENSIONS = {"tenant_id": "acme", "model_id": "m", "eval_dimension": "tone"}


def test_scores_are_those_of_tenants_that_there_are() -> None:
    listed = [
        Listed("LLMPlatform/EvalScores", "eval_score", DIMENSIONS),
        Listed("LLMPlatform/EvalScores", "eval_score", {**DIMENSIONS, "tenant_id": "gone"}),
        Listed("LLMPlatform/EvalScores", "score_fallen", {**DIMENSIONS, "model_id": "other"}),
        Listed("LLMPlatform/EvalScores", "eval_score", {"tenant_id": "acme"}),
        Listed("Mine", "eval_score", DIMENSIONS),
    ]
    assert scores_in(listed, {"acme"}) == (Scores("acme", "m", "tone"),)


def test_judges_are_those_that_report() -> None:
    listed = [
        Listed("LLMPlatform/Pipeline", "judge_uncalibrated", {"judge_identity": "b"}),
        Listed("LLMPlatform/Pipeline", "judge_uncalibrated", {"judge_identity": "a"}),
        Listed("LLMPlatform/Pipeline", "calibration_age_days", {"judge_identity": "c"}),
    ]
    assert judges_in(listed) == ("a", "b")


def test_each_combination_of_dimensions_is_a_series() -> None:
    listed = [
        Listed("LLMPlatform/Cost", "a", {}),
        Listed("LLMPlatform/Cost", "a", {"tenant_id": "x"}),
        Listed("Mine", "a", {}),
    ]
    assert counted(listed) == {
        "LLMPlatform/Inference": 0,
        "LLMPlatform/EvalScores": 0,
        "LLMPlatform/Cost": 2,
        "LLMPlatform/Pipeline": 0,
    }
