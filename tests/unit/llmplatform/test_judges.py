"""Which models can judge: the list that ships, and what a list with a mistake is told."""

from datetime import date
from pathlib import Path

import pytest

from llmplatform.catalogue import load_catalogue
from llmplatform.errors import ConfigFault
from llmplatform.judges import load_judge_models, parse_judge_models
from llmplatform.prices import load_prices

ONE = """
default = "a"
[judges.a]
model_id = "vendor.a"
price_key = "vendor.a/geo"
source = "a test"
retrieved_on = 2026-01-01
"""


def test_every_judge_that_ships_is_priced_dated_and_not_past_its_end() -> None:
    models, prices = load_judge_models(), load_prices()
    served = {model.backend_model_id for model in load_catalogue().models.values()}
    for model in models.judges.values():
        assert prices.price_of(model.price_key, "output", at=date(2026, 11, 23), region="us-east-1")
        assert model.model_id in served  # one list of looked-up ids: the catalogue's
        assert model.retrieved_on >= date(2026, 11, 23)
        assert model.end_of_life is None or model.end_of_life > model.retrieved_on
    assert models.named() is models.judges[models.default]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("default = ", "TOML"),
        (ONE.replace('default = "a"', 'default = "b"'), "'b'"),
        (ONE.replace("model_id", "model"), "judges.a.model_id"),
        (ONE + "max_tokens = 10", "judges.a.max_tokens"),
        (ONE + 'tool_choice = "auto"', "judges.a.tool_choice"),
        (ONE.replace("retrieved_on = 2026-01-01", ""), "judges.a.retrieved_on"),
    ],
)
def test_a_list_of_judges_with_a_mistake_names_the_field(text: str, names: str) -> None:
    with pytest.raises(ConfigFault, match=names.replace(".", r"\.")):
        parse_judge_models(text)


def test_a_judge_that_is_not_listed_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match=r"there are a$"):
        parse_judge_models(ONE).named("zeta")
    with pytest.raises(ConfigFault, match=r"none\.toml"):
        load_judge_models(tmp_path / "none.toml")
