from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer

from llmplatform.ids import TenantId
from llmplatform.policy import ContentMode, Objectives, TenantPolicy
from operator_cli.policy_options import check_models, kms_key, new_policy, policy_with

TENANT = TenantId("acme")
ACME = TenantPolicy(
    tenant_id=TENANT,
    display_name="Acme",
    content_mode=ContentMode.HASH_ONLY,
    allowed_models=frozenset({"small"}),
    daily_budget_usd=Decimal(25),
    objectives=Objectives(ttft_p50_ms=500),
)
MODEL = """
[models.small]
endpoint_type = "bedrock"
backend_model_id = "vendor.small-v1:0"
dialect = "converse"
price_key = "vendor.small"
"""


def option_blamed(**given: Any) -> str | None:
    with pytest.raises(typer.BadParameter) as refused:
        new_policy(TENANT, given)
    return refused.value.param_hint  # type: ignore[return-value]


def test_only_what_is_given_changes() -> None:
    assert policy_with(ACME, {"display_name": None}) == ACME
    changed = policy_with(ACME, {"eval_sample_rate": 0.5, "ttft_p99_ms": 9_000})
    assert changed.eval_sample_rate == 0.5
    assert changed.objectives == Objectives(ttft_p50_ms=500, ttft_p99_ms=9_000)
    assert changed.model_copy(update={"eval_sample_rate": 0.05, "objectives": ACME.objectives}) == ACME


def test_what_is_taken_back_is_as_if_never_given() -> None:
    changed = policy_with(ACME, {}, ["allowed_models", "daily_budget_usd", "kms_key"])
    assert changed.allowed_models is None
    assert changed.daily_budget_usd is None
    assert changed.content_mode is ContentMode.HASH_ONLY
    with pytest.raises(typer.BadParameter, match="taken back"):
        policy_with(ACME, {"daily_budget_usd": "3"}, ["daily_budget_usd"])


def test_what_cannot_be_is_told_by_the_options_name() -> None:
    assert option_blamed(eval_sample_rate=2.0) == "--eval-sample-rate"
    assert option_blamed(eval_sample_rate=float("nan")) == "--eval-sample-rate"
    assert option_blamed(daily_budget_usd="plenty") == "--daily-budget-usd"
    assert option_blamed(ttft_p50_ms=0) == "--ttft-p50-ms"
    assert option_blamed(allowed_models=[3]) == "--allow-model"


@pytest.mark.parametrize(
    "key",
    [
        None,
        "alias/acme/content",
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "mrk-1234abcd12ab34cd56ef1234567890ab",
        "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/acme",
    ],
)
def test_a_kms_key_is_taken_as_kms_takes_it(key: str | None) -> None:
    assert kms_key(key) == key


@pytest.mark.parametrize(
    "key", ["", "zzz", "alias/", "alias/a b", "arn:aws:s3:::bucket", "arn:aws:kms:eu-central-1:1:key/x"]
)
def test_anything_else_is_no_kms_key(key: str) -> None:
    with pytest.raises(typer.BadParameter, match="alias/NAME"):
        kms_key(key)


def test_a_model_that_is_in_no_catalogue_is_refused_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue = tmp_path / "models.toml"
    catalogue.write_text(MODEL, encoding="utf-8")
    monkeypatch.setenv("LLM_PLATFORM_CATALOGUE", str(catalogue))
    check_models(ACME)
    check_models(TenantPolicy(tenant_id=TENANT))
    strange = ACME.model_copy(update={"allowed_models": frozenset({"small", "nosuch"})})
    with pytest.raises(typer.BadParameter, match=r"nosuch: not in the catalogue .* has small") as refused:
        check_models(strange)
    assert refused.value.param_hint == "--allow-model"
    assert not capsys.readouterr().err
    catalogue.unlink()
    check_models(strange)
    assert "the models are not checked" in capsys.readouterr().err


def test_content_logs_are_opted_out_of_as_they_are_opted_in() -> None:
    logged = policy_with(ACME, {"log_content": True})
    assert logged.log_content
    assert policy_with(logged, {}, ["log_content"]) == ACME
