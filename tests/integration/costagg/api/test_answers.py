"""Faults, health, the documentation and the server's end, as a client meets them."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from costagg.api.server import serve
from harness.billing import HOUR, Billing, a_line, billing
from harness.platform import eventually
from llmplatform.aws.tables import TENANT_COST
from llmplatform.errors import ConfigFault
from sandbox.emulator import Emulator, sandbox_session
from sandbox.provision import create_table

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = {"from": "2026-11-23", "to": "2026-11-24"}


@pytest.mark.parametrize(
    ("query", "param", "says"),
    [
        ({}, "from", "missing; give a UTC day"),
        ({"from": "2026-11-23"}, "to", "missing"),
        ({**DAY, "model": "small", "Month": "1"}, "model", "Month: unknown parameter; known are from, to"),
        ({**DAY, "from": "23.11.2026"}, "from", "as 2026-11-23, or a month"),
        ({**DAY, "from": "2026-02-30"}, "from", "day is out of range"),
        ({**DAY, "from": "٢٠٢٦-11-23"}, "from", "as 2026-11-23"),
        ({**DAY, "to": "2026-11-23"}, "to", "the range is empty"),
        ({"from": "0001-01-01", "to": "0001-01-02"}, "from", "a year from 2000"),
        ({"from": "9999-12-01", "to": "9999-12-31"}, "from", "a year from 2000 to 2999"),
        ({"from": "2026-11", "to": "2028-01"}, "to", "397 days at most by day"),
        ({"from": "2026-11-01", "to": "2026-12-03", "granularity": "hour"}, "to", "31 days at most by hour"),
        ({**DAY, "granularity": "month"}, "from", "whole months"),
        ({"from": "2026-11", "to": "2026-11-30", "granularity": "month"}, "to", "whole months"),
        ({**DAY, "granularity": "week"}, "granularity", "'hour', 'day' or 'month'"),
        ({**DAY, "limit": "1001"}, "limit", "1000"),
        ({**DAY, "limit": "0"}, "limit", "1"),
        ({**DAY, "group_by": "model"}, "group_by", "name some of layer, service"),
        ({**DAY, "group_by": "model_id,model_id"}, "group_by", "each once"),
        ({**DAY, "endpoint_type": "azure"}, "endpoint_type", "'bedrock' or 'sagemaker'"),
        ({**DAY, "format": "xml"}, "format", "'json' or 'csv'"),
        ([("from", "2026-11"), ("from", "2026-12")], "from", "given twice"),
    ],
)
async def test_a_wrong_parameter_is_named_with_its_fix(
    api: Billing, query: Any, param: str, says: str
) -> None:
    answer = await api.get("/v1/tenants/acme/costs", "acme", params=query)
    told = answer.json()
    assert answer.status_code == told["status"] == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert told["param"] == param
    assert says in told["detail"]
    assert told["request_id"] == answer.headers["x-request-id"]


async def test_thirteen_months_can_be_asked_for(api: Billing) -> None:
    query = {"from": "2025-11", "to": "2026-12", "granularity": "month"}
    await api.put(a_line())
    assert len((await api.get("/v1/tenants/acme/costs", "acme", params=query)).json()["rows"]) == 1


async def test_hours_take_no_parameters_of_costs(api: Billing) -> None:
    answer = await api.get("/v1/hours", "billing", params={**DAY, "model_id": "small"})
    assert (answer.status_code, answer.json()["param"]) == (400, "model_id")


async def test_other_paths_and_methods_are_problems_too(api: Billing) -> None:
    answer = await api.get("/v1/nothing", "billing")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    astray = await api.get("/v1/costs/", "billing", params=DAY)
    assert (astray.status_code, "location" in astray.headers) == (404, False)
    async with httpx.AsyncClient(base_url=api.url, timeout=60) as client:
        posted = await client.post("/v1/costs", json={})
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET")


async def test_answers_are_guarded(api: Billing) -> None:
    for path in ("/v1/tenants/acme/costs", "/v1/nothing", "/healthz"):
        answer = await api.get(path, "acme", params=DAY)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert (await api.get("/healthz")).headers["cache-control"] == "no-store"


async def test_health(api: Billing) -> None:
    assert (await api.get("/healthz")).json() == {"status": "alive"}
    ready = await api.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "waiting_for": []})


async def test_the_documentation_has_an_example_of_every_answer(api: Billing) -> None:
    await api.put(a_line())
    described = (await api.get("/openapi.json")).json()
    asked = {
        "/v1/tenants/{tenant_id}/costs": await api.get("/v1/tenants/acme/costs", "acme", params=DAY),
        "/v1/costs": await api.get("/v1/costs", "billing", params=DAY),
        "/v1/hours": await api.get("/v1/hours", "billing", params=DAY),
    }
    assert set(described["paths"]) == {*asked, "/healthz", "/readyz"}
    for path, answer in asked.items():
        route = described["paths"][path]["get"]
        responses = route["responses"]
        real, example = answer.json(), responses["200"]["content"]["application/json"]["example"]
        schema = responses["200"]["content"]["application/json"]["schema"]
        assert list(example) == list(real) == list(schema["properties"])
        assert list(example["rows"][0]) == list(real["rows"][0])
        assert list(schema["properties"]["rows"]["items"]["properties"]) == list(real["rows"][0])
        as_csv = await api.get(str(answer.url), "billing", headers={"accept": "text/csv"})
        told = responses["200"]["content"]["text/csv"]["example"]
        assert told.splitlines()[0] == as_csv.text.splitlines()[0]
        for status in set(responses) - {"200", "304"}:
            assert responses[status]["content"]["application/problem+json"]["example"]["status"] == int(
                status
            )
        names = [parameter["name"] for parameter in route["parameters"]]
        assert {"from", "to", "granularity", "limit", "cursor", "format"} <= set(names)
        assert len(names) == len(set(names))
        assert route["security"] == [{"key": []}]
    docs = await api.get("/docs")
    assert docs.status_code == 200
    assert "https://" not in docs.text


@pytest_asyncio.fixture(loop_scope="module", name="failing")
async def account_of_its_own(tmp_path: Path) -> AsyncIterator[tuple[Emulator, Billing]]:
    async with Emulator(tmp_path) as aws:
        async with sandbox_session().client("dynamodb", endpoint_url=aws.url) as dynamodb:
            await create_table(dynamodb, TENANT_COST)
        async with billing(aws.url) as made:
            await made.put(a_line(hour=HOUR))
            yield aws, made


async def test_a_store_that_is_down_is_told_and_keys_go_on(failing: tuple[Emulator, Billing]) -> None:
    aws, api = failing
    assert (await api.get("/v1/tenants/acme/costs", "acme", params=DAY)).status_code == 200
    await aws.kill()
    for path, who in (("/v1/tenants/acme/costs", "acme"), ("/v1/costs", "billing"), ("/v1/hours", "billing")):
        answer = await api.get(path, who, params=DAY)
        assert (answer.status_code, answer.json()["code"]) == (503, "costs_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["cache-control"] == "no-store"
    assert (await api.get("/v1/tenants/globex/costs", "acme", params=DAY)).status_code == 404
    assert not await api.access.refresh()
    assert (await api.get("/readyz")).status_code == 200


async def test_a_row_that_is_no_cost_line_is_no_silent_gap(failing: tuple[Emulator, Billing]) -> None:
    _, api = failing
    broken = {"tenant_date": {"S": "acme#2026-11-23"}, "line": {"S": "20#x"}}
    await api.dynamodb.put_item(TableName=TENANT_COST.name, Item=broken)
    answer = await api.get("/v1/tenants/acme/costs", "acme", params=DAY)
    assert (answer.status_code, answer.json()["code"]) == (503, "telemetry")


async def test_serving_says_when_it_is_ready_and_ends_in_order(
    api: Billing, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="costagg.api")
    serving = asyncio.create_task(serve(api.app, host="127.0.0.1", port=0, grace_s=5))
    url = await eventually(
        lambda: next(
            (vars(record)["url"] for record in caplog.records if record.message == "billing API is ready"),
            None,
        )
    )
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        answer = await client.get("/healthz")
        assert answer.status_code == 200
        assert "server" not in answer.headers
        endless = await client.get("/healthz", headers={"x-endless": "x" * 1_000_000})
        assert endless.status_code == 400
        os.kill(os.getpid(), signal.SIGTERM)
        await serving
        with pytest.raises(httpx.TransportError):
            await client.get("/healthz")


async def test_a_port_that_is_taken_is_a_fault_of_configuration(api: Billing) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigFault, match="COST_API_PORT"):
            await serve(api.app, host="127.0.0.1", port=taken.getsockname()[1])
