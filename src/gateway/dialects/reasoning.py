"""How a reasoning effort is said to each family of models on Bedrock.

Converse has no field for it, so it goes into `additionalModelRequestFields` in the family's own words.
Sources: Amazon Bedrock user guide, "Adaptive thinking" and "Extended thinking" (November 2026); Amazon Nova 2
user guide, "Extended thinking"; OpenAI models on Bedrock.
"""

import re
from collections.abc import Mapping
from typing import Final

from gateway.dialects.refusals import refusal
from llmplatform.catalogue import ModelEntry

# Claude models that think by budget; every later one thinks adaptively and takes an effort.
_CLAUDE_BY_BUDGET = re.compile(r"claude-(3-7|(opus|sonnet|haiku)-4(-[015])?(-2025|(?!-?\d)))")

# A budget must be at least 1,024 tokens and less than the limit of the answer.
_BUDGETS: Final[Mapping[str, int]] = {"low": 1_024, "medium": 4_096, "high": 16_384}
_ADAPTIVE_EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
_NOVA_EFFORTS: Final = frozenset({"low", "medium", "high"})
_OPENAI_EFFORTS: Final = frozenset({"low", "medium", "high"})
_MIN_BUDGET: Final = 1_024


def reasoning_fields(effort: str, model: ModelEntry, max_tokens: int | None) -> dict[str, object]:
    """The additional request fields that ask `model` for this effort.

    Raises UnsupportedParameter for an effort that the family does not have, and for a family not known here.
    """
    name = f"{model.backend_model_id} {model.price_key}".lower()
    if "claude" in name:
        if effort == "none":
            return {"thinking": {"type": "disabled"}}
        if _CLAUDE_BY_BUDGET.search(name):
            budget = _BUDGETS[_one_of(effort, frozenset(_BUDGETS), model)]
            return {"thinking": {"type": "enabled", "budget_tokens": _fitting(budget, max_tokens, model)}}
        _one_of(effort, _ADAPTIVE_EFFORTS, model)
        return {"thinking": {"type": "adaptive"}, "output_config": {"effort": effort}}
    if "nova-2" in name:
        if effort == "none":
            return {"reasoningConfig": {"type": "disabled"}}
        _one_of(effort, _NOVA_EFFORTS, model)
        return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}}
    if "gpt-oss" in name:
        return {"reasoning_effort": _one_of(effort, _OPENAI_EFFORTS, model)}
    raise refusal("reasoning_effort", f"how model {model.model_id!r} takes it is not known")


def _one_of(effort: str, allowed: frozenset[str], model: ModelEntry) -> str:
    if effort not in allowed:
        raise refusal("reasoning_effort", f"model {model.model_id!r} takes {', '.join(sorted(allowed))}")
    return effort


def _fitting(budget: int, max_tokens: int | None, model: ModelEntry) -> int:
    if max_tokens is None:
        return budget
    if max_tokens <= _MIN_BUDGET:
        raise refusal(
            "reasoning_effort", f"model {model.model_id!r} needs max_tokens over {_MIN_BUDGET} to reason"
        )
    return min(budget, max(_MIN_BUDGET, max_tokens // 2))
