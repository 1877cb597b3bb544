"""Which requests are asked for."""

from typing import Any

import pytest

from llmplatform.errors import MalformedRequest
from llmplatform.invocation import Outcome
from llmplatform.ledger import LedgerRow, decode_item, encode_item
from llmplatform.policy import Objectives
from llmplatform.testing import make_policy, make_record
from watch.requests.filters import Filters, LowScore, Slow


def row(**fields: Any) -> LedgerRow:
    return decode_item(encode_item(make_record(**fields)))


@pytest.mark.parametrize(
    ("query", "fields", "matches"),
    [
        ({}, {}, True),
        ({"model": "small"}, {}, True),
        ({"model": "small"}, {"model_id": "large", "requested_model_id": "small"}, True),
        ({"model": "small"}, {"model_id": "large", "requested_model_id": "large"}, False),
        ({"outcome": "refused"}, {"outcome": Outcome.REFUSED}, True),
        ({"outcome": "refused"}, {}, False),
        ({"error": "backend_throttled"}, {"error_code": "backend_throttled"}, True),
        ({"error": "backend_throttled"}, {}, False),
        ({"origin": "judge"}, {"origin": "judge"}, True),
        ({"origin": "judge"}, {}, False),
        ({"tenant": "zeta"}, {}, False),
        ({"slow": "1"}, {"time_to_first_token_ms": 4_001.0}, True),
        ({"slow": "1"}, {"total_latency_ms": 60_001.0}, True),
        ({"slow": "1"}, {"time_to_first_token_ms": 4_000.0, "total_latency_ms": 60_000.0}, False),
        ({"slow_ms": "1400"}, {}, True),
        ({"slow_ms": "1500"}, {}, False),
    ],
)
def test_a_row_is_asked_for_by_each_parameter(
    query: dict[str, str], fields: dict[str, Any], *, matches: bool
) -> None:
    filters = Filters.asked(query)
    assert filters.matches(row(**fields), filters.slow_of(make_policy())) is matches


def test_slow_is_by_the_tenants_own_objective() -> None:
    policy = make_policy(objectives=Objectives(ttft_p99_ms=200))
    filters = Filters.asked({"slow": "1"})
    assert filters.slow_of(policy) == Slow(200, 60_000)
    assert filters.matches(row(), filters.slow_of(policy))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tenant", "Acme Inc"),
        ("outcome", "fine"),
        ("origin", "martian"),
        ("slow_ms", "fast"),
        ("slow_ms", "-1"),
        ("slow_ms", "nan"),
        ("score", "9"),
        ("model", "x" * 1_000),
    ],
)
def test_a_bad_parameter_is_named(name: str, value: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        Filters.asked({name: value})
    assert caught.value.param == name


def test_an_unknown_dimension_is_refused_before_anything_is_read() -> None:
    with pytest.raises(MalformedRequest):
        Filters.asked({"score": "2", "dimension": "beauty"})


def test_a_low_score_is_low_in_any_dimension_or_in_the_one_asked_for() -> None:
    scores = {"relevance": 5, "coherence": 2}
    assert LowScore(2).matches(scores)
    assert not LowScore(2, "relevance").matches(scores)
    assert LowScore(2, "coherence").matches(scores)
    assert not LowScore(2, "factual_fidelity").matches(scores)
