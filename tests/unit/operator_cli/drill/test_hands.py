import json
from pathlib import Path

import msgspec

from llmplatform.catalogue import load_catalogue
from llmplatform.prices import load_prices
from operator_cli.drill import hands
from operator_cli.drill.hands import judge_script, with_price, write_files
from sandbox.engines.engine import GenerationRequest, ToolCallEnd, ToolInputDelta
from sandbox.engines.scripted import Script, ScriptedEngine


async def scores(text: str) -> dict[str, int]:
    """What the judge gives an answer, by dimension."""
    script = msgspec.convert(judge_script(), Script)
    request = GenerationRequest(model="judge", messages=({"role": "user", "content": text},))
    said = [event async for batch in ScriptedEngine(script).generate(request).batches() for event in batch]
    assert any(isinstance(event, ToolCallEnd) for event in said)
    verdict = json.loads("".join(event.json for event in said if isinstance(event, ToolInputDelta)))
    return {name: judged["score"] for name, judged in verdict.items()}


async def test_the_judge_finds_a_wrong_answer_untrue_and_nothing_else_about_it() -> None:
    assert set((await scores("330 metres")).values()) == {5}
    assert set((await scores(f"{hands.HARD}: 330 metres")).values()) == {4}
    wrong = await scores(f"{hands.HARD}: it is {hands.WRONG}")
    assert wrong.pop("factual_fidelity") == 1
    assert set(wrong.values()) == {5}


def test_the_drills_catalogue_has_a_model_whose_price_nobody_entered(tmp_path: Path) -> None:
    named = write_files(tmp_path)
    models = load_catalogue(Path(named["LLM_PLATFORM_CATALOGUE"])).models
    price_file = Path(named["LLM_PLATFORM_PRICES"])
    prices = load_prices(price_file)
    assert prices.knows(models[hands.ANSWERS].price_key)
    assert not prices.knows(models[hands.UNPRICED].price_key)
    price_file.write_text(with_price(price_file.read_text()))
    assert load_prices(price_file).knows(models[hands.UNPRICED].price_key)
