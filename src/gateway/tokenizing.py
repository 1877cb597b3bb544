"""Our own token counts: a high estimate for admission, and the count that the backend's is held against.

A count never delays the first token. `start` hands a large request to a worker thread at once; a small one
is counted when its result is asked for, which is after the reply has gone. Pieces of a conversation that
were counted before are not counted again. What a vocabulary does is in `gateway.tokenizers`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from math import ceil

from gateway.chat import ChatRequest
from gateway.tokenizers import huggingface, openai_ranks
from gateway.tokenizers.estimate import TokenRatio, estimate, request_bytes
from gateway.tokenizers.tokenizer import ModelTokenizer
from llmplatform.catalogue import Catalogue, Tokenizer
from llmplatform.errors import ConfigFault

ADMISSION_BYTES_PER_TOKEN = 3.2
"""Above the truth on ordinary prose, code and CJK (1.07 to 1.69 times), not a bound on all text: indented
JSON had 1.3 times as many tokens, lines of symbols and digits 1.4. A strict bound, a token a byte, would
refuse three quarters of what fits."""

_CACHE_ENTRY_BYTES = 256
"""What one cached count takes: a 16-byte digest, its key, a number, a slot in the table."""


@dataclass(frozen=True, slots=True)
class Count:
    """Prompt tokens of one request, counted here."""

    tokens: int
    exact: bool
    """True when the model's own vocabulary and framing were applied to all of it."""
    method: str
    """`tiktoken:o200k_base`, `huggingface:NAME`, `estimate` or, mended by reports, `estimate:calibrated`."""
    guess: int | None = None
    """For estimates: the number before it was mended, which is what the ratio is learned from."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What the catalogue's models are counted with."""

    tokenizers: Mapping[str, ModelTokenizer]
    """By public model name; a model that is not here is estimated."""
    bytes_per_token: Mapping[str, float]
    fallbacks: Mapping[str, str]
    """Models that should have a vocabulary and have none, with the reason: start-up says so."""


def build_counters(catalogue: Catalogue) -> Counters:
    """Load each vocabulary of the catalogue once. A vocabulary that fails costs exactness, not start-up."""
    loaded: dict[tuple[str, ...], ModelTokenizer | str] = {}
    tokenizers: dict[str, ModelTokenizer] = {}
    fallbacks: dict[str, str] = {}
    for name, model in catalogue.models.items():
        wanted = model.tokenizer
        if wanted.kind == "estimate":
            continue
        key = (wanted.kind, wanted.name or "", str(wanted.path))
        if key not in loaded:
            loaded[key] = _load(wanted)
        found = loaded[key]
        if isinstance(found, str):
            fallbacks[name] = found
        else:
            tokenizers[name] = found
    rates = {name: model.tokenizer.bytes_per_token for name, model in catalogue.models.items()}
    return Counters(tokenizers, rates, fallbacks)


def _load(wanted: Tokenizer) -> ModelTokenizer | str:
    """The tokenizer, or the reason why there is none."""
    try:
        if wanted.kind == "huggingface" and wanted.path is not None:
            return huggingface.load(wanted.path)
        return openai_ranks.load(wanted.name or "", wanted.path)
    except ConfigFault as fault:
        return str(fault)


class Counting:
    """A count under way."""

    __slots__ = ("_finish",)

    def __init__(self, finish: "Callable[[], Count] | asyncio.Future[Count]") -> None:
        self._finish = finish

    async def result(self) -> Count:
        """The count; a small request is counted now, a large one has been since `start`."""
        if isinstance(self._finish, asyncio.Future):
            return await asyncio.shield(self._finish)
        return self._finish()


class TokenCounter:
    """Counts prompts for every model of the catalogue, and learns where it can only estimate.

    Belongs to one event loop. `waiting_bytes` bounds the text that may wait for the threads; beyond it the
    answer is an estimate, counted in `overflows`.
    """

    def __init__(
        self,
        counters: Counters,
        *,
        threads: int = 1,
        waiting_bytes: int = 16_000_000,
        cache_bytes: int = 8_000_000,
    ) -> None:
        self._counters = counters
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tokenizing")
        self._waiting_bytes = waiting_bytes
        self._waiting = 0
        self._cache = _CountCache(cache_bytes // _CACHE_ENTRY_BYTES)
        self._prompt_ratios = {name: TokenRatio() for name in counters.bytes_per_token}
        self._output_ratios = {name: TokenRatio() for name in counters.bytes_per_token}
        self.overflows = 0
        """Requests that were estimated because too much text was waiting for the threads."""

    @staticmethod
    def admission_estimate(request: ChatRequest) -> int:
        """About the most that the prompt will be, for limits and quotas; an image counts as IMAGE_TOKENS."""
        return estimate(request, request_bytes(request), bytes_per_token=ADMISSION_BYTES_PER_TOKEN)

    def start(self, model: str, request: ChatRequest) -> Counting:
        """Begin counting the request for the model, by its public name."""
        size = request_bytes(request)
        tokenizer = self._counters.tokenizers.get(model)
        if tokenizer is None:
            return Counting(partial(self._estimate, model, request, size))
        if size <= tokenizer.inline_bytes:
            return Counting(partial(self._count, tokenizer, request))
        if self._waiting + size > self._waiting_bytes:
            self.overflows += 1
            return Counting(partial(self._estimate, model, request, size))
        self._waiting += size
        future = asyncio.get_running_loop().run_in_executor(self._pool, self._count, tokenizer, request)
        future.add_done_callback(partial(self._settle, size))
        return Counting(future)

    async def count(self, model: str, request: ChatRequest) -> Count:
        """Prompt tokens of the request as the model would read it."""
        return await self.start(model, request).result()

    def learn_prompt(self, model: str, count: Count, reported: int) -> None:
        """Take in what the backend reported for a prompt (cached tokens included) that was estimated."""
        if count.guess is not None:
            self._prompt_ratios[model].observe(guessed=count.guess, reported=reported)

    def learn_output(self, model: str, text_bytes: int, reported: int) -> None:
        """Take in what the backend reported for a whole output of `text_bytes` bytes."""
        self._output_ratios[model].observe(guessed=self._output_guess(model, text_bytes), reported=reported)

    def output_tokens_estimate(self, text_bytes: int, model: str) -> int:
        """Tokens of an output that was cut before its count came, from the bytes that were sent."""
        return self._output_ratios[model].mend(self._output_guess(model, text_bytes))

    def close(self) -> None:
        """Let the threads end; what waits is not counted any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _estimate(self, model: str, request: ChatRequest, size: int) -> Count:
        guess = estimate(request, size, bytes_per_token=self._counters.bytes_per_token[model])
        ratio = self._prompt_ratios[model]
        method = "estimate" if ratio.value is None else "estimate:calibrated"
        return Count(ratio.mend(guess), exact=False, method=method, guess=guess)

    def _count(self, tokenizer: ModelTokenizer, request: ChatRequest) -> Count:
        pieces = tokenizer.pieces(request)
        tokens = pieces.extra + sum(self._cache.count(tokenizer, text) for text in pieces.texts)
        return Count(tokens, exact=pieces.exact, method=tokenizer.name)

    def _settle(self, size: int, _: "asyncio.Future[Count]") -> None:
        self._waiting -= size

    def _output_guess(self, model: str, text_bytes: int) -> int:
        return ceil(text_bytes / self._counters.bytes_per_token[model])


class _CountCache:
    """Counts by tokenizer and digest of the text, the least recently used dropped first.

    Keeps no text. Used by the event loop and the worker threads without a lock: each step is one operation
    of the table, and a count that two of them make at once is the same count.
    """

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._counts: OrderedDict[tuple[ModelTokenizer, bytes], int] = OrderedDict()

    def count(self, tokenizer: ModelTokenizer, text: str) -> int:
        """Tokens of the text, counted unless they are known."""
        data = text.encode("utf-8", "surrogatepass")
        key = (tokenizer, blake2b(data, digest_size=16).digest())
        known = self._counts.pop(key, None)
        tokens = tokenizer.count_text(text) if known is None else known
        self._counts[key] = tokens
        if len(self._counts) > self._entries:
            self._counts.popitem(last=False)
        return tokens
