from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmplatform import apikeys, ids
from llmplatform.errors import ConfigFault
from llmplatform.ids import TenantId

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ACME = TenantId("acme")

tenant_ids = st.from_regex(r"[a-z0-9-]{1,48}", fullmatch=True).map(TenantId)
random32 = st.binary(min_size=32, max_size=32)


@given(tenant_ids, random32)
def test_a_minted_key_names_its_tenant(tenant: TenantId, random: bytes) -> None:
    assert apikeys.tenant_of(apikeys.mint(tenant, random)) == tenant


@given(random32, random32)
def test_different_randomness_makes_different_keys(first: bytes, second: bytes) -> None:
    same = apikeys.mint(ACME, first) == apikeys.mint(ACME, second)
    assert same == (first == second)


@given(tenant_ids, random32)
def test_a_key_can_be_selected_with_a_double_click_and_put_into_a_header(
    tenant: TenantId, random: bytes
) -> None:
    key = apikeys.mint(tenant, random)
    assert key.isascii()
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert key.removeprefix(f"llmp_{tenant}_").isalnum()


@pytest.mark.parametrize("edge", [bytes(32), b"\xff" * 32])
def test_the_whole_range_of_256_bits_fits(edge: bytes) -> None:
    assert apikeys.tenant_of(apikeys.mint(ACME, edge)) == ACME


def test_less_randomness_is_refused() -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        apikeys.mint(ACME, bytes(16))


GOOD = apikeys.mint(ACME, bytes(range(32)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "llmp_",
        "sk-abc",
        GOOD[:-1],
        GOOD + "0",
        GOOD + "\n",
        " " + GOOD,
        GOOD.replace("acme", "Acme"),
        GOOD.replace("acme", "ac_me"),
        GOOD.replace("acme", ""),
        GOOD.replace("acme", "a" * 49),
        GOOD.replace("llmp", "LLMP"),
        GOOD[:-1] + "é",
        GOOD[:-1] + "\N{ARABIC-INDIC DIGIT ONE}",
    ],
)
def test_what_is_not_written_like_a_key_names_nobody(text: str) -> None:
    assert apikeys.tenant_of(text) is None


def test_the_hash_is_plain_sha256() -> None:
    assert apikeys.key_hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_record_holds_nothing_of_the_key_itself() -> None:
    record = apikeys.record_of(GOOD, NOW)
    document = apikeys.render_key_records([record])
    assert GOOD not in document
    assert GOOD.rpartition("_")[2] not in document
    assert record.sha256 not in repr(record)


def test_records_survive_writing_and_reading() -> None:
    records = (
        apikeys.record_of(GOOD, NOW),
        apikeys.record_of(apikeys.mint(ACME, bytes(32)), NOW, NOW + timedelta(days=1)),
    )
    assert apikeys.parse_key_records(ACME, apikeys.render_key_records(records)) == records


def test_the_most_keys_that_a_tenant_may_have_fit_into_one_parameter() -> None:
    records = [
        apikeys.record_of(apikeys.mint(ACME, bytes([n]) * 32), datetime.now(UTC), datetime.now(UTC))
        for n in range(apikeys.MAX_KEYS_PER_TENANT)
    ]
    assert len(apikeys.render_key_records(records).encode()) <= 4_096


def test_a_key_is_found_by_its_hash_and_no_other() -> None:
    records = [apikeys.record_of(apikeys.mint(ACME, bytes([n]) * 32), NOW) for n in range(3)]
    digest = apikeys.key_hash(apikeys.mint(ACME, bytes([1]) * 32))
    assert apikeys.matching(records, digest) == records[1]
    assert apikeys.matching(records, apikeys.key_hash(GOOD)) is None
    assert apikeys.matching((), digest) is None


def test_a_key_dies_at_its_expiry_not_after_it() -> None:
    record = apikeys.record_of(GOOD, NOW, NOW + timedelta(hours=1))
    assert record.live_at(NOW + timedelta(minutes=59))
    assert not record.live_at(NOW + timedelta(hours=1))
    assert apikeys.record_of(GOOD, NOW).live_at(NOW + timedelta(days=36_500))


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("{", "json_invalid"),
        ("{}", "tuple_type"),
        ('[{"sha256": "canary", "id": "x", "created_at": "2026-01-01T00:00:00Z"}]', "0.sha256"),
        ('[{"id": "x", "created_at": "2026-01-01T00:00:00Z"}]', "0.sha256: missing"),
        (f'[{{"sha256": "{"a" * 64}", "id": "x", "created_at": "2026-01-01T00:00:00"}}]', "timezone"),
        (f'[{{"sha256": "{"a" * 64}", "id": "x", "created_at": "2026-01-01T00:00:00Z", "b": 1}}]', "0.b"),
    ],
)
def test_a_broken_document_is_named_and_not_quoted(document: str, says: str) -> None:
    with pytest.raises(ConfigFault, match="api_keys of tenant acme") as caught:
        apikeys.parse_key_records(ACME, document)
    assert says in str(caught.value)
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_the_tenant_of_a_key_passes_the_check_for_ids() -> None:
    assert ids.tenant_id(apikeys.tenant_of(GOOD) or "") == ACME


@given(st.sampled_from(apikeys.ROLES), random32)
def test_a_key_of_a_role_is_no_tenants_and_names_its_role(role: apikeys.Role, random: bytes) -> None:
    key = apikeys.mint_role_key(role, random)
    assert apikeys.role_of(key) == role
    assert apikeys.tenant_of(key) is None
    assert key.removeprefix(f"llmp-{role}_").isalnum()


@given(tenant_ids | st.sampled_from(apikeys.ROLES).map(TenantId), random32)
def test_no_tenant_has_a_name_that_makes_its_key_a_roles(tenant: TenantId, random: bytes) -> None:
    assert apikeys.role_of(apikeys.mint(tenant, random)) is None


@pytest.mark.parametrize(
    "text",
    ["", "llmp-billing_", "llmp-admin_" + "0" * 43, "llmp-billing_" + "0" * 42, "LLMP-billing_" + "0" * 43],
)
def test_what_is_not_written_like_a_roles_key_names_no_role(text: str) -> None:
    assert apikeys.role_of(text) is None
