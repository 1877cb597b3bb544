"""The ordinary routes: models, health, documents, and what is no route at all."""

import re

import openai
import pytest

from harness.gateway import GatewayUnderTest, running_gateway

BEDROCK, OPENAI, LMI = "scripted-bedrock", "scripted-openai", "scripted-lmi"


async def test_models_are_those_that_the_key_may_use() -> None:
    async with running_gateway(allowed_models=frozenset({BEDROCK, OPENAI})) as gateway:
        client = gateway.openai()
        assert {model.id async for model in client.models.list()} == {BEDROCK, OPENAI}
        model = await client.models.retrieve(OPENAI)
        assert (model.id, model.owned_by) == (OPENAI, "sagemaker")
        for hidden in (LMI, "no-such-model"):
            with pytest.raises(openai.NotFoundError) as missing:
                await client.models.retrieve(hidden)
            assert missing.value.code == "model_not_found"
        assert gateway.records.items == []


async def test_the_list_of_models_is_for_keys_and_their_own_tenant(acme: GatewayUnderTest) -> None:
    acme.add_tenant("globex")
    async with acme.http() as client:
        for headers, status, code in (
            ({"authorization": ""}, 401, "invalid_api_key"),
            ({"authorization": "Bearer wrong"}, 401, "invalid_api_key"),
            ({"x-tenant-id": "globex"}, 403, "tenant_mismatch"),
        ):
            for path in ("/v1/models", f"/v1/models/{BEDROCK}"):
                reply = await client.get(path, headers=headers)
                assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
                assert reply.json()["error"]["trace_id"] == reply.headers["x-trace-id"]


async def test_what_is_no_route_fails_in_the_same_words(acme: GatewayUnderTest) -> None:
    async with acme.http() as client:
        for method, path, status, code in (
            ("GET", "/v1/nothing", 404, "route_not_found"),
            ("POST", "/v1/chat/completions/", 404, "route_not_found"),
            ("DELETE", "/v1/models", 405, "method_not_allowed"),
            ("GET", "/v1/chat/completions", 404, "route_not_found"),
        ):
            reply = await client.request(method, path)
            assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
            assert reply.json()["error"]["trace_id"] == reply.headers["x-trace-id"]


async def test_health_needs_no_key_and_readiness_ends_with_the_admission(acme: GatewayUnderTest) -> None:
    async with acme.http() as client:
        client.headers.clear()
        assert (await client.get("/healthz")).json() == {"status": "alive"}
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"ready": True, "waiting_for": []})
        acme.gateway.stop_admitting()
        draining = await client.get("/readyz")
        assert draining.status_code == 503
        assert draining.json()["waiting_for"] == ["nothing: this task is shutting down"]
        assert (await client.get("/healthz")).status_code == 200


async def test_who_comes_during_the_shutdown_is_sent_elsewhere(acme: GatewayUnderTest) -> None:
    acme.gateway.stop_admitting()
    with pytest.raises(openai.InternalServerError) as refused:
        await acme.openai().chat.completions.create(
            model=BEDROCK, messages=[{"role": "user", "content": "hello"}]
        )
    assert (refused.value.status_code, refused.value.code) == (503, "gateway_overloaded")
    assert refused.value.response.headers["retry-after"] == "1"
    assert (await acme.record()).failed


async def test_the_document_of_the_api_names_every_route(acme: GatewayUnderTest) -> None:
    async with acme.http() as client:
        document = (await client.get("/openapi.json")).json()
        assert {"/v1/chat/completions", "/v1/models", "/healthz", "/readyz"} <= set(document["paths"])
        for path in ("/v1/models", "/v1/models/{model_id}"):
            assert "422" not in document["paths"][path]["get"]["responses"]
            assert "401" in document["paths"][path]["get"]["responses"]
        page = (await client.get("/docs")).text
        sources = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert any(source.endswith(".js") for source in sources)
        for source in sources:  # prompts are typed into that page: nothing of it comes from elsewhere
            assert source.startswith("/")
            assert (await client.get(source)).status_code == 200
