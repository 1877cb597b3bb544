import json
from decimal import Decimal

import pytest

from llmplatform.errors import ConfigFault
from llmplatform.ids import TenantId
from llmplatform.policy import DEFAULT_EVAL_SAMPLE_RATE, ContentMode, TenantPolicy, parse_policy

ACME = TenantId("acme")


def test_an_empty_document_is_the_defaults() -> None:
    policy = parse_policy(ACME, "{}")
    assert policy == TenantPolicy(tenant_id=ACME)
    assert policy.content_mode is ContentMode.TRUNCATED
    assert not policy.may_log_content
    assert policy.eval_sample_rate == DEFAULT_EVAL_SAMPLE_RATE
    assert (policy.objectives.ttft_p50_ms, policy.objectives.ttft_p99_ms) == (800, 4_000)
    assert policy.allows_model("anything")


def test_every_field_can_be_set() -> None:
    document = {
        "display_name": "Acme",
        "content_mode": "full",
        "log_content": True,
        "allowed_models": ["a", "b"],
        "objectives": {"ttft_p99_ms": 1_500},
        "daily_budget_usd": "12.50",
        "daily_budget_tokens": 1_000_000,
        "max_in_flight": 8,
        "kms_key": "alias/acme",
        "max_prompt_chars": 10,
        "max_completion_chars": 20,
    }
    policy = parse_policy(ACME, json.dumps(document), "0.5")
    assert policy.daily_budget_usd == Decimal("12.50")
    assert policy.eval_sample_rate == 0.5
    assert policy.may_log_content
    assert policy.allows_model("a")
    assert not policy.allows_model("c")
    assert policy.objectives.ttft_p50_ms == 800


def test_an_empty_list_of_models_allows_none() -> None:
    assert not parse_policy(ACME, '{"allowed_models": []}').allows_model("a")


def test_opting_in_to_content_logs_is_without_effect_under_hash_only() -> None:
    policy = parse_policy(ACME, '{"content_mode": "hash_only", "log_content": true}')
    assert not policy.may_log_content


def test_the_rate_has_a_parameter_of_its_own_that_wins() -> None:
    assert parse_policy(ACME, '{"eval_sample_rate": 0.9}', "0.1").eval_sample_rate == 0.1


@pytest.mark.parametrize(
    ("document", "rate", "says"),
    [
        ("nonsense", None, "not valid JSON"),
        ("[]", None, "not a JSON object"),
        ('{"tenant_id": "globex"}', None, "names another tenant"),
        ('{"content_mod": "canary"}', None, "content_mod"),
        ('{"content_mode": "canary"}', None, "content_mode"),
        ('{"max_in_flight": 0}', None, "max_in_flight"),
        ('{"objectives": {"ttft_p99_ms": -1}}', None, "objectives.ttft_p99_ms"),
        ("{}", "1.5", "eval_sample_rate"),
        ("{}", "nan", "eval_sample_rate"),
        ("{}", "canary", "eval_sample_rate"),
    ],
)
def test_a_broken_policy_is_named_by_field_and_not_quoted(document: str, rate: str | None, says: str) -> None:
    with pytest.raises(ConfigFault, match="policy of tenant acme") as caught:
        parse_policy(ACME, document, rate)
    assert says in str(caught.value)
    assert "canary" not in str(caught.value)
