"""What a gateway does when it is told wrong things, or when its AWS is not there yet."""

import asyncio
import socket
from pathlib import Path

import pytest

from harness.platform import CATALOGUE, free_port, isolated, running_laptop, until
from sandbox.children import Child


async def ends(folder: Path, **environment: str) -> tuple[int, list[str]]:
    """The exit status of a gateway that cannot start, and what it wrote."""
    nowhere = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "GATEWAY_PORT": "0",
    }
    child = await Child.start(
        "gateway",
        "gateway",
        environment=isolated({**nowhere, **environment}),
        log_file=folder / "gateway.log",
    )
    try:
        async with asyncio.timeout(60):
            status = await child.ended
    finally:
        child.kill()
    return status, (folder / "gateway.log").read_text().splitlines()


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("GATEWAY_MAX_IN_FLIHGT", "5", "unknown setting GATEWAY_MAX_IN_FLIHGT"),
        ("AWS_EMF_AGENT_ENDPOINT", "udp://127.0.0.1:1", "AWS_EMF_AGENT_ENDPOINT"),
    ],
)
async def test_a_setting_that_makes_no_sense_is_named(
    tmp_path: Path, variable: str, value: str, told: str
) -> None:
    status, lines = await ends(tmp_path, **{variable: value})
    assert status == 2
    assert lines[-1].startswith("gateway: ")
    assert told in lines[-1]
    assert "Traceback" not in "".join(lines)


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, lines = await ends(tmp_path, GATEWAY_PORT=str(port))
    assert status == 2
    assert f"GATEWAY_PORT {port}: cannot listen there" in lines[-1]


async def test_a_broken_catalogue_is_named_to_the_field(tmp_path: Path) -> None:
    catalogue = tmp_path / "models.toml"
    catalogue.write_text(CATALOGUE.replace("max_attempts = 1", "max_attempts = 99", 1))
    status, lines = await ends(tmp_path, LLM_PLATFORM_CATALOGUE=str(catalogue))
    assert status == 2
    assert "models.scripted-bedrock.max_attempts" in lines[-1]


async def test_a_gateway_waits_for_parameter_store_and_says_so(tmp_path: Path) -> None:
    async with (
        running_laptop(tmp_path, started=False) as laptop,
        laptop.gateway(ready=False, GATEWAY_POLICY_REFRESH_S="1") as gateway,
        gateway.http() as client,
    ):
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
        assert alive.status_code == 200
        assert ready.status_code == 503
        assert "Parameter Store" in ready.json()["waiting_for"][0]
        asked = {"model": "scripted-bedrock", "messages": [{"role": "user", "content": "hello"}]}
        early = await client.post("/v1/chat/completions", json=asked)
        assert early.status_code == 503  # and not 401: nobody can say yet that the key is bad

        await laptop.aws.start()
        await laptop.furnish()
        assert await until(client.get, "/readyz")
        reply = await until(client.post, "/v1/chat/completions", json=asked)
        rows = await laptop.rows_of({reply.headers["x-request-id"], early.headers["x-request-id"]})
        assert {row.tenant_id for row in rows.values()} == {"acme", "_unknown"}
