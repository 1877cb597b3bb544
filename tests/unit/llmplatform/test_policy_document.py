"""A policy document that anybody may have written: it is read whole or refused, and never half believed."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmplatform.errors import ConfigFault
from llmplatform.ids import TenantId
from llmplatform.policy import ContentMode, TenantPolicy, parse_policy

ACME = TenantId("acme")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
some_fields = st.dictionaries(st.sampled_from(sorted(TenantPolicy.model_fields)), json_values)
policies = st.builds(
    TenantPolicy,
    tenant_id=st.just(ACME),
    display_name=st.text(),
    content_mode=st.sampled_from(ContentMode),
    log_content=st.booleans(),
    max_prompt_chars=st.integers(0, 400_000),
    max_completion_chars=st.integers(0, 400_000),
    eval_sample_rate=st.floats(0, 1),
    allowed_models=st.none() | st.frozensets(st.text(), max_size=3),
    daily_budget_usd=st.none() | st.decimals(0, 10_000, places=4),
    daily_budget_tokens=st.none() | st.integers(0),
    max_in_flight=st.integers(1),
    kms_key=st.none() | st.text(),
)


def parsed(document: str, rate: str | None = None) -> TenantPolicy | None:
    try:
        return parse_policy(ACME, document, rate)
    except ConfigFault:
        return None


@given(policies)
def test_a_policy_written_and_read_is_the_same(policy: TenantPolicy) -> None:
    assert parsed(policy.model_dump_json()) == policy


@given(st.text() | json_values.map(json.dumps) | some_fields.map(json.dumps), st.none() | st.text())
def test_any_document_is_a_valid_policy_of_this_tenant_or_refused(document: str, rate: str | None) -> None:
    policy = parsed(document, rate)
    if policy is not None:
        assert policy.tenant_id == ACME
        assert 0 <= policy.eval_sample_rate <= 1
        assert policy.max_in_flight >= 1
        assert policy.daily_budget_usd is None or policy.daily_budget_usd.is_finite()


@given(st.text(min_size=1).filter(lambda name: name not in TenantPolicy.model_fields), json_values)
def test_a_misspelt_field_is_never_silently_the_default(name: str, value: object) -> None:
    assert parsed(json.dumps({name: value})) is None


def test_a_document_nested_beyond_reason_is_refused_like_any_other() -> None:
    with pytest.raises(ConfigFault, match="not valid JSON"):
        parse_policy(ACME, "[" * 8_000)


def test_money_is_read_to_the_cent() -> None:
    policy = parse_policy(ACME, '{"daily_budget_usd": "0.10"}')
    assert policy.daily_budget_usd == Decimal("0.10")
