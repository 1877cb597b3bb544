import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from llmplatform.errors import BackendThrottled, ConfigFault
from llmplatform.process.logging import MAX_LINE_BYTES, configure_logging

CANARY = "CANARY my diagnosis is"


@pytest.fixture(name="out")
def configured() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("gateway", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_who_and_what(out: io.StringIO) -> None:
    logging.getLogger("gateway.serving").info("listening on %s", "127.0.0.1", extra={"port": 8080})
    (line,) = lines(out)
    assert line["timestamp"].endswith("+00:00")
    assert {name: line[name] for name in ("level", "process", "logger", "message", "port")} == {
        "level": "info",
        "process": "gateway",
        "logger": "gateway.serving",
        "message": "listening on 127.0.0.1",
        "port": 8080,
    }


def test_an_exception_is_type_code_and_lines_without_its_text_or_values(out: io.StringIO) -> None:
    def parse(prompt: str) -> None:
        raise ValueError(f"cannot parse {prompt}")

    try:
        try:
            parse(CANARY)
        except ValueError as error:
            raise BackendThrottled("slow down", detail=CANARY) from error
    except BackendThrottled:
        logging.getLogger("gateway").exception("a request failed")
    (line,) = lines(out)
    exception = line["exception"]
    assert exception["type"] == "llmplatform.errors.BackendThrottled"
    assert exception["code"] == "backend_throttled"
    assert exception["cause"]["type"] == "ValueError"
    assert "test_logging.py" in exception["cause"]["at"][-1]
    assert exception["cause"]["at"][-1].endswith(" parse")
    assert "CANARY" not in out.getvalue()


def test_members_of_a_group_are_described(out: io.StringIO) -> None:
    group = ExceptionGroup(CANARY, [ConfigFault(CANARY), OSError(111, CANARY)])
    logging.getLogger("gateway").error("stopping", exc_info=group)
    (line,) = lines(out)
    assert [member["code"] for member in line["exception"]["members"]] == ["configuration", "errno 111"]
    assert "CANARY" not in out.getvalue()


def test_a_librarys_arguments_are_withheld_except_numbers(out: io.StringIO) -> None:
    logging.getLogger("aiohttp.client").warning("sent %s in %d ms", CANARY, 12)
    logging.getLogger("botocore").warning("body: %r", {"prompt": CANARY})
    logging.getLogger("somebody").warning("%(prompt)s took %(ms).1f ms", {"prompt": CANARY, "ms": 1.5})
    first, second, third = (line["message"] for line in lines(out))
    assert first == "sent … in 12 ms"
    assert second.startswith("body: ")
    assert third == "… took 1.5 ms"
    assert "CANARY" not in out.getvalue()


def test_a_librarys_information_is_not_logged(out: io.StringIO) -> None:
    logging.getLogger("httpx").info("HTTP Request: GET ...")
    assert not out.getvalue()


async def test_a_lost_task_is_told_without_its_exceptions_text(out: io.StringIO) -> None:
    async def failing(prompt: str) -> None:
        raise RuntimeError(prompt)

    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(failing(CANARY))
    await asyncio.wait([task])
    loop.default_exception_handler(
        {"message": "Task exception was never retrieved", "exception": task.exception(), "future": task}
    )
    (line,) = lines(out)
    assert line["message"] == "Task exception was never retrieved"
    assert line["exception"]["type"] == "RuntimeError"
    assert "CANARY" not in out.getvalue()


def fail(depth: int) -> None:
    """Raise an exception group of groups, each member with a stack of its own."""
    if depth == 0:
        raise ValueError("at the bottom")
    members = []
    for _ in range(8):
        try:
            fail(depth - 1)
        except Exception as error:  # noqa: BLE001  # its stack is what is wanted
            members.append(error)
    raise ExceptionGroup("some", members)


def test_no_line_is_longer_than_a_log_driver_keeps_whole(out: io.StringIO) -> None:
    logger = logging.getLogger("gateway")
    try:
        fail(3)
    except ExceptionGroup:
        logger.exception("all of them failed")
    logger.warning("é" * MAX_LINE_BYTES)
    assert all(len(line.encode()) < MAX_LINE_BYTES for line in out.getvalue().splitlines())
    group, message = lines(out)
    assert group["message"] == "all of them failed"
    assert group["exception"] == {"type": "ExceptionGroup"}
    assert group["cut"] is True
    assert message["message"].startswith("ééé")
