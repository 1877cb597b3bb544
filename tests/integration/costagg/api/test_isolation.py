"""What a tenant's key cannot be made to show, tried route by route."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest

from costagg.api.page import encode_cursor
from costagg.api.query import CostParameters, digest_of, parameters
from harness.billing import HOUR, NOW, Billing, a_line
from llmplatform import apikeys
from llmplatform.aws.access import AccessStore
from llmplatform.costs import PLATFORM, UNUSED
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy
from llmplatform.tenants import Tenants

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = {"from": "2026-11-23", "to": "2026-11-24"}
SECRET = "model-of-globex"
OTHERS = (
    "globex",
    UNUSED,
    PLATFORM,
    "_status",
    "removed",
    "never-was",
    "ACME",
    "acme%20",
    "%2A",
    "acme%23",
    "%2E%2E",
)


async def fill(api: Billing) -> None:
    for number in range(3):
        hour = HOUR + timedelta(hours=number)
        await api.put(
            a_line(hour=hour),
            a_line("globex", hour=hour, model_id=SECRET),
            a_line("removed", hour=hour, model_id=SECRET),
            a_line(UNUSED, hour=hour, model_id=SECRET),
            a_line(PLATFORM, hour=hour, model_id=SECRET),
        )


def alike(answer: httpx.Response) -> tuple[int, Mapping[str, str], Mapping[str, Any]]:
    """An answer without what differs from request to request."""
    headers = {name: value for name, value in answer.headers.items() if name not in {"date", "x-request-id"}}
    return answer.status_code, headers, {**answer.json(), "request_id": None}


async def test_another_tenants_costs_look_like_those_of_nobody(api: Billing) -> None:
    await fill(api)
    nobody = alike(await api.get("/v1/tenants/no-such-tenant/costs", "acme", params=DAY))
    assert nobody[0] == 404
    for query in (
        DAY,
        {},
        {**DAY, "format": "csv"},
        {**DAY, "model_id": SECRET},
        {**DAY, "tenant_id": "acme"},
        {**DAY, "cursor": "x"},
        {"from": "never"},
    ):
        for other in OTHERS:
            answer = await api.get(f"/v1/tenants/{other}/costs", "acme", params=query)
            assert alike(answer) == nobody, other
            assert SECRET not in answer.text


async def test_no_store_is_asked_before_a_refusal(api: Billing) -> None:
    reads = api.policies.counts.targeted_reads
    loads = api.policies.counts.loads
    for other in OTHERS:
        await api.get(f"/v1/tenants/{other}/costs", "acme", params=DAY)
    assert (api.policies.counts.targeted_reads, api.policies.counts.loads) == (reads, loads)


async def test_an_etag_of_another_tenant_opens_nothing(api: Billing) -> None:
    await fill(api)
    etag = (await api.get("/v1/tenants/globex/costs", "globex", params=DAY)).headers["etag"]
    for known in (etag, "*"):
        answer = await api.get(
            "/v1/tenants/globex/costs", "acme", params=DAY, headers={"if-none-match": known}
        )
        assert answer.status_code == 404
        assert "etag" not in answer.headers
    own = await api.get("/v1/tenants/acme/costs", "acme", params=DAY, headers={"if-none-match": etag})
    assert own.status_code == 200


async def test_a_cursor_of_another_tenant_or_query_is_refused(api: Billing) -> None:
    await fill(api)
    query = {**DAY, "granularity": "hour", "limit": "1"}
    theirs = (await api.get("/v1/tenants/globex/costs", "globex", params=query)).json()["next_cursor"]
    everyones = (await api.get("/v1/costs", "billing", params=query)).json()["next_cursor"]
    own = (await api.get("/v1/tenants/acme/costs", "acme", params=query)).json()["next_cursor"]
    for cursor in (theirs, everyones, "", "x", "W10", "bnVsbA", own[:-4], "é"):
        answer = await api.get("/v1/tenants/acme/costs", "acme", params={**query, "cursor": cursor})
        assert (answer.status_code, answer.json()["param"]) == (400, "cursor"), cursor
        assert SECRET not in answer.text
    for change in (
        {"granularity": "day"},
        {"to": "2026-11-25"},
        {"model_id": "small"},
        {"group_by": "layer"},
    ):
        asked = {**query, "cursor": own, **change}
        answer = await api.get("/v1/tenants/acme/costs", "acme", params=asked)
        assert (answer.status_code, answer.json()["param"]) == (400, "cursor"), change
    answer = await api.get("/v1/tenants/globex/costs", "acme", params={**query, "cursor": own})
    assert answer.status_code == 404


async def test_a_forged_cursor_shows_nobody_elses_rows(api: Billing) -> None:
    await fill(api)
    digest = digest_of("acme", parameters(CostParameters, DAY.items()))
    for position in (("",), ("globex",), ("_status",), ("acme", ""), ("zzz", "~")):
        asked = {**DAY, "cursor": encode_cursor(digest, position)}
        answer = await api.get("/v1/tenants/acme/costs", "acme", params=asked)
        assert answer.status_code == 200
        assert SECRET not in answer.text
        assert {row["tenant_id"] for row in answer.json()["rows"]} <= {"acme"}


async def test_what_is_about_all_tenants_is_for_roles_alone(api: Billing) -> None:
    await fill(api)
    for path in ("/v1/costs", "/v1/hours"):
        for query in (DAY, {}, {"from": "never"}):
            answer = await api.get(path, "acme", params=query)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
            assert SECRET not in answer.text


async def test_a_tenants_own_answer_says_nothing_of_others(api: Billing) -> None:
    await fill(api)
    alone = await api.get("/v1/tenants/acme/costs", "acme", params=DAY)
    await api.put(
        a_line(),
        a_line("globex", unit_price_usd=None),
        a_line("globex", charge_class="output", quantity=None, requests=9),
    )
    beside = await api.get("/v1/tenants/acme/costs", "acme", params=DAY)
    assert beside.content == alone.content
    assert "globex" not in beside.text


async def test_bad_keys_are_told_nothing(api: Billing) -> None:
    minted = apikeys.mint(TenantId("acme"), bytes(32))
    role = apikeys.mint_role_key("billing", bytes(32))
    good = api.keys["acme"]
    answers = []
    for headers in (
        {},
        {"authorization": good},
        {"authorization": f"Basic {good}"},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {minted}"},
        {"authorization": f"Bearer {role}"},
        {"authorization": f"Bearer {good}x"},
        {"authorization": f"Bearer {good.replace('llmp_acme', 'llmp-billing')}"},
        {"authorization": f"Bearer {good.replace('acme', 'globex')}"},
        {"authorization": f"Bearer {api.keys['billing'].replace('billing', 'operator')}"},
        {"x-api-key": good},
    ):
        for path in ("/v1/tenants/acme/costs", "/v1/tenants/never-was/costs", "/v1/costs", "/v1/hours"):
            answer = await api.get(path, params=DAY, headers=headers)
            assert answer.status_code == 401, headers
            assert answer.headers["www-authenticate"].startswith("Bearer ")
            assert answer.headers["cache-control"] == "no-store"
            answers.append(answer)
    twice = [("authorization", f"Bearer {good}"), ("authorization", f"Bearer {api.keys['billing']}")]
    async with httpx.AsyncClient(base_url=api.url, timeout=60) as client:
        answers.append(await client.get("/v1/costs", params=DAY, headers=twice))
    assert answers[-1].status_code == 401
    assert all(answer.json()["code"] == "invalid_api_key" for answer in answers)
    assert (await api.get("/v1/costs", params={**DAY, "key": good})).status_code == 401


async def test_a_tenant_that_is_called_like_a_role_is_a_tenant(api: Billing) -> None:
    api.clock.advance(s=10)  # other tests have had tenants read a moment ago
    api.keys["tenant"] = await Tenants(api.ssm, api.clock).create(TenantPolicy(tenant_id=TenantId("billing")))
    await fill(api)
    assert (await api.get("/v1/costs", "tenant", params=DAY)).status_code == 403
    assert (await api.get("/v1/tenants/globex/costs", "tenant", params=DAY)).status_code == 404
    assert (await api.get("/v1/tenants/billing/costs", "tenant", params=DAY)).json()["rows"] == []


async def test_a_new_key_of_a_role_works_at_once_and_a_revoked_one_after_a_refresh(api: Billing) -> None:
    api.clock.advance(s=10)  # other tests have had the roles read a moment ago
    store = AccessStore(api.ssm, api.clock)
    api.keys["new"] = await store.add_key("billing")
    assert (await api.get("/v1/costs", "new", params=DAY)).status_code == 200
    record = apikeys.record_of(api.keys["new"], NOW)
    await store.revoke_key("billing", record.id)
    assert await api.access.refresh()
    assert (await api.get("/v1/costs", "new", params=DAY)).status_code == 401
    assert (await api.get("/v1/costs", "billing", params=DAY)).status_code == 200


async def test_the_log_has_a_line_a_request_and_no_key(
    api: Billing, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(api)
    caplog.set_level(logging.INFO, logger="costagg.api")
    key = api.keys["acme"]
    answer = await api.get("/v1/tenants/acme/costs", "acme", params=DAY)
    await api.get("/v1/tenants/globex/costs", "acme", params={**DAY, "api_key": key})
    await api.get(f"/v1/tenants/{key}/costs", params={"key": key})
    await api.get(f"/{key}", "acme")
    lines = [vars(record) for record in caplog.records if record.message == "request"]
    told = [(line["route"], line["caller"], line["owner"], line["status"]) for line in lines]
    route = "/v1/tenants/{tenant_id}/costs"
    assert told == [
        (route, "tenant:acme", "acme", 200),
        (route, "tenant:acme", None, 404),
        (route, None, None, 401),
        (None, None, None, 404),
    ]
    assert lines[0]["request_id"] == answer.headers["x-request-id"]
    assert all(line["duration_ms"] >= 0 for line in lines)
    secret = key.rpartition("_")[2]
    assert not any(secret in str(line) for line in lines)
