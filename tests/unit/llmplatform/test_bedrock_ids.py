"""Bedrock ids and ARNs to price keys, over every id that the catalogue has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmplatform.bedrock_ids import is_application_profile, price_key_of
from llmplatform.catalogue import ModelEntry, load_catalogue

HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
SYSTEM = "arn:aws:bedrock:us-east-1:111122223333:inference-profile/"
APPLICATION = "arn:aws:bedrock:eu-central-1:111122223333:application-inference-profile/acwt9yee9wzo"
BEDROCK = [model for model in load_catalogue().models.values() if model.endpoint_type == "bedrock"]
SAGEMAKER = [model for model in load_catalogue().models.values() if model.endpoint_type == "sagemaker"]


@pytest.mark.parametrize("model", BEDROCK, ids=lambda model: model.model_id)
def test_each_bedrock_model_of_the_catalogue_has_the_price_key_that_its_id_says(model: ModelEntry) -> None:
    assert price_key_of(model.backend_model_id) == model.price_key
    assert price_key_of(SYSTEM + model.backend_model_id) == model.price_key


@pytest.mark.parametrize("model", SAGEMAKER, ids=lambda model: model.model_id)
def test_an_endpoint_of_sagemaker_is_no_bedrock_model(model: ModelEntry) -> None:
    assert price_key_of(model.backend_model_id) is None


@pytest.mark.parametrize(
    ("model", "key"),
    [
        (HAIKU, "anthropic.claude-haiku-4-5/in-region"),
        *(
            (f"{prefix}.{HAIKU}", "anthropic.claude-haiku-4-5/geo")
            for prefix in ("us", "eu", "apac", "jp", "au", "ca", "us-gov")
        ),
        (f"global.{HAIKU}", "anthropic.claude-haiku-4-5/global"),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}", "anthropic.claude-haiku-4-5/in-region"),
        (
            f"arn:aws-us-gov:bedrock:us-gov-west-1:111122223333:inference-profile/us-gov.{HAIKU}",
            "anthropic.claude-haiku-4-5/geo",
        ),
        (f"{SYSTEM}global.{HAIKU}", "anthropic.claude-haiku-4-5/global"),
        ("anthropic.claude-opus-4-6-v1", "anthropic.claude-opus-4-6/in-region"),
        ("eu.anthropic.claude-3-5-sonnet-20241022-v2:0", "anthropic.claude-3-5-sonnet/geo"),
        ("deepseek.v3-v1:0", "deepseek.v3/in-region"),
        ("mistral.mistral-large-2402-v1:0", "mistral.mistral-large-2402/in-region"),
        ("amazon.titan-embed-text-v1", "amazon.titan-embed-text/in-region"),
        ("amazon.titan-embed-text-v2:0", "amazon.titan-embed-text-v2/in-region"),
    ],
)
def test_an_id_or_arn_says_its_base_model_and_routing_scope(model: str, key: str) -> None:
    assert price_key_of(model) == key


@pytest.mark.parametrize(
    "model",
    [
        "",
        "smollm2",
        "us.",
        "global.claude",
        "us.us",
        APPLICATION,
        f"{SYSTEM}{HAIKU}",
        f"{SYSTEM}in.{HAIKU}",
        f"arn:aws:bedrock:us-east-1::foundation-model/us.{HAIKU}",
        "arn:aws:bedrock:us-east-1:111122223333:provisioned-model/abcdefghijkl",
        "arn:aws:bedrock:us-east-1:111122223333:imported-model/abcdefghijkl",
        f"arn:aws:sagemaker:us-east-1:111122223333:foundation-model/{HAIKU}",
        f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}/more",
        "amazon.nova-lite-v1:0:300k",
    ],
)
def test_what_is_neither_model_nor_system_profile_has_no_price_key(model: str) -> None:
    assert price_key_of(model) is None


def test_a_profile_that_an_account_made_is_known_by_its_arn_alone() -> None:
    assert is_application_profile(APPLICATION)
    assert is_application_profile(APPLICATION.replace("arn:aws:", "arn:aws-us-gov:"))
    for other in ("acwt9yee9wzo", HAIKU, f"{SYSTEM}us.{HAIKU}", APPLICATION + "/x", f"x{APPLICATION}"):
        assert not is_application_profile(other)


@given(st.text())
def test_no_text_breaks_it_and_every_key_names_its_scope(text: str) -> None:
    key = price_key_of(text)
    assert key is None or key.rpartition("/")[2] in {"in-region", "geo", "global"}
