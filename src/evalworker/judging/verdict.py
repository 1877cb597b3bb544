"""What a judge's reply says: scores, or in which way it is none. Pure.

A verdict is exactly one call of the rubric's tool with an integer from 1 to 5 and a reason for every
dimension. Nothing else becomes a score: not prose, not `"4"`, not 4.5, not 0. Harmless, and let pass: 4.0 for
4, further keys, text beside the call, a long reason (it is cut).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from llmplatform.evaluations import JUDGE_DIMENSIONS, MAX_SCORE, MIN_SCORE
from llmplatform.usage import NO_USAGE, TokenUsage

PARSER_VERSION: Final = "1"
"""Part of the judge's identity: raise it when another reading of the same reply could give other scores."""
MAX_REASON_CHARS: Final = 500

MalformedKind = Literal[
    "not_converse",
    "no_tool_call",
    "several_tool_calls",
    "other_tool",
    "cut_short",
    "dimension_missing",
    "score_missing",
    "score_not_integer",
    "score_out_of_range",
    "reason_missing",
]
RefusedKind = Literal["content_filtered", "guardrail", "refusal", "too_long"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The scores of one answer."""

    scores: Mapping[str, int]
    reasons: Mapping[str, str] = field(repr=False)
    """They quote what was said."""


@dataclass(frozen=True, slots=True)
class NoVerdict:
    """A reply that holds no scores; asking again may give some."""

    kind: MalformedKind


@dataclass(frozen=True, slots=True)
class Declined:
    """A reply that says that there will be none for this candidate."""

    kind: RefusedKind


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back and what it took."""

    said: Verdict | NoVerdict | Declined
    usage: TokenUsage = NO_USAGE


def read_reply(body: bytes, tool_name: str) -> Reply:
    """What a successful Converse answer says. Raises nothing, whatever the bytes are."""
    try:
        reply = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        reply = None
    if not isinstance(reply, dict):
        return Reply(NoVerdict("not_converse"))
    return Reply(_said(reply, tool_name), _usage(reply.get("usage")))


_DECLINED: Final[Mapping[str, RefusedKind]] = {
    "content_filtered": "content_filtered",
    "guardrail_intervened": "guardrail",
    "refusal": "refusal",
    "model_context_window_exceeded": "too_long",
}


def _said(reply: Mapping[str, Any], tool_name: str) -> Verdict | NoVerdict | Declined:
    stop_reason = reply.get("stopReason")
    if isinstance(stop_reason, str) and stop_reason in _DECLINED:
        return Declined(_DECLINED[stop_reason])
    match reply:
        case {"output": {"message": {"content": list(content)}}} if stop_reason != "max_tokens":
            return _called(
                [b["toolUse"] for b in content if isinstance(b, dict) and "toolUse" in b], tool_name
            )
        case _:
            return NoVerdict("cut_short" if stop_reason == "max_tokens" else "not_converse")


def _called(calls: Sequence[Any], tool_name: str) -> Verdict | NoVerdict:
    if len(calls) != 1:
        return NoVerdict("several_tool_calls" if calls else "no_tool_call")
    match calls[0]:
        case {"name": str(name), "input": dict(given)} if name == tool_name:
            return _verdict(given)
        case {"name": str(name)} if name != tool_name:
            return NoVerdict("other_tool")
        case _:
            return NoVerdict("not_converse")


def _verdict(given: Mapping[str, Any]) -> Verdict | NoVerdict:
    scores: dict[str, int] = {}
    reasons: dict[str, str] = {}
    for dimension in JUDGE_DIMENSIONS:
        judged = given.get(dimension)
        if not isinstance(judged, dict):
            return NoVerdict("dimension_missing")
        score = _score(judged.get("score"))
        if not isinstance(score, int):
            return score
        reason = judged.get("reason")
        if not isinstance(reason, str) or not reason.strip():
            return NoVerdict("reason_missing")
        scores[dimension] = score
        reasons[dimension] = reason.strip()[:MAX_REASON_CHARS]
    return Verdict(scores, reasons)


def _score(value: Any) -> int | NoVerdict:
    if value is None:
        return NoVerdict("score_missing")
    if type(value) is float and value.is_integer():  # never of NaN or an infinity
        value = int(value)
    if type(value) is not int:  # a bool is an int to isinstance
        return NoVerdict("score_not_integer")
    return value if MIN_SCORE <= value <= MAX_SCORE else NoVerdict("score_out_of_range")


def _usage(told: Any) -> TokenUsage:
    if not isinstance(told, dict):
        return NO_USAGE
    return TokenUsage(
        _count(told.get("inputTokens")),
        _count(told.get("outputTokens")),
        _count(told.get("cacheReadInputTokens")),
        _count(told.get("cacheWriteInputTokens")),
    )


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
