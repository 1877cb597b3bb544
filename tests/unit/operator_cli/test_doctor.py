from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from llmplatform import apikeys
from llmplatform.catalogue import Catalogue
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy
from llmplatform.tenants import StoredTenant
from llmplatform.testing import make_model
from operator_cli.doctor import (
    backend_services,
    lifecycle_checks,
    settings_check,
    tenants_check,
    tokenizers_check,
)

TODAY = date(2026, 11, 23)


def catalogue(**fields: Any) -> Catalogue:
    return Catalogue(models={"small": make_model(**fields)})


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (None, "ok"),
        (date(2027, 1, 23), "ok"),
        (date(2027, 1, 22), "warning"),
        (TODAY, "warning"),
        (date(2026, 11, 22), "failed"),
    ],
)
def test_a_model_near_its_end_of_life_is_told_sixty_days_before(end: date | None, status: str) -> None:
    (check,) = lifecycle_checks(catalogue(end_of_life=end), TODAY)
    assert check.status == status
    assert bool(check.fix) == (status != "ok")


def test_tokenizer_files_that_are_missing_are_named_by_model(tmp_path: Path) -> None:
    with_files = catalogue(tokenizer={"kind": "huggingface", "path": tmp_path})
    assert tokenizers_check(with_files).status == "warning"
    assert "small" in tokenizers_check(with_files).found
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert tokenizers_check(with_files).status == "ok"
    assert tokenizers_check(catalogue()).status == "ok"


def test_a_tenant_whose_models_are_not_in_the_catalogue_is_named() -> None:
    def tenant(name: str, *models: str) -> StoredTenant:
        tenant_id = TenantId(name)
        policy = TenantPolicy(tenant_id=tenant_id, allowed_models=frozenset(models) or None)
        key = apikeys.record_of(apikeys.mint(tenant_id, bytes(32)), datetime(2026, 1, 1, tzinfo=UTC))
        return StoredTenant(tenant_id, policy, (key,))

    fine = [tenant("acme"), tenant("globex", "small")]
    assert tenants_check(fine, catalogue()).status == "ok"
    check = tenants_check([*fine, tenant("initech", "small", "nosuch")], catalogue())
    assert check.status == "warning"
    assert "initech (nosuch)" in check.found
    assert "tenant update" in check.fix
    assert tenants_check([tenant("initech", "nosuch")], None).status == "ok"


def test_only_the_runtimes_that_models_need_are_looked_for() -> None:
    assert backend_services(catalogue()) == ("bedrock-runtime",)


def test_a_misspelt_setting_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_check().status == "ok"
    monkeypatch.setenv("GATEWAY_MAX_INFLIGHT", "5")
    check = settings_check()
    assert check.status == "failed"
    assert "GATEWAY_MAX_INFLIGHT" in check.found
