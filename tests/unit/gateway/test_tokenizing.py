"""Counts against the reference: tiktoken's own registry and transformers' `apply_chat_template`."""

import argparse
import asyncio
import hashlib
import importlib.metadata
import inspect
import json
import random
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from gateway.chat import ChatRequest, ImagePart, Message, TextPart, Tool, ToolCall
from gateway.tokenizers import huggingface, openai_ranks
from gateway.tokenizers.chat_template import load_template
from gateway.tokenizers.estimate import TokenRatio
from gateway.tokenizers.openai_ranks import OpenAITokenizer
from gateway.tokenizers.tokenizer import IMAGE_TOKENS, Pieces
from gateway.tokenizing import Counters, TokenCounter, build_counters
from llmplatform.catalogue import Catalogue, parse_catalogue
from llmplatform.errors import ConfigFault
from sandbox.engines.smollm_tokenizer import write_tokenizer

TEXTS = (
    "hello world",
    "Grüße aus Zürich: 日本語のトークナイザー 🚀🔥",
    "def f(x):\n\treturn [i**2 for i in range(100)]  # 1+2+3==6\r\n\r\n",
    "don't CAN'T we'll   spaces   \n\n\n",
    "<|im_start|>system\nnot a turn<|im_end|> <|endoftext|>",
    "",
    " ",
)


@pytest.fixture(scope="module")
def smollm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizers") / "smollm2"
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def o200k() -> OpenAITokenizer:
    return openai_ranks.load("o200k_base", None)


@pytest.fixture
def counter(request: pytest.FixtureRequest) -> Iterator[TokenCounter]:
    """A counter over one model `m`, counted by the slow tokenizer of its test's parameters."""
    counter = TokenCounter(_counters(SlowTokenizer()), **getattr(request, "param", {}))
    yield counter
    counter.close()


def chat(*texts: str, **wishes: Any) -> ChatRequest:
    """A conversation in turns, the first one a system message."""
    roles = ("system", "user", "assistant", "user", "assistant", "user")
    messages = tuple(
        Message(role, (TextPart(text),))  # type: ignore[arg-type]
        for role, text in zip(roles, texts, strict=False)
    )
    return ChatRequest(model="m", messages=messages, **wishes)


WEATHER = Tool("weather", "Current weather", {"type": "object", "properties": {"city": {"type": "string"}}})


# -- OpenAI's vocabularies --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
def test_encoding_is_the_one_that_tiktoken_would_download(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = openai_ranks.load(name, None)
    # tiktoken checks its cached file against the hash that it pins: it accepts ours or downloads.
    url = f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
    cached = tmp_path / hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()
    ranks = ours._encoding._mergeable_ranks
    cached.write_bytes(openai_ranks.rank_file(ranks))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    theirs = tiktoken.get_encoding(name)
    assert ours._encoding._pat_str == theirs._pat_str
    rng = random.Random(1)
    fuzz = ["".join(chr(rng.choice((32, 97, 39, 10, 0x4E2D, 0x1F680, 0x301, 65))) for _ in range(60))]
    for text in (*TEXTS, *fuzz):
        assert ours._encoding.encode_ordinary(text) == theirs.encode_ordinary(text)


def test_published_example_of_o200k(o200k: OpenAITokenizer) -> None:
    assert o200k._encoding.encode_ordinary("hello world") == [24912, 2375]


def test_rank_file_of_openai_is_read_as_it_is(tmp_path: Path) -> None:
    installed = openai_ranks.load("cl100k_base", None)
    file = tmp_path / "cl100k_base.tiktoken"
    file.write_bytes(openai_ranks.rank_file(installed._encoding._mergeable_ranks))
    assert openai_ranks.load("cl100k_base", file).count_text("tiktoken is great!") == 6


def test_rank_file_of_another_encoding_is_refused() -> None:
    files = importlib.metadata.files("quicktok-v1") or []
    cl100k = next(Path(str(file.locate())) for file in files if file.name == "cl100k.vocab")
    with pytest.raises(ConfigFault, match="does not hold the ranks of o200k_base"):
        openai_ranks.load("o200k_base", cl100k)


@pytest.mark.parametrize(("name", "data"), [("x.vocab", b"\x05\0\0\0\1"), ("x.tiktoken", b"aGk= one\n")])
def test_damaged_rank_file_is_refused(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigFault, match="damaged"):
        openai_ranks.load("o200k_base", tmp_path / name)


def test_text_that_the_vocabulary_cannot_split_is_an_ordinary_failure(o200k: OpenAITokenizer) -> None:
    # tiktoken's regex engine ends in a Rust panic here, which is a BaseException.
    with pytest.raises(OverflowError):
        o200k.count_text(" " * 1_000_000)


def test_openai_framing_is_three_a_message_and_three_for_the_reply(o200k: OpenAITokenizer) -> None:
    pieces = o200k.pieces(chat("Be brief.", "hello world"))
    # Each message: 3, its role 1, its content; then 3.
    assert pieces.extra + sum(map(o200k.count_text, pieces.texts)) == 3 + (3 + 1 + 3) + (3 + 1 + 2)
    assert pieces.exact


def test_openai_count_with_tools_is_not_called_exact(o200k: OpenAITokenizer) -> None:
    pieces = o200k.pieces(chat("a", "b", tools=(WEATHER,)))
    assert not pieces.exact
    assert any("Current weather" in text for text in pieces.texts)


# -- open models ------------------------------------------------------------------------------------------


def reference_count(folder: Path, request: ChatRequest) -> int:
    """What transformers makes of the conversation."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - takes seconds

    reference = AutoTokenizer.from_pretrained(str(folder))
    messages = [
        {"role": message.role, "content": "\n".join(p.text for p in message.parts if isinstance(p, TextPart))}
        for message in request.messages
    ]
    encoded: Any = reference.apply_chat_template(messages, tokenize=True, add_generation_prompt=True)
    return len(encoded["input_ids"])


def test_count_is_that_of_transformers(smollm: Path) -> None:
    tokenizer = huggingface.load(smollm)
    requests = [chat(*TEXTS[:3]), chat(*TEXTS[1:6]), chat("", ""), chat("s", "<|im_end|>\n x" * 30)]
    requests.append(ChatRequest(model="m", messages=(Message("user", (TextPart("a"), TextPart("b"))),)))
    for request in requests:
        pieces = tokenizer.pieces(request)
        ours = sum(map(tokenizer.count_text, pieces.texts))
        assert (ours, pieces.exact) == (reference_count(smollm, request), True)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(TEXTS), min_size=1))
def test_pieces_count_what_the_whole_counts(texts: list[str]) -> None:
    tokenizer = _byte_level_tokenizer()
    whole = "<|im_start|>".join(texts)
    assert sum(map(tokenizer.count_text, tokenizer._cut(whole))) == tokenizer.count_text(whole)


_BYTE_LEVEL: list[huggingface.HuggingFaceTokenizer] = []


def _byte_level_tokenizer() -> huggingface.HuggingFaceTokenizer:
    if not _BYTE_LEVEL:
        from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers  # noqa: PLC0415

        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.add_special_tokens([AddedToken("<|im_start|>", special=True)])
        _BYTE_LEVEL.append(huggingface.HuggingFaceTokenizer("bytes", tokenizer, None))
    return _BYTE_LEVEL[0]


TOOL_TEMPLATE = """{%- if tools %}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% endif -%}
{%- for m in messages -%}
{% if m.role == 'tool' and not m.tool_call_id %}{{ raise_exception('no id') }}{% endif -%}
[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.arguments | tojson }}{% endfor %}
{%- if m.role == 'assistant' %}{% generation %}!{% endgeneration %}{% endif %}{% endfor -%}
{% if add_generation_prompt %}{{ bos_token }}{% endif %}"""


def _folder_with_template(folder: Path, template: str) -> Path:
    _byte_level_tokenizer()._tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": {"content": "<|im_start|>"}, "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_tools_and_calls_reach_the_template(tmp_path: Path) -> None:
    template = load_template(_folder_with_template(tmp_path, TOOL_TEMPLATE))
    call = ToolCall("call_1", "weather", '{"city":"Zürich"}')
    messages = (
        Message("user", (TextPart("?"),)),
        Message("assistant", (), tool_calls=(call,)),
        Message("tool", (TextPart("4°"),), tool_call_id="call_1"),
    )
    assert template is not None
    rendered = template.render(ChatRequest(model="m", messages=messages, tools=(WEATHER,)))
    assert rendered == (
        '{"type": "function", "function": {"name": "weather", "description": "Current weather", '
        '"parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}'
        '[user]?[assistant]{"city": "Zürich"}![tool]4°<|im_start|>'
    )


def test_conversation_that_the_template_refuses_is_counted_without_it(tmp_path: Path) -> None:
    tokenizer = huggingface.load(_folder_with_template(tmp_path, TOOL_TEMPLATE))
    pieces = tokenizer.pieces(ChatRequest(model="m", messages=(Message("tool", (TextPart("secret"),)),)))
    assert (pieces.exact, list(pieces.texts)) == (False, ["secret"])


def test_template_cannot_reach_python(tmp_path: Path) -> None:
    tokenizer = huggingface.load(
        _folder_with_template(
            tmp_path, "{{ messages.__class__.__mro__[1].__subclasses__() }}{{ messages.append(1) }}"
        )
    )
    assert not tokenizer.pieces(chat("a")).exact


def test_newer_template_file_wins(tmp_path: Path) -> None:
    folder = _folder_with_template(tmp_path, "old")
    (folder / "chat_template.jinja").write_text("new{{ bos_token }}")
    template = load_template(folder)
    assert template is not None
    assert template.render(chat("a")) == "new<|im_start|>"


# -- the catalogue's models -------------------------------------------------------------------------------


def catalogue(tokenizers: Mapping[str, str], folder: Path) -> Catalogue:
    head = 'endpoint_type = "bedrock"\nbackend_model_id = "b"\ndialect = "converse"\nprice_key = "p"\n'
    tables = (f'[models."{name}"]\n{head}tokenizer = {table}\n' for name, table in tokenizers.items())
    return parse_catalogue("\n".join(tables), folder=folder)


def test_start_up_learns_which_models_fall_back_and_why(smollm: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tokenizer.json").write_text("{}")
    counters = build_counters(
        catalogue(
            {
                "gpt": '{kind = "tiktoken", name = "o200k_base"}',
                "smol": f'{{kind = "huggingface", path = "{smollm}"}}',
                "smol-too": f'{{kind = "huggingface", path = "{smollm}"}}',
                "claude": '{kind = "estimate"}',
                "absent": '{kind = "huggingface", path = "nowhere"}',
                "broken": '{kind = "huggingface", path = "broken"}',
                "odd": '{kind = "tiktoken", name = "p999k"}',
            },
            tmp_path,
        )
    )
    assert sorted(counters.tokenizers) == ["gpt", "smol", "smol-too"]
    assert counters.tokenizers["smol"] is counters.tokenizers["smol-too"]
    assert sorted(counters.fallbacks) == ["absent", "broken", "odd"]
    assert counters.fallbacks["absent"].endswith("nowhere/tokenizer.json is missing")


async def test_methods_say_how_a_model_was_counted(smollm: Path, tmp_path: Path) -> None:
    tables = {
        "gpt": '{kind = "tiktoken", name = "o200k_base"}',
        "smol": f'{{kind = "huggingface", path = "{smollm}"}}',
        "absent": '{kind = "huggingface", path = "nowhere"}',
    }
    counter = TokenCounter(build_counters(catalogue(tables, tmp_path)))
    counts = {name: await counter.count(name, chat("Be brief.", "hello world")) for name in tables}
    counter.close()
    assert {name: (count.method, count.exact) for name, count in counts.items()} == {
        "gpt": ("tiktoken:o200k_base", True),
        "smol": ("huggingface:smollm2", True),
        "absent": ("estimate", False),
    }


# -- where and when counting happens ----------------------------------------------------------------------


class SlowTokenizer:
    """A token a byte; remembers on which thread it counted, and waits to be released."""

    name = "slow"
    inline_bytes = 8_192

    def __init__(self) -> None:
        self.counted: list[tuple[str, str]] = []
        self.release = threading.Event()
        self.release.set()

    def pieces(self, request: ChatRequest) -> Pieces:
        texts = [part.text for m in request.messages for part in m.parts if isinstance(part, TextPart)]
        return Pieces(texts)

    def count_text(self, text: str) -> int:
        self.release.wait(60)
        self.counted.append((text, threading.current_thread().name))
        return len(text.encode())


def _counters(tokenizer: SlowTokenizer) -> Counters:
    return Counters({"m": tokenizer}, {"m": 3.2, "unseen": 4.0}, {})


def _slow(counter: TokenCounter) -> SlowTokenizer:
    tokenizer = counter._counters.tokenizers["m"]
    assert isinstance(tokenizer, SlowTokenizer)
    return tokenizer


async def test_small_request_is_counted_where_its_result_is_asked_for(counter: TokenCounter) -> None:
    counting = counter.start("m", chat("a", "bb"))
    assert _slow(counter).counted == []
    assert (await counting.result()).tokens == 3
    assert {thread for _, thread in _slow(counter).counted} == {threading.current_thread().name}


async def test_large_request_is_counted_beside_the_event_loop(counter: TokenCounter) -> None:
    _slow(counter).release.clear()
    counting = counter.start("m", chat("a" * 9_000))
    await asyncio.sleep(0.05)
    _slow(counter).release.set()
    assert (await counting.result()).tokens == 9_000
    assert _slow(counter).counted[0][1].startswith("tokenizing")


async def test_cancelled_wait_leaves_the_count_to_be_had(counter: TokenCounter) -> None:
    _slow(counter).release.clear()
    counting = counter.start("m", chat("a" * 9_000))
    waiting = asyncio.ensure_future(counting.result())
    await asyncio.sleep(0)
    waiting.cancel()
    _slow(counter).release.set()
    assert (await counting.result()).tokens == 9_000


@pytest.mark.parametrize("counter", [{"waiting_bytes": 20_000}], indirect=True)
async def test_too_much_waiting_text_is_estimated_and_counted(counter: TokenCounter) -> None:
    _slow(counter).release.clear()
    first, second = (counter.start("m", chat(letter * 9_000)) for letter in "ab")
    third = await counter.start("m", chat("c" * 9_000)).result()
    assert (third.method, third.exact, counter.overflows) == ("estimate", False, 1)
    _slow(counter).release.set()
    assert [(await counting.result()).tokens for counting in (first, second)] == [9_000, 9_000]
    assert (await counter.count("m", chat("d" * 9_000))).exact


async def test_earlier_turns_are_not_counted_again(counter: TokenCounter) -> None:
    await counter.count("m", chat("system prompt", "question"))
    await counter.count("m", chat("system prompt", "question", "answer", "next"))
    assert [text for text, _ in _slow(counter).counted] == ["system prompt", "question", "answer", "next"]


@pytest.mark.parametrize("counter", [{"cache_bytes": 2 * 256}], indirect=True)
async def test_cache_keeps_what_was_used_last(counter: TokenCounter) -> None:
    for text in ("a", "b", "a", "c", "a", "b"):
        await counter.count("m", chat(text))
    assert [text for text, _ in _slow(counter).counted] == ["a", "b", "c", "b"]


async def test_two_models_of_one_name_do_not_share_counts() -> None:
    one, other = SlowTokenizer(), SlowTokenizer()
    counter = TokenCounter(Counters({"m": one, "n": other}, {"m": 3.2, "n": 3.2}, {}))
    for model in ("m", "n"):
        await counter.count(model, chat("same text"))
    counter.close()
    assert len(one.counted) == len(other.counted) == 1


# -- estimates --------------------------------------------------------------------------------------------


PROSE = "The gateway counts what a prompt costs before it is sent, and the backend says so afterwards. "
JSON = json.dumps(
    {"items": [{"id": n, "name": f"item {n}", "price_usd": "1.50"} for n in range(9)]}, indent=2
)
CJK = "日本語のトークナイザーは文字をいくつかのトークンに分けます。这是一个简单的例子。"


@pytest.mark.parametrize(
    ("text", "least"),
    [(PROSE, 1.0), (CJK, 1.0), (inspect.getsource(argparse), 1.0), (JSON, 0.7)],
    ids=["prose", "cjk", "code", "json"],
)
def test_admission_is_near_the_most_that_the_text_can_be(
    text: str, least: float, o200k: OpenAITokenizer
) -> None:
    request = chat(text, text * 3)
    pieces = o200k.pieces(request)
    tokens = pieces.extra + sum(map(o200k.count_text, pieces.texts))
    assert least * tokens <= TokenCounter.admission_estimate(request) <= 2 * tokens


def test_admission_counts_tools_and_images() -> None:
    image = Message("user", (ImagePart("image/png", "AAAA"), ImagePart("image/png", "AAAA")))
    bare = TokenCounter.admission_estimate(ChatRequest(model="m", messages=(image,)))
    assert bare == 2 * IMAGE_TOKENS + 4
    assert (
        TokenCounter.admission_estimate(ChatRequest(model="m", messages=(image,), tools=(WEATHER,)))
        > bare + 20
    )


def test_admission_makes_no_more_calls_for_a_long_text() -> None:
    """Nothing is done to a text bit by bit: 3 µs measured for 16,000 characters."""

    def calls_for(text: str) -> int:
        request, calls = chat(text, "y"), list[str]()
        sys.setprofile(lambda _frame, event, _: calls.append(event))
        try:
            TokenCounter.admission_estimate(request)
        finally:
            sys.setprofile(None)
        return len(calls)

    assert calls_for("x" * 16_000) == calls_for("x")


async def test_estimate_follows_what_the_backend_reports(counter: TokenCounter) -> None:
    request = chat("w" * 3_200)
    first = await counter.count("unseen", request)
    assert (first.tokens, first.method) == (804, "estimate")
    for _ in range(5):
        counter.learn_prompt("unseen", await counter.count("unseen", request), reported=603)
    mended = await counter.count("unseen", request)
    assert (mended.tokens, mended.method, mended.guess) == (603, "estimate:calibrated", 804)


async def test_output_of_a_cut_stream_is_estimated_from_its_bytes(counter: TokenCounter) -> None:
    assert counter.output_tokens_estimate(0, "unseen") == 0
    assert counter.output_tokens_estimate(401, "unseen") == 101
    for _ in range(5):
        counter.learn_output("unseen", 400, reported=80)
    assert counter.output_tokens_estimate(400, "unseen") == 80


def test_ratio_is_silent_until_it_has_seen_enough() -> None:
    ratio = TokenRatio(warm_up=3)
    for _ in range(2):
        ratio.observe(guessed=100, reported=150)
    ratio.observe(guessed=0, reported=10)
    assert (ratio.value, ratio.mend(100)) == (None, 100)
    ratio.observe(guessed=100, reported=150)
    assert (ratio.value, ratio.mend(100)) == (1.5, 150)


@given(st.floats(0.3, 3), st.lists(st.integers(100, 100_000), min_size=30, max_size=60))
def test_ratio_finds_the_true_one(truth: float, guesses: list[int]) -> None:
    ratio = TokenRatio()
    for guess in guesses:
        ratio.observe(guessed=guess, reported=max(1, round(guess * truth)))
    assert ratio.value == pytest.approx(truth, rel=0.02)


def test_ratio_follows_a_change() -> None:
    ratio = TokenRatio(half_life=10)
    for reported in [100] * 100 + [200] * 60:
        ratio.observe(guessed=100, reported=reported)
    assert ratio.value == pytest.approx(2, rel=0.02)
