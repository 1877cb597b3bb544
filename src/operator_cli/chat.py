"""`llm-platform chat`: talk to a model through the gateway, and see what the gateway measured of it."""

import json
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import typer

from llmplatform import ids
from operator_cli.connection import GatewayConnection
from operator_cli.console import ERR, OUT, CommandFailed, ms

TIMEOUT = httpx.Timeout(10.0, read=900.0)
_INTERRUPTED: Final = 130  # as shells have it for SIGINT


@dataclass(slots=True)
class Exchange:
    """One answer and what is known about it. Durations as this command saw them."""

    model: str
    trace_id: str
    request_id: str | None = None
    text: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    first_token_ms: float | None = None
    total_ms: float = 0.0

    def summary(self) -> str:
        """One line: tokens, times, and where to look further."""
        usage = self.usage or {}
        prompt, completion = usage.get("prompt_tokens", "?"), usage.get("completion_tokens", "?")
        parts = [
            self.model,
            f"{prompt} + {completion} tokens",
            *([f"first token {ms(self.first_token_ms)}"] if self.first_token_ms is not None else []),
            f"total {ms(self.total_ms)}",
            *([f"ended by {self.finish_reason}"] if self.finish_reason not in {None, "stop"} else []),
            f"trace {self.trace_id}",
        ]
        return " · ".join(parts)


class Conversation:
    """Turns with one model, over one connection."""

    def __init__(self, connection: GatewayConnection, *, model: str | None, stream: bool) -> None:
        self._stream = stream
        self._messages: list[dict[str, str]] = []
        self._client = httpx.Client(
            base_url=connection.base_url.rstrip("/"),
            headers={"authorization": f"Bearer {connection.api_key}"},
            timeout=TIMEOUT,
            trust_env=not connection.base_url.startswith("http://127.0.0.1"),
        )
        self.model = model or self._first_model()
        self.current: Exchange | None = None
        """The answer that is being given, or was given last."""

    def ask(self, message: str) -> Exchange:
        """Send a message, print the answer as it comes, and keep both for the next turn."""
        messages = [*self._messages, {"role": "user", "content": message}]
        body: dict[str, Any] = {"model": self.model, "messages": messages, "stream": self._stream}
        if self._stream:
            body["stream_options"] = {"include_usage": True}
        # Chosen here, which the gateway lets us: whoever stops before the first byte can still look it up.
        trace_id = ids.as_uuid(ids.uuid4_hex(secrets.token_bytes(16)))
        exchange = self.current = Exchange(self.model, trace_id)
        started_ns = time.monotonic_ns()
        with (
            _interrupts() as interrupts,
            self._client.stream(
                "POST", "/chat/completions", json=body, headers={"x-trace-id": trace_id}
            ) as response,
        ):
            exchange.trace_id = response.headers.get("x-trace-id") or trace_id
            exchange.request_id = response.headers.get("x-request-id")
            if response.is_error:
                response.read()
                raise refusal(response)
            if self._stream:
                for chunk in data_of(response.iter_lines()):
                    self._take(chunk, exchange, started_ns)
                    if interrupts:
                        raise KeyboardInterrupt
            else:
                response.read()
                self._take(response.json(), exchange, started_ns)
                exchange.first_token_ms = None  # what came in one piece has no first token
        OUT.print()
        exchange.total_ms = _since_ms(started_ns)
        self._messages = [*messages, {"role": "assistant", "content": "".join(exchange.text)}]
        return exchange

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _take(self, chunk: dict[str, Any], exchange: Exchange, started_ns: int) -> None:
        if "error" in chunk:
            raise CommandFailed(error_line(chunk["error"], exchange.trace_id))
        exchange.usage = chunk.get("usage") or exchange.usage
        for choice in chunk.get("choices", ()):
            exchange.finish_reason = choice.get("finish_reason") or exchange.finish_reason
            delta = choice.get("delta") or choice.get("message") or {}
            reasoning = delta.get("reasoning_content") or delta.get("reasoning")
            pieces = [(reasoning, "dim italic"), (delta.get("content"), None)]
            pieces += [(_call(call), "cyan") for call in delta.get("tool_calls") or ()]
            for text, style in pieces:
                if not text:
                    continue
                if exchange.first_token_ms is None:
                    exchange.first_token_ms = _since_ms(started_ns)
                if style is None:
                    exchange.text.append(text)
                OUT.print(text, style=style, end="", markup=False)

    def _first_model(self) -> str:
        response = self._client.get("/models")
        if response.is_error:
            raise refusal(response)
        models = response.json().get("data") or []
        if not models:
            raise CommandFailed("this tenant may call no model; `llm-platform tenant show` tells its policy")
        return str(models[0]["id"])


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """The interrupts so far, each of which is raised as usual.

    Python drops an exception that falls into a callback of its own, of an import's lock say: who looks here
    between two pieces of an answer misses no Ctrl-C.
    """
    seen: list[int] = []

    def note(number: int, _: object) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def run_chat(connection: GatewayConnection, message: str | None, *, model: str | None, stream: bool) -> None:
    """Answer one message, or hold a conversation until Ctrl-D.

    Ctrl-C stops an answer and tells its trace; of the one message it is the end, with exit status 130.
    """
    conversation = Conversation(connection, model=model, stream=stream)
    try:
        if message is not None:
            try:
                ERR.print(f"[dim]{conversation.ask(message).summary()}[/dim]")
            except KeyboardInterrupt as interrupt:
                ERR.print(stopped(conversation))
                raise typer.Exit(_INTERRUPTED) from interrupt
            return
        ERR.print(f"[dim]talking to {conversation.model}; Ctrl-C stops an answer, Ctrl-D ends[/dim]")
        while (message := _typed()) is not None:
            if not message.strip():
                continue
            try:
                ERR.print(f"[dim]{conversation.ask(message).summary()}[/dim]\n")
            except KeyboardInterrupt:
                ERR.print(f"{stopped(conversation)}\n")
            except CommandFailed as failed:
                ERR.print(f"[red]{failed}[/red]\n")
    finally:
        conversation.close()


def stopped(conversation: Conversation) -> str:
    """What to say of an answer that Ctrl-C stopped."""
    exchange = conversation.current
    return "\n[dim]stopped" + (f" · trace {exchange.trace_id}" if exchange else "") + "[/dim]"


def data_of(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The JSON of each server-sent event. Raises CommandFailed when the stream ends before `[DONE]`."""
    for line in lines:
        if not line.startswith("data:"):
            continue  # comments keep the connection alive
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        chunk: dict[str, Any] = json.loads(data)
        yield chunk
    raise CommandFailed("the stream broke off before its end")


def refusal(response: httpx.Response) -> CommandFailed:
    """What the gateway said instead of answering, in one line."""
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return CommandFailed(f"the gateway answered {response.status_code}")
    return CommandFailed(error_line(error, response.headers.get("x-trace-id")))


def error_line(error: dict[str, Any], trace_id: str | None) -> str:
    """An error in OpenAI's shape as one line."""
    return f"{error.get('message')} ({error.get('code')}); trace {trace_id}"


def _typed() -> str | None:
    try:
        return OUT.input("[bold]you>[/bold] ")
    except (EOFError, KeyboardInterrupt):
        OUT.print()
        return None


def _call(call: dict[str, Any]) -> str:
    function = call.get("function") or {}
    name = f"\n{function['name']}" if function.get("name") else ""
    return f"{name}{function.get('arguments') or ''}"


def _since_ms(started_ns: int) -> float:
    return (time.monotonic_ns() - started_ns) / 1e6
