"""The scenarios: what is broken and how, which alarms have to ring and how soon, and how it is mended.

Bounds are those of a slow laptop: alarms here are evaluated as CloudWatch does, once a minute, and what an
alarm waits for (two of four minutes, five in a row) is in its rule.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from operator_cli.drill.course import Expected
from operator_cli.drill.hands import ANSWERS, ANSWERS_BACKEND, JUDGE_MODEL, UNPRICED, WRONG, Hands

ENDPOINT_SLOW: Final = "endpoint-slow"
ENDPOINT_DOWN: Final = "endpoint-down"
PRICE_MISSING: Final = "price-missing"
WORSE_ANSWERS: Final = "worse-answers"
JUDGE_DOWN: Final = "judge-down"
INTAKE_DOWN: Final = "log-intake-down"

QUALITY_TENANT: Final = "drill-shop"
SLOW_TENANT: Final = "acme"
DOWN_TENANT: Final = "initech-bank"
SLOW_ENDPOINT: Final = "scripted-openai"
DOWN_ENDPOINT: Final = "scripted-tgi"
BUSY_GPUS: Final = 392.0
"""98 % on each of four."""
GPU_THRESHOLD: Final = 360.0
_SLOW_MS: Final = 5_500

Act = Callable[[Hands], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that is broken."""

    name: str
    breaks: str
    """What is done, in words."""
    heals: str
    break_: Act
    heal: Act
    expected: tuple[Expected, ...]
    may_fail: str | None = None
    """The model whose requests may fail meanwhile."""
    suppressed: tuple[str, ...] = ()
    """Beginnings of the names of alarms that must tell nobody meanwhile, but for those expected."""


async def _slow(hands: Hands) -> None:
    await hands.hardware(SLOW_ENDPOINT, gpu_utilization=BUSY_GPUS)
    await hands.script(SLOW_ENDPOINT, {"ttft_ms": _SLOW_MS, "token_count": 20})


async def _fast(hands: Hands) -> None:
    await hands.hardware(SLOW_ENDPOINT, gpu_utilization=None)
    await hands.unscript(SLOW_ENDPOINT)


async def _down(hands: Hands) -> None:
    fault = {"kind": "refuse", "status": 500, "error_type": "InternalFailure"}
    await hands.script(DOWN_ENDPOINT, {"faults": [fault]})


async def _back(hands: Hands) -> None:
    await hands.unscript(DOWN_ENDPOINT)


async def _spoil(hands: Hands) -> None:
    await hands.script(ANSWERS_BACKEND, {"text": f"The Eiffel Tower is {WRONG} and 12 metres high."})


async def _unspoil(hands: Hands) -> None:
    await hands.unscript(ANSWERS_BACKEND)


async def _judge_down(hands: Hands) -> None:
    fault = {"kind": "refuse", "status": 503, "error_type": "ServiceUnavailableException"}
    await hands.script(JUDGE_MODEL, {"faults": [fault]})


async def _judge_back(hands: Hands) -> None:
    await hands.judge_answers()


async def _nothing(_: Hands) -> None:
    """What is wrong here is what clients ask for, or do not have."""


async def _enter_price(hands: Hands) -> None:
    await hands.enter_price()


async def _intake_off(hands: Hands) -> None:
    await hands.intake(listening=False)


async def _intake_on(hands: Hands) -> None:
    await hands.intake(listening=True)


SCENARIOS: Final[tuple[Scenario, ...]] = (
    Scenario(
        ENDPOINT_SLOW,
        f"endpoint {SLOW_ENDPOINT}: GPUs at 98 %, first tokens after {_SLOW_MS / 1_000:g} s",
        "GPUs and first tokens as before",
        _slow,
        _fast,
        (Expected(f"endpoint/{SLOW_ENDPOINT}/AllTraffic/gpu-failing", within_s=240, quiet_within_s=480),),
        suppressed=(f"endpoint/{SLOW_ENDPOINT}/",),
    ),
    Scenario(
        ENDPOINT_DOWN,
        f"endpoint {DOWN_ENDPOINT}: every call is answered with 500",
        "it answers again",
        _down,
        _back,
        (
            Expected(
                f"endpoint/{DOWN_ENDPOINT}/AllTraffic/endpoint-errors", within_s=300, quiet_within_s=480
            ),
            Expected(f"model/{DOWN_ENDPOINT}/circuit-open", within_s=360, quiet_within_s=480),
            Expected(f"tenant/{DOWN_TENANT}/availability-burn-fast", within_s=300, quiet_within_s=600),
        ),
        may_fail=DOWN_ENDPOINT,
    ),
    Scenario(
        PRICE_MISSING,
        f"requests to model {UNPRICED}, whose price nobody entered",
        "the price is entered, and the cost job started again with it",
        _nothing,
        _enter_price,
        (Expected("platform/unpriced-usage", within_s=300, quiet_within_s=600),),
    ),
    Scenario(
        WORSE_ANSWERS,
        f"model {ANSWERS} answers wrongly, to all requests of tenant {QUALITY_TENANT}",
        "it answers as before",
        _spoil,
        _unspoil,
        (
            Expected(
                f"scores/{QUALITY_TENANT}/{ANSWERS}/factual_fidelity/score-fallen",
                within_s=780,
                quiet_within_s=1_200,
            ),
        ),
    ),
    Scenario(
        JUDGE_DOWN,
        "the judge: every call is answered with 503",
        "it answers again",
        _judge_down,
        _judge_back,
        (
            Expected("platform/judge-failures", within_s=300, quiet_within_s=None),
            Expected("platform/evaluation-unavailable", within_s=600, quiet_within_s=300),
        ),
    ),
    Scenario(
        INTAKE_DOWN,
        "the intake of log lines, where all processes' metrics go, is cut off",
        "it is back on the same address",
        _intake_off,
        _intake_on,
        (
            Expected("platform/gateway-unavailable", within_s=600, quiet_within_s=300),
            Expected("platform/sink-dropped-emf", within_s=300, quiet_within_s=None, since="healed"),
        ),
    ),
)
BY_NAME: Final = {scenario.name: scenario for scenario in SCENARIOS}
