"""What a judge is, what it is asked, and the four things that may come of it. Pure; who calls is `bedrock`.

Scored        a verdict
Malformed     the model answered, several times, and never in its form: done with, counted, no score
Refused       the model or its guard will not judge this candidate: done with, counted, no score
Unavailable   nobody judged: to be brought again later, however often
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec

from evalworker.judging.prompt import TEMPLATE_VERSION, Limits, template_sha256
from evalworker.judging.rubric import Rubric
from evalworker.judging.verdict import PARSER_VERSION, MalformedKind, RefusedKind, Verdict
from llmplatform.evaluations import EvalContent, Judge
from llmplatform.judges import JudgeModel
from llmplatform.usage import NO_USAGE, TokenUsage

TEMPERATURE: Final = 0

RefusedReason = RefusedKind | Literal["rejected"]
"""`rejected`: Bedrock called this request invalid, though it takes others."""

UnavailableReason = Literal[
    "throttled",
    "server_error",
    "model_error",
    "model_timeout",
    "timeout",
    "unreachable",
    "circuit_open",
    "access_denied",
    "model_not_found",
    "misconfigured",
    "internal",
]
"""The last four do not pass by themselves: credentials, model id, request, a bug of ours."""

CallFailure = RefusedReason | UnavailableReason | Literal["malformed"]
"""The reasons of metric `judge_failed`."""

_IDENTITY_CHARS: Final = 16


@dataclass(frozen=True, slots=True)
class JudgeConfig:
    """All that can move a score."""

    model: JudgeModel
    rubric: Rubric
    limits: Limits = field(default_factory=Limits)

    @property
    def decoding(self) -> Mapping[str, Any]:
        """Converse's `inferenceConfig`."""
        temperature = {"temperature": TEMPERATURE} if self.model.takes_temperature else {}
        return {"maxTokens": self.model.max_tokens, **temperature}


def judge_of(config: JudgeConfig) -> Judge:
    """Who scores by this configuration. Another identity is another epoch: the two are never compared."""
    rubric = config.rubric
    known_by = {
        "model_id": config.model.model_id,
        "rubric": [rubric.id, rubric.version, rubric.sha256],
        "template": [TEMPLATE_VERSION, template_sha256(rubric, config.limits)],
        "limits": asdict(config.limits),
        "parser": PARSER_VERSION,
        "decoding": config.decoding,
        "tool_choice": config.model.tool_choice,
    }
    digest = sha256(msgspec.json.encode(known_by, order="sorted")).hexdigest()
    return Judge(digest[:_IDENTITY_CHARS], config.model.model_id, rubric.id, rubric.version)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer to be judged."""

    tenant_id: str
    request_id: str
    trace_id: str
    """32 hex digits."""
    content: EvalContent = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bill:
    """What asking about one candidate took, calls that gave no verdict included."""

    calls: int = 0
    usage: TokenUsage = NO_USAGE
    """Of all calls together, as far as told."""
    cost_usd: Decimal | None = Decimal(0)
    """None as soon as one call's cost is unknown."""
    known_usd: Decimal = Decimal(0)
    """At least so much."""


NOTHING_SPENT: Final = Bill()


@dataclass(frozen=True, slots=True)
class Scored:
    """A verdict."""

    verdict: Verdict
    content_truncated: bool
    """Whether the judge saw less than all of it."""
    latency_ms: float
    """Of the call that gave the verdict."""
    bill: Bill


@dataclass(frozen=True, slots=True)
class Malformed:
    """Never the form that was asked for; the last reply's fault."""

    kind: MalformedKind
    bill: Bill


@dataclass(frozen=True, slots=True)
class Refused:
    """This candidate will not be judged."""

    reason: RefusedReason
    bill: Bill


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Not judged for now."""

    reason: UnavailableReason
    bill: Bill = NOTHING_SPENT


Outcome = Scored | Malformed | Refused | Unavailable
