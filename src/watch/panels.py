"""The table of panels: what each shows, the question that it answers, and the readings that answer it.

Grafana's dashboards and the console's pages are both drawn from here, so that what is tested on a laptop is
what runs in production. A panel is about a scope: whoever draws it fills in the variables of its readings.
Here are those that are asked of requests whatever they are counted by; the others are in the rooms beside.
Pure.
"""

from collections.abc import Iterable
from typing import Final

from llmplatform import metrics as ours
from llmplatform.invocation import Outcome
from watch.tables import thresholds
from watch.tables.panel import Panel
from watch.tables.panels_of_platform import PLATFORM_PANELS
from watch.tables.panels_of_targets import ENDPOINT_PANELS, MODEL_PANELS, SCORES_PANELS, TENANT_PANELS
from watch.tables.readings import ENDPOINT, ENDPOINT_TYPE, MODEL, TENANT, read
from watch.tables.rules import Threshold
from watch.tables.targets import Scope

_OF_REQUESTS: Final[tuple[tuple[Scope, dict[str, str]], ...]] = (
    ("platform", {"component": ours.GATEWAY}),
    ("tenant", {"tenant_id": TENANT}),
    ("model", {"model_id": MODEL, "endpoint_type": ENDPOINT_TYPE}),
    ("endpoint", {"endpoint_name": ENDPOINT}),
)
"""The four sets by which a request is counted."""

_TTFT_LINES: Final[dict[Scope, tuple[Threshold, ...]]] = {
    "tenant": (thresholds.TTFT_P50, thresholds.TTFT_P99),
    "endpoint": (thresholds.ENDPOINT_TTFT_P99,),
}
_LATENCY_LINES: Final[dict[Scope, tuple[Threshold, ...]]] = {"tenant": (thresholds.LATENCY_P99,)}


def _requests(scope: Scope, by: dict[str, str]) -> Iterable[Panel]:
    """What is asked of requests alike, whatever they are counted by."""
    by_outcome = scope in {"tenant", "model"}
    yield Panel(
        f"{scope}-requests",
        scope,
        "Requests by outcome" if by_outcome else "Requests",
        "How much traffic is there, and what became of it?" if by_outcome else "How much traffic is there?",
        "requests",
        tuple(
            read(ours.REQUEST_COUNT, "Sum", outcome.value, **by, outcome=outcome.value)
            for outcome in Outcome
            if scope == "tenant" or outcome is not Outcome.REFUSED  # what is refused reached no model
        )
        if by_outcome
        else (read(ours.REQUEST_COUNT, "Sum", "requests", **by),),
        drawn="stacked",
    )
    yield Panel(
        f"{scope}-failed",
        scope,
        "Failed requests",
        "What share of requests did the platform fail?",
        "share",
        (read(ours.REQUEST_FAILED, "Average", "failed", **by),),
    )
    yield Panel(
        f"{scope}-ttft",
        scope,
        "Time to first token",
        "How long do people wait for the first word?",
        "ms",
        (
            read(ours.TIME_TO_FIRST_TOKEN, "p50", "p50", **by),
            read(ours.TIME_TO_FIRST_TOKEN, "p99", "p99", **by),
        ),
        thresholds=_TTFT_LINES.get(scope, ()),
    )
    yield Panel(
        f"{scope}-latency",
        scope,
        "Total latency",
        "How long until an answer is whole?",
        "ms",
        (read(ours.TOTAL_LATENCY, "p50", "p50", **by), read(ours.TOTAL_LATENCY, "p99", "p99", **by)),
        thresholds=_LATENCY_LINES.get(scope, ()),
    )
    yield Panel(
        f"{scope}-tokens",
        scope,
        "Tokens",
        "How much is read and written?",
        "tokens",
        (
            read(ours.INPUT_TOKEN_COUNT, "Sum", "input", **by),
            read(ours.OUTPUT_TOKEN_COUNT, "Sum", "output", **by),
        ),
    )
    yield Panel(
        f"{scope}-tokens-per-second",
        scope,
        "Output tokens per second of a stream",
        "How fast does an answer come once it comes?",
        "tokens/s",
        (read(ours.OUTPUT_TOKENS_PER_SECOND, "Average", "mean", **by),),
        thresholds=(thresholds.TOKENS_PER_SECOND,) if scope == "endpoint" else (),
    )
    yield Panel(
        f"{scope}-overhead",
        scope,
        "The gateway's own time",
        "How much does the gateway itself add?",
        "ms",
        (read(ours.GATEWAY_OVERHEAD, "p50", "p50", **by), read(ours.GATEWAY_OVERHEAD, "p99", "p99", **by)),
        thresholds=(thresholds.OVERHEAD,) if scope == "platform" else (),
    )


PANELS: Final = (
    *(panel for scope, by in _OF_REQUESTS for panel in _requests(scope, by)),
    *TENANT_PANELS,
    *SCORES_PANELS,
    *MODEL_PANELS,
    *ENDPOINT_PANELS,
    *PLATFORM_PANELS,
)
BY_KEY: Final = {panel.key: panel for panel in PANELS}


def panels_of(scope: Scope) -> tuple[Panel, ...]:
    """The panels about one kind of thing, in the order in which they are shown."""
    return tuple(panel for panel in PANELS if panel.scope == scope)
