"""OpenAI's vocabularies by tiktoken, from a local file: nothing is downloaded, and a wrong file is refused.

The file is OpenAI's own `.tiktoken` rank file, or the same ranks packed as the `quicktok-v1` distribution
ships them. Either way the ranks are held against the SHA-256 that tiktoken pins for the encoding, so a
count labelled `o200k_base` is one.
"""

import base64
import hashlib
import importlib.metadata
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import tiktoken

from gateway.chat import ChatRequest, JsonSchema, Role
from gateway.tokenizers.tokenizer import IMAGE_TOKENS, Pieces, image_count, texts_of
from llmplatform.errors import ConfigFault

_O200K_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_O200K_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_O200K_SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_O200K_PATTERN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_O200K_UPPER}*{_O200K_LOWER}+{_O200K_SUFFIX}"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_O200K_UPPER}+{_O200K_LOWER}*{_O200K_SUFFIX}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CL100K_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)

# Pattern and SHA-256 of the rank file, as in tiktoken_ext/openai_public.py of tiktoken 0.14, which offers
# them only together with a download. A test holds them against it.
_ENCODINGS = {
    "o200k_base": (_O200K_PATTERN, "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"),
    "cl100k_base": (_CL100K_PATTERN, "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"),
}

# A message costs three tokens of framing, a name one more, and the reply is primed with three: OpenAI's
# cookbook, "How to count tokens with tiktoken".
_PER_MESSAGE = 3
_PER_NAME = 1
_PRIMING = 3


class OpenAITokenizer:
    """Counts as OpenAI's own models do. Tools and images have no published form, so they are not exact."""

    inline_bytes = 8_192  # measured: 0.33 ms for 8 kB; a thread hop costs 0.15 ms of CPU

    def __init__(self, encoding: tiktoken.Encoding) -> None:
        self.name = f"tiktoken:{encoding.name}"
        self._encoding = encoding
        # Counted once: each call lets go of the GIL, and a busy thread may keep it for 5 ms.
        self._role_tokens = {role: self.count_text(role) for role in get_args(Role)}

    def pieces(self, request: ChatRequest) -> Pieces:
        """A piece a text: contents, tool calls and tools; roles and names are counted here."""
        images = image_count(request)
        extra = _PRIMING + _PER_MESSAGE * len(request.messages) + IMAGE_TOKENS * images
        plain = not (images or request.tools or isinstance(request.response_format, JsonSchema))
        for message in request.messages:
            extra += self._role_tokens[message.role]
            if message.name is not None:
                extra += _PER_NAME + self.count_text(message.name)
            plain = plain and not message.tool_calls
        return Pieces(tuple(texts_of(request)), extra, exact=plain)

    def count_text(self, text: str) -> int:
        """Tokens of the text; what looks like a control token is text, as OpenAI treats it."""
        try:
            return len(self._encoding.encode_ordinary(text))
        except BaseException as error:
            # Its regex engine gives up on a million spaces in a row, by a Rust panic: no Exception, so that
            # nothing between here and the socket would stop it.
            if type(error).__name__ == "PanicException":
                raise OverflowError("the vocabulary cannot split this text") from None
            raise


def load(encoding: str, path: Path | None) -> OpenAITokenizer:
    """The tokenizer of `encoding` from the rank file `path`, by default the one of an installed quicktok-v1.

    Raises ConfigFault when the encoding is unknown, or the file missing or not the encoding's.
    """
    try:
        pattern, sha256 = _ENCODINGS[encoding]
    except KeyError:
        raise ConfigFault(f"encoding {encoding!r} is not among {', '.join(sorted(_ENCODINGS))}") from None
    path = path or _installed_ranks(encoding)
    if path is None:
        raise ConfigFault("no rank file: set `path`, or install quicktok-v1, which ships it")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigFault(f"rank file {path} cannot be read ({error.strerror})") from error
    try:
        ranks = dict(_packed_ranks(data) if path.suffix == ".vocab" else _listed_ranks(data))
    except (struct.error, ValueError) as error:
        raise ConfigFault(f"rank file {path} is damaged ({type(error).__name__})") from error
    if hashlib.sha256(rank_file(ranks)).hexdigest() != sha256:
        raise ConfigFault(f"rank file {path} does not hold the ranks of {encoding}")
    return OpenAITokenizer(
        tiktoken.Encoding(encoding, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    )


def rank_file(ranks: Mapping[bytes, int]) -> bytes:
    """The ranks as OpenAI's `.tiktoken` file writes them: base64, space, rank, a line each."""
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items())


def _installed_ranks(encoding: str) -> Path | None:
    try:
        files = importlib.metadata.files("quicktok-v1") or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    wanted = f"{encoding.removesuffix('_base')}.vocab"
    return next((Path(str(file.locate())) for file in files if file.name == wanted), None)


def _listed_ranks(data: bytes) -> Iterator[tuple[bytes, int]]:
    for line in data.splitlines():
        token, _, rank = line.partition(b" ")
        yield base64.b64decode(token), int(rank)


def _packed_ranks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Little-endian: a count, then of each token its length (2 bytes), its bytes, its rank (4 bytes)."""
    (count,) = struct.unpack_from("<I", data)
    at = 4
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, at)
        token = data[at + 2 : at + 2 + length]
        (rank,) = struct.unpack_from("<I", data, at + 2 + length)
        at += 6 + length
        yield token, rank
