"""Process events (start-up, faults, shutdown) as JSON lines on stderr, without anybody's words in them.

Not the request log: that is the EMF line on stdout. A prompt can reach a log through an exception's text,
a local variable in a traceback, or the arguments of some library's message. So an exception is written as
its type, its code and the lines it went through; and of a foreign library's message only the words that
stand in its source.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

OURS: Final = ("gateway", "llmplatform", "evalworker", "costagg", "sandbox", "operator_cli", "watch")
MAX_FRAMES: Final = 8
MAX_CAUSES: Final = 4
MAX_LINE_BYTES: Final = 16 * 1024
"""What a container's log driver keeps as one line: Docker splits a longer one, and neither half is JSON."""
MAX_CUT_CHARS: Final = 2_000

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PLAIN_WORDS = re.compile(r"[\w ,.;-]*")
_WITHHELD: Final = "…"


class JsonFormatter(logging.Formatter):
    """One JSON object a record: `timestamp`, `level`, `process`, `logger`, `message`, extras, `exception`."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        ours = record.name.partition(".")[0] in OURS or record.name == "__main__"
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage() if ours else foreign_message(record),
        }
        if ours:
            line |= {
                name: value
                for name, value in vars(record).items()
                if name not in _STANDARD and isinstance(value, str | int | float | bool | None)
            }
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = described(record.exc_info[1])
        whole = json.dumps(line, ensure_ascii=False)
        return whole if len(whole.encode()) < MAX_LINE_BYTES else json.dumps(_cut(line), ensure_ascii=False)


def _cut(line: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of a line that is too long: where it is from, how it begins, and what was raised."""
    kept = {name: line[name] for name in ("timestamp", "level", "process", "logger")}
    told = {name: value for name, value in line.get("exception", {}).items() if name in {"type", "code"}}
    return {**kept, "message": line["message"][:MAX_CUT_CHARS], "exception": told, "cut": True}


def described(error: BaseException, *, depth: int = MAX_CAUSES) -> dict[str, Any]:
    """An exception without its text: type, code, the lines it went through, and what it came from."""
    frames = traceback.extract_tb(error.__traceback__, limit=-MAX_FRAMES)
    told: dict[str, Any] = {
        "type": f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins."),
        "at": [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames],
    }
    code = _code(error)
    if code is not None:
        told["code"] = code
    if depth == 0:
        return told
    if isinstance(error, BaseExceptionGroup):
        told["members"] = [described(member, depth=depth - 1) for member in error.exceptions[:MAX_FRAMES]]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        told["cause"] = described(cause, depth=depth - 1)
    return told


def foreign_message(record: logging.LogRecord) -> str:
    """A library's message with only its numbers filled in.

    asyncio writes whole values into messages that have no arguments: of those the plain words that it
    begins with are kept.
    """
    template = str(record.msg)
    if not record.args:
        words = _PLAIN_WORDS.match(template.partition("\n")[0])
        return words[0].strip() if words else ""
    arguments = record.args
    try:
        if isinstance(arguments, Mapping):
            return template % {name: _numeric(value) for name, value in arguments.items()}
        return template % tuple(_numeric(value) for value in arguments)
    except (TypeError, ValueError, KeyError):
        return template


def configure_logging(process: str, *, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send every record of this process to stderr (or `stream`) as JSON; replaces what was configured."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(process))
    root = logging.getLogger()
    for present in root.handlers[:]:
        root.removeHandler(present)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)  # libraries; uvicorn's own start and stop messages are not needed
    for name in OURS:
        logging.getLogger(name).setLevel(level)


def _code(error: BaseException) -> str | None:
    """Ours (`backend_timeout`), the AWS SDK's (`ThrottlingException`) or the system's (`ECONNREFUSED`)."""
    code = getattr(error, "specific_code", None) or getattr(error, "code", None)
    if isinstance(code, str):
        return code
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        inner = response.get("Error")
        code = inner.get("Code") if isinstance(inner, Mapping) else None
        return code if isinstance(code, str) else None
    number = getattr(error, "errno", None)
    return f"errno {number}" if isinstance(number, int) else None


def _short(filename: str) -> str:
    """The last three parts of a path: enough to find it, the same on every machine."""
    return "/".join(filename.rsplit("/", 3)[-3:])


def _numeric(value: object) -> object:
    return value if isinstance(value, int | float) else _WITHHELD
