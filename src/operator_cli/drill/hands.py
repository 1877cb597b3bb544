"""What a drill breaks and mends things with: the doors of the laptop's AWS, the price list, a process's end.

Nothing of the product is touched: what fails is what the product depends on.
"""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from llmplatform.evaluations import JUDGE_DIMENSIONS
from operator_cli.drill.history import GOOD
from sandbox.children import Child
from sandbox.laptop import CATALOGUE, PRICES

JUDGE_MODEL: Final = "sandbox.scripted-judge-v1:0"
"""The laptop's judge that answers as it is told: see `sandbox/judges.toml`."""
ANSWERS: Final = "drill-answers"
ANSWERS_BACKEND: Final = "sandbox.drill-answers-v1:0"
UNPRICED: Final = "drill-unpriced"
HARD: Final = "a hard one"
"""Words in a question whose answer the judge gives a 4, as in the seeded past."""
WRONG: Final = "made of green cheese"
"""Words in an answer that the judge finds wrong."""

_MODELS: Final = f"""
# The drill's own: answers that it can spoil, and one whose price nobody entered.

[models.{ANSWERS}]
endpoint_type = "bedrock"
backend_model_id = "{ANSWERS_BACKEND}"
dialect = "converse"
price_key = "sandbox/scripted"

[models.{UNPRICED}]
endpoint_type = "bedrock"
backend_model_id = "sandbox.drill-unpriced-v1:0"
dialect = "converse"
price_key = "sandbox/drill-unpriced"
"""
_PRICE: Final = """
[[prices]]
price_key = "sandbox/drill-unpriced"
regions = ["*"]
effective_from = 2020-01-01
source = "made up for the drill"
retrieved_on = 2026-11-29
usd_per_million_tokens = { input = 1.00, output = 5.00 }
"""
_COST_JOB: Final = "cost job"
_STOPS_WITHIN_S: Final = 30.0


def write_files(folder: Path) -> dict[str, str]:
    """The drill's catalogue and prices in a folder; the variables that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    catalogue, prices = folder / "drill-models.toml", folder / "drill-prices.toml"
    catalogue.write_text(CATALOGUE.read_text(encoding="utf-8") + _MODELS, encoding="utf-8")
    prices.write_text(PRICES.read_text(encoding="utf-8"), encoding="utf-8")
    return {"LLM_PLATFORM_CATALOGUE": str(catalogue), "LLM_PLATFORM_PRICES": str(prices)}


class Hands:
    """Breaks and mends. Raises httpx's errors where the sandbox does not answer."""

    def __init__(self, runtime_url: str, prices: Path, children: Sequence[Child]) -> None:
        self._http = httpx.AsyncClient(base_url=runtime_url, timeout=10.0, trust_env=False)
        self._prices = prices
        self._children = children

    async def close(self) -> None:
        """Ask nothing more."""
        await self._http.aclose()

    async def script(self, name: str, script: dict[str, Any]) -> None:
        """Have a model or an endpoint answer by a script."""
        await self._put(f"/_sandbox/scripts/{name}", script)

    async def unscript(self, name: str) -> None:
        """Have it answer as it does by itself."""
        (await self._http.delete(f"/_sandbox/scripts/{name}")).raise_for_status()

    async def hardware(self, endpoint: str, **figures: float | None) -> None:
        """Have an endpoint's machine show figures; None lets them follow the load."""
        await self._put(f"/_sandbox/hardware/{endpoint}", figures)

    async def intake(self, *, listening: bool) -> None:
        """Switch the intake of log lines off or on."""
        await self._put("/_sandbox/intake", {"listening": listening})

    async def judge_answers(self, **more: Any) -> None:
        """Have the judge score what it is shown; `more` goes into its script."""
        await self.script(JUDGE_MODEL, judge_script() | more)

    async def enter_price(self) -> None:
        """Add the price that was missing, and have the cost job start again with it."""
        text = self._prices.read_text(encoding="utf-8")
        await asyncio.to_thread(self._prices.write_text, with_price(text), encoding="utf-8")
        for child in self._children:
            if child.name == _COST_JOB:
                await child.stop(_STOPS_WITHIN_S)

    async def _put(self, path: str, content: Any) -> None:
        (await self._http.put(path, json=content)).raise_for_status()


def with_price(prices: str) -> str:
    """The list of prices with the one that was missing."""
    return prices + _PRICE


def judge_script() -> dict[str, Any]:
    """Scores like those of the seeded past; a wrong answer has low factual fidelity, and that alone."""
    hard, wrong = _verdict(GOOD["hard"]), _verdict(GOOD["easy"], factual_fidelity=1)
    return _verdict(GOOD["easy"]) | {
        "variants": [{"words": WRONG, "script": wrong}, {"words": HARD, "script": hard}]
    }


def _verdict(score: int, **differing: int) -> dict[str, Any]:
    said = {
        name: {"score": differing.get(name, score), "reason": "as the drill's script has it"}
        for name in JUDGE_DIMENSIONS
    }
    return {"tool_calls": [{"name": "record_scores", "arguments": json.dumps(said)}]}
