"""The formula alone, on the reference implementation's own float embeddings: no model is run."""

import json
from pathlib import Path

import numpy as np
import pytest

from evalworker.bertscore.matching import EmbeddedText, f1

CORPUS = Path(__file__).parents[3] / "corpus" / "bertscore"
REFERENCE = json.loads((CORPUS / "reference.json").read_text("utf-8"))["f1"]
FLOAT = 1e-3
SPECIAL = (101, 102)


def stored() -> dict[str, np.ndarray]:
    with np.load(CORPUS / "embeddings.npz") as arrays:
        return dict(arrays)


def text(*rows: tuple[float, float], counts: list[bool] | None = None) -> EmbeddedText:
    embeddings = np.array(rows, dtype=np.float32).reshape(len(rows), 2)
    return EmbeddedText(embeddings, np.array(counts or [True] * len(rows), dtype=np.bool_))


@pytest.mark.parametrize("index", sorted({int(name.split(".")[0]) for name in stored()}))
def test_the_formula_gives_the_references_score_from_the_references_embeddings(index: int) -> None:
    arrays = stored()
    candidate, reference = (
        EmbeddedText(
            arrays[f"{index}.{side}.embeddings"].astype(np.float32),
            ~np.isin(arrays[f"{index}.{side}.ids"], SPECIAL),
        )
        for side in ("candidate", "reference")
    )
    assert f1(candidate, reference) == pytest.approx(REFERENCE[index], abs=FLOAT)


def test_precision_goes_over_the_candidate_and_recall_over_the_reference() -> None:
    # Precision 1, recall (1 + 0) / 2.
    assert f1(text((1, 0)), text((2, 0), (0, 3))) == pytest.approx(2 * 1 * 0.5 / 1.5)


def test_a_token_without_weight_can_be_matched_but_is_not_averaged() -> None:
    candidate = text((1, 0))
    reference = text((0, 1), (1, 0), counts=[True, False])
    # The candidate's token finds its like in the weightless one; recall is that of the other one, 0.
    assert f1(candidate, reference) is None
    nearer = text((1, 1), (1, 0), counts=[True, False])
    assert f1(candidate, nearer) == pytest.approx(2 * 0.5**0.5 / (1 + 0.5**0.5))


def test_equal_texts_score_one_and_never_more() -> None:
    rows = np.random.default_rng(7).normal(size=(50, 384)).astype(np.float32)
    same = EmbeddedText(rows, np.ones(50, dtype=np.bool_))
    score = f1(same, same)
    assert score is not None
    assert 1 - 1e-6 < score <= 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(text((1, 0), counts=[False]), id="no token counts"),
        pytest.param(text((-1, 0)), id="opposite"),
        pytest.param(text((0, 1)), id="at a right angle"),
        pytest.param(text((0, 0)), id="no direction"),
        pytest.param(text((float("nan"), 1)), id="not a number"),
    ],
)
def test_nothing_to_compare_is_none(other: EmbeddedText) -> None:
    assert f1(text((1, 0)), other) is None
    assert f1(other, text((1, 0))) is None
