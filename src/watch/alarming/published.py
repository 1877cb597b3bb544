"""What is published, by ListMetrics: series of scores and of judges, and how many there are. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from llmplatform.metrics import (
    COST,
    EVAL_SCORE,
    EVAL_SCORES,
    INFERENCE,
    JUDGE_UNCALIBRATED,
    PIPELINE,
)
from watch.tables.targets import Scores

NAMESPACES: Final = (INFERENCE, EVAL_SCORES, COST, PIPELINE)
"""Where what we publish is, and is paid for."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One metric with one set of dimensions, as ListMetrics has it."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]


def scores_in(listed: Iterable[Listed], tenants: Collection[str]) -> tuple[Scores, ...]:
    """The scores of these tenants that were published: by tenant, model and dimension."""
    names = set(EVAL_SCORE.dimension_sets[0])
    return tuple(
        sorted(
            {
                Scores(
                    one.dimensions["tenant_id"], one.dimensions["model_id"], one.dimensions["eval_dimension"]
                )
                for one in listed
                if one.namespace == EVAL_SCORE.namespace
                and one.name == EVAL_SCORE.name
                and one.dimensions.keys() == names
                and one.dimensions["tenant_id"] in tenants
            }
        )
    )


def judges_in(listed: Iterable[Listed]) -> tuple[str, ...]:
    """The judges that report."""
    return tuple(
        sorted(
            {
                one.dimensions["judge_identity"]
                for one in listed
                if one.name == JUDGE_UNCALIBRATED.name and one.dimensions.keys() == {"judge_identity"}
            }
        )
    )


def counted(listed: Iterable[Listed]) -> dict[str, int]:
    """How many series there are, by namespace."""
    counts = Counter(one.namespace for one in listed)
    return {namespace: counts[namespace] for namespace in NAMESPACES}
