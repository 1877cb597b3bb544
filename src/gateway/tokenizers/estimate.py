"""Counts for models without a vocabulary: from the bytes of the text, mended by what the backend reports."""

from math import ceil

from gateway.chat import ChatRequest
from gateway.tokenizers.tokenizer import IMAGE_TOKENS, image_count, texts_of

_PER_MESSAGE = 4
"""Framing of one message; 3 to 5 in the templates known to us."""


def text_bytes(text: str) -> int:
    """Bytes of the text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def request_bytes(request: ChatRequest) -> int:
    """Bytes of all text that the model will read, framing and images left out."""
    return sum(map(text_bytes, texts_of(request)))


def estimate(request: ChatRequest, size: int, *, bytes_per_token: float) -> int:
    """Prompt tokens of a request with `size` bytes of text, rounded up."""
    framing = _PER_MESSAGE * len(request.messages) + IMAGE_TOKENS * image_count(request)
    return ceil(size / bytes_per_token) + framing


class TokenRatio:
    """How many tokens a model's backend reports for each one that we guess; a moving average.

    Both sums fade at the same rate, so a long prompt weighs more than a short one and a model that changes
    its tokenizer is followed. Silent until it has seen `warm_up` calls: one odd call decides nothing.
    """

    __slots__ = ("_fade", "_guessed", "_observed", "_reported", "_warm_up")

    def __init__(self, *, half_life: int = 200, warm_up: int = 5) -> None:
        """`half_life` is in calls."""
        self._fade = 0.5 ** (1 / half_life)
        self._warm_up = warm_up
        self._guessed = 0.0
        self._reported = 0.0
        self._observed = 0

    def observe(self, *, guessed: int, reported: int) -> None:
        """Take in one call. A guess or a report of nothing says nothing and is passed over."""
        if guessed <= 0 or reported <= 0:
            return
        self._guessed = self._guessed * self._fade + guessed
        self._reported = self._reported * self._fade + reported
        self._observed += 1

    @property
    def value(self) -> float | None:
        """Reported over guessed; None before the warm-up is over."""
        return self._reported / self._guessed if self._observed >= self._warm_up else None

    def mend(self, guess: int) -> int:
        """The guess as the backend would report it, as far as is known."""
        ratio = self.value
        return guess if ratio is None else round(guess * ratio)
