"""The catalogue's rules, and the catalogues that ship."""

from datetime import date
from pathlib import Path

import pytest

from gateway.chat import ChatRequest, Message, TextPart
from gateway.dialects.dialect import CallIdentity
from gateway.dialects.registry import DIALECTS
from llmplatform.catalogue import Catalogue, load_catalogue, parse_catalogue
from llmplatform.errors import ConfigFault

HERE = Path(__file__).parent
MODEL = """
[models.a]
endpoint_type = "bedrock"
backend_model_id = "vendor.a-v1:0"
dialect = "converse"
price_key = "a"
"""


def parsed(text: str) -> Catalogue:
    return parse_catalogue(text, folder=HERE)


def test_a_model_knows_its_name_and_the_defaults() -> None:
    model = parsed(MODEL).models["a"]
    assert model.model_id == "a"
    assert model.timeouts.connect_s == 2
    assert model.disconnect_policy == "drain"
    assert model.endpoint_name is None
    assert model.end_of_life is None


def test_sagemaker_models_are_cancelled_and_name_their_endpoint() -> None:
    text = MODEL.replace("bedrock", "sagemaker").replace("converse", "tgi")
    model = parsed(text + "end_of_life = 2027-01-31\n").models["a"]
    assert model.disconnect_policy == "cancel"
    assert model.endpoint_name == "vendor.a-v1:0"
    assert model.end_of_life == date(2027, 1, 31)


def test_a_relative_tokenizer_path_starts_at_the_catalogues_folder() -> None:
    model = parsed(MODEL + 'tokenizer = { kind = "huggingface", path = "tokens" }').models["a"]
    assert model.tokenizer.path == HERE / "tokens"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("models = [", "TOML"),
        (MODEL + "max_atempts = 3", "models.a.max_atempts"),
        (MODEL + 'fallbacks = ["b"]', "'b'"),
        (MODEL + 'fallbacks = ["a"]', "itself"),
        (MODEL + "timeouts = { idle_s = 0 }", "models.a.timeouts.idle_s"),
        (MODEL + 'tokenizer = { kind = "huggingface" }', "path"),
        (MODEL + 'tokenizer = { kind = "tiktoken" }', "name"),
        (MODEL.replace("converse", "tgi"), "tgi"),
        (MODEL.replace("models.a", 'models."a b"'), "model_id"),
        (MODEL + "[endpoints.e]\nvariants = []", "endpoints.e.variants"),
    ],
)
def test_a_wrong_catalogue_says_what_is_wrong(text: str, names: str) -> None:
    with pytest.raises(ConfigFault, match="catalogue") as raised:
        parsed(text)
    assert names in str(raised.value)


def test_a_catalogue_that_is_not_there_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match="LLM_PLATFORM_CATALOGUE"):
        load_catalogue(tmp_path / "none.toml")


def test_the_shipped_catalogue_has_what_is_built_on_it() -> None:
    catalogue = load_catalogue()
    assert {model.endpoint_type for model in catalogue.models.values()} == {"bedrock", "sagemaker"}
    assert all(model.max_output_tokens for model in catalogue.models.values())
    dedicated = {model.endpoint_name for model in catalogue.models.values()} - {None}
    assert dedicated == set(catalogue.endpoints)
    gpus = {e.variants[0].instance_type: e.variants[0].gpu_count for e in catalogue.endpoints.values()}
    assert gpus == {"ml.g5.12xlarge": 4, "ml.p4d.24xlarge": 8}


@pytest.mark.parametrize("name", sorted(load_catalogue().models))
def test_every_shipped_model_can_be_asked(name: str) -> None:
    model = load_catalogue().models[name]
    dialect = DIALECTS[model.dialect]
    effort = "low" if "reasoning" in model.capabilities else None
    request = ChatRequest(name, (Message("user", (TextPart("hi"),)),), reasoning_effort=effort)
    dialect.check(request, model)
    assert dialect.encode(request, model, CallIdentity("t", "r", "a" * 32, "b" * 16)).body


def test_no_shipped_model_had_ended_when_the_catalogue_was_written() -> None:
    written = date(2026, 11, 23)
    assert not [m for m in load_catalogue().models.values() if m.end_of_life and m.end_of_life <= written]
