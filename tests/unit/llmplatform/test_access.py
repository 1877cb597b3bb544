from datetime import UTC, datetime, timedelta

import pytest

from llmplatform import apikeys
from llmplatform.access import MAX_KEYS_PER_ROLE, Access, parse_access, render_access
from llmplatform.apikeys import ROLES, Role
from llmplatform.errors import ConfigFault

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
BILLING = apikeys.mint_role_key("billing", bytes(range(32)))
OPERATOR = apikeys.mint_role_key("operator", bytes(range(1, 33)))
ACCESS = Access(
    operator=(apikeys.record_of(OPERATOR, NOW),),
    billing=(apikeys.record_of(BILLING, NOW, NOW + timedelta(days=1)),),
)


def test_each_role_has_its_own_keys() -> None:
    assert ACCESS.role_of(BILLING, NOW) == "billing"
    assert ACCESS.role_of(OPERATOR, NOW) == "operator"
    for role in ROLES:
        assert ACCESS.keys_of(role) == getattr(ACCESS, role)


def test_a_key_of_one_role_opens_no_other() -> None:
    swapped = Access(operator=ACCESS.billing, billing=ACCESS.operator)
    assert swapped.role_of(BILLING, NOW) is None
    assert swapped.role_of(OPERATOR, NOW) is None
    assert ACCESS.role_of(BILLING.replace("billing", "operator"), NOW) is None


@pytest.mark.parametrize(
    "key",
    [
        "",
        BILLING[:-1],
        BILLING[:-1] + ("0" if BILLING[-1] != "0" else "1"),
        BILLING.replace("llmp-", "llmp_"),
    ],
)
def test_a_wrong_key_opens_nothing(key: str) -> None:
    assert ACCESS.role_of(key, NOW) is None
    assert Access().role_of(BILLING, NOW) is None


def test_an_expired_key_opens_nothing() -> None:
    assert ACCESS.role_of(BILLING, NOW + timedelta(hours=23)) == "billing"
    assert ACCESS.role_of(BILLING, NOW + timedelta(days=1)) is None
    assert ACCESS.role_of(OPERATOR, NOW + timedelta(days=1)) == "operator"


@pytest.mark.parametrize("role", ROLES)
def test_keys_of_one_role_are_changed_alone(role: Role) -> None:
    changed = ACCESS.with_keys(role, ())
    assert changed.keys_of(role) == ()
    (other,) = set(ROLES) - {role}
    assert changed.keys_of(other) == ACCESS.keys_of(other)


def test_the_document_survives_writing_and_reading_and_holds_no_key() -> None:
    document = render_access(ACCESS)
    assert parse_access(document) == ACCESS
    assert BILLING not in document
    assert BILLING.rpartition("_")[2] not in document


def test_the_most_keys_of_both_roles_fit_into_one_parameter() -> None:
    keys = tuple(
        apikeys.record_of(
            apikeys.mint_role_key("billing", bytes([n]) * 32),
            NOW.replace(microsecond=123_456),
            NOW.replace(microsecond=123_456),
        )
        for n in range(MAX_KEYS_PER_ROLE)
    )
    assert len(render_access(Access(operator=keys, billing=keys)).encode()) <= 4_096


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("{", "json_invalid"),
        ("[]", "model_type"),
        ('{"billings": []}', "billings: extra_forbidden"),
        ('{"billing": [{"sha256": "canary", "id": "x", "created_at": "2026-01-01T00:00:00Z"}]}', "sha256"),
    ],
)
def test_a_broken_document_is_named_and_not_quoted(document: str, says: str) -> None:
    with pytest.raises(ConfigFault, match="access of the platform's roles") as caught:
        parse_access(document)
    assert says in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_hash_opens_what_its_key_does_and_no_other_role() -> None:
    key = apikeys.mint_role_key("operator", bytes(range(32)))
    record = apikeys.record_of(key, NOW, NOW + timedelta(hours=1))
    access, digest = Access(operator=(record,)), apikeys.key_hash(key)
    assert access.still_opens("operator", digest, NOW)
    assert not access.still_opens("billing", digest, NOW)
    assert not access.still_opens("operator", "0" * 64, NOW)
    assert not access.still_opens("operator", digest, NOW + timedelta(hours=1))
