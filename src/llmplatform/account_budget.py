"""The AWS Budget of observing: its name, and how far sampling is held down at which part of it. Pure.

The deployment makes the budget and has it tell at each step; the handler in `costagg` reads it and sets the
brake. What it counts is what bears the cost-allocation tag; see docs/cost.md.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

BUDGET_NAME: Final = "llm-platform-observability"
COST_TAG: Final = "observability-layer"
"""The cost-allocation tag of all that is there to observe."""
ACCOUNT_BUDGET: Final = "account_budget"
"""The brake's reason, which names its parameter."""


@dataclass(frozen=True, slots=True)
class Step:
    """From this part of a month's budget on, every tenant's rate is multiplied by the factor."""

    from_percent: Decimal
    factor: float


STEPS: Final = (
    Step(Decimal(80), 0.5),
    Step(Decimal(90), 0.25),
    Step(Decimal(100), 0.05),
)
"""Steps and no line, since AWS looks a few times a day and tells each threshold once. Never 0, unlike the
daily budget: a month may have weeks left, and falling scores must not go unseen for so long."""


def factor_at(used_percent: Decimal) -> float:
    """The factor of the last step that is reached, 1 before the first."""
    return min((step.factor for step in STEPS if used_percent >= step.from_percent), default=1.0)
