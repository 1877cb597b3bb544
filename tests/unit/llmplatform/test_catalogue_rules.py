"""Catalogues written in a hurry: each is refused with the field at fault, none with a traceback."""

from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmplatform.catalogue import Catalogue, Tokenizer, load_catalogue, parse_catalogue
from llmplatform.errors import ConfigFault

FOLDER = Path("/catalogue")
MODEL = 'endpoint_type = "bedrock"\ndialect = "converse"\nbackend_model_id = "v.m"\nprice_key = "v.m"\n'


def parse(text: str) -> Catalogue:
    return parse_catalogue(dedent(text), folder=FOLDER)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models = ", "not valid TOML"),
        ("models = 3", "models"),
        ("models = []", "models"),
        ("[models]\na = 3", "models.a"),
        ("", "models"),
        ("[[models]]", "models"),
        (f"[models.a]\n{MODEL}temperature = 1", "models.a.temperature"),
        (f'[models.a]\n{MODEL}fallbacks = ["b"]', "'b'"),
        (f'[models.a]\n{MODEL}fallbacks = ["a"]', "names itself"),
        (f'[models."a b"]\n{MODEL}', "models.a b.model_id"),
        (f"[models.a]\n{MODEL}max_attempts = 0", "models.a.max_attempts"),
        (f"[models.a]\n{MODEL}".replace('price_key = "v.m"', 'price_key = "a b"'), "models.a.price_key"),
        (f"[models.a]\n{MODEL}".replace('price_key = "v.m"', 'price_key = "é"'), "models.a.price_key"),
        (
            f"[models.a]\n{MODEL}".replace('price_key = "v.m"', f'price_key = "{"k" * 257}"'),
            "models.a.price_key",
        ),
        (f"[models.a]\n{MODEL}[models.a.timeouts]\nidle_s = 0", "models.a.timeouts.idle_s"),
        (f'[models.a]\n{MODEL}[models.a.tokenizer]\nkind = "tiktoken"', "models.a.tokenizer"),
        (f'[models.a]\n{MODEL}[models.a.tokenizer]\nkind = "huggingface"', "models.a.tokenizer"),
        (f"[models.a]\n{MODEL}[models.a.tokenizer]\npath = 3", "models.a.tokenizer.path"),
        (f"[models.a]\n{MODEL}[endpoints.e]\nvariants = []", "endpoints.e.variants"),
        (f"[models.a]\n{MODEL.replace('converse', 'tgi')}", "does not go with"),
        (f"[models.a]\n{MODEL.replace('bedrock', 'sagemaker')}", "does not go with"),
    ],
)
def test_a_broken_catalogue_is_named_by_field(text: str, says: str) -> None:
    with pytest.raises(ConfigFault, match="catalogue") as caught:
        parse(text)
    assert says in str(caught.value)


def test_models_may_fall_back_to_one_another() -> None:
    catalogue = parse(f'[models.a]\n{MODEL}fallbacks = ["b"]\n[models.b]\n{MODEL}fallbacks = ["a"]')
    assert catalogue.models["a"].fallbacks == ("b",)


def test_the_public_name_is_the_key_whatever_the_table_says() -> None:
    assert parse(f'[models.a]\nmodel_id = "b"\n{MODEL}').models["a"].model_id == "a"


@pytest.mark.parametrize(("path", "found"), [("tok", FOLDER / "tok"), ("/abs/tok", Path("/abs/tok"))])
def test_a_relative_path_starts_at_the_catalogue(path: str, found: Path) -> None:
    catalogue = parse(f'[models.a]\n{MODEL}[models.a.tokenizer]\nkind = "huggingface"\npath = "{path}"')
    assert catalogue.models["a"].tokenizer == Tokenizer(kind="huggingface", path=found)


ENDPOINT = '[endpoints.e]\nvariants = [{{ name = "v", instance_type = "ml.g5.xlarge", gpu_count = 1{} }}]'


def test_a_variant_publishes_every_minute_and_is_not_rated_unless_it_says_so() -> None:
    (plain,) = parse("[models]\n" + ENDPOINT.format("")).endpoints["e"].variants
    assert (plain.metric_period_s, plain.rated_tokens_per_minute) == (60, None)
    said = ENDPOINT.format(", metric_period_s = 10, rated_tokens_per_minute = 9000")
    (variant,) = parse("[models]\n" + said).endpoints["e"].variants
    assert (variant.metric_period_s, variant.rated_tokens_per_minute) == (10, 9_000)


@pytest.mark.parametrize("field", ["metric_period_s = 45", "rated_tokens_per_minute = 0"])
def test_a_variant_that_cannot_be_is_refused(field: str) -> None:
    with pytest.raises(ConfigFault, match=field.split(maxsplit=1)[0]):
        parse("[models]\n" + ENDPOINT.format(f", {field}"))


@given(st.text())
def test_any_text_is_a_catalogue_or_a_config_fault(text: str) -> None:
    with suppress(ConfigFault):
        parse(text)


def test_a_missing_file_says_which_variable_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match="LLM_PLATFORM_CATALOGUE"):
        load_catalogue(tmp_path / "none.toml")


def test_a_file_that_is_not_text_is_a_config_fault(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigFault):
        load_catalogue(tmp_path / "models.toml")
