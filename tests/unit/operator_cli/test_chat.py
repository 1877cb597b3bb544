from typing import Any

import httpx
import pytest
import typer

from operator_cli.chat import Conversation, Exchange, data_of, run_chat
from operator_cli.connection import GatewayConnection
from operator_cli.console import CommandFailed

CONNECTION = GatewayConnection("http://127.0.0.1:1/v1", "key")
STREAM = (
    ": ping\n\n"
    'data: {"choices": [{"index": 0, "delta": {"role": "assistant"}}]}\n\n'
    'data: {"choices": [{"index": 0, "delta": {"content": "Hello [b]:smile:"}}]}\n\n'
    'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}\n\n'
    'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}\n\n'
    "data: [DONE]\n\n"
)


def conversation(monkeypatch: pytest.MonkeyPatch, respond: Any, *, stream: bool = True) -> Conversation:
    real = httpx.Client
    transport = httpx.MockTransport(respond)
    monkeypatch.setattr("operator_cli.chat.httpx.Client", lambda **how: real(**how, transport=transport))
    return Conversation(CONNECTION, model="small", stream=stream)


def answer(text: str, **how: Any) -> Any:
    return lambda _: httpx.Response(200, text=text, headers={"x-trace-id": "t-1"}, **how)


def test_text_is_printed_as_it_stands_and_the_figures_are_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange = conversation(monkeypatch, answer(STREAM)).ask("hi")
    assert capsys.readouterr().out == "Hello [b]:smile:\n"
    assert exchange.usage == {"prompt_tokens": 3, "completion_tokens": 2}
    assert exchange.first_token_ms is not None
    assert "3 + 2 tokens" in exchange.summary()
    assert "ended by length" in exchange.summary()
    assert exchange.summary().endswith("trace t-1")


@pytest.mark.parametrize("stream", [True, False])
def test_ctrl_c_tells_the_trace_even_before_anything_was_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, stream: bool
) -> None:
    asked: list[str] = []

    def interrupt(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["x-trace-id"])
        raise KeyboardInterrupt

    conversation(monkeypatch, interrupt, stream=stream)
    with pytest.raises(typer.Exit) as ended:
        run_chat(CONNECTION, "hi", model="small", stream=stream)
    assert ended.value.exit_code == 130
    assert f"stopped · trace {asked[0]}" in capsys.readouterr().err


def test_ctrl_c_in_a_conversation_tells_the_trace_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    typed = iter(["hi", "hi", None])
    monkeypatch.setattr("operator_cli.chat._typed", lambda: next(typed))
    conversation(monkeypatch, interrupt)
    run_chat(CONNECTION, None, model="small", stream=True)
    assert capsys.readouterr().err.count("stopped · trace ") == 2


def test_turns_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[bytes] = []

    def respond(request: httpx.Request) -> httpx.Response:
        bodies.append(request.read())
        return httpx.Response(200, text=STREAM)

    talk = conversation(monkeypatch, respond)
    talk.ask("one")
    talk.ask("two")
    assert b'"assistant"' in bodies[1]
    assert b"Hello [b]" in bodies[1]


def test_a_whole_answer_has_no_first_token(monkeypatch: pytest.MonkeyPatch) -> None:
    body = '{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "usage": null}'
    exchange = conversation(monkeypatch, answer(body), stream=False).ask("hi")
    assert exchange.text == ["Hi"]
    assert "first token" not in exchange.summary()
    assert "? + ? tokens" in exchange.summary()


def test_a_refusal_is_one_line_with_code_and_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    error = {"error": {"message": "no such model", "code": "model_not_found"}}
    refuse = conversation(
        monkeypatch, lambda _: httpx.Response(404, json=error, headers={"x-trace-id": "t-2"})
    )
    with pytest.raises(CommandFailed, match=r"no such model \(model_not_found\); trace t-2"):
        refuse.ask("hi")


def test_an_error_within_the_stream_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = 'data: {"error": {"message": "the backend failed", "code": "backend_error"}}\n\n'
    with pytest.raises(CommandFailed, match="backend_error"):
        conversation(monkeypatch, answer(broken)).ask("hi")


def test_a_stream_that_ends_without_done_is_broken() -> None:
    with pytest.raises(CommandFailed, match="broke off"):
        list(data_of(iter(['data: {"choices": []}', ""])))


def test_unknown_figures_are_question_marks() -> None:
    assert "? + ? tokens" in Exchange("small", "t-1").summary()
