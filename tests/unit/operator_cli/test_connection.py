import os
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from operator_cli.connection import connect_aws, connect_gateway, loopback_without_proxy
from operator_cli.console import CommandFailed
from operator_cli.env import show_env
from operator_cli.up import command_here, curl
from sandbox.settings import SandboxSettings
from sandbox.state import NothingRuns, Running, Sandbox, SeededTenant, held, write_running

ACME = SeededTenant(tenant_id="acme", api_key="llmp_acme_x")
GLOBEX = SeededTenant(tenant_id="globex-health", api_key="llmp_globex-health_y")
RUNNING = Running(
    pid=1,
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
    gateway_url="http://127.0.0.1:4711",
    billing_url="http://127.0.0.1:4716",
    console_url="http://127.0.0.1:4717",
    sandbox=Sandbox(
        environment={
            "AWS_ENDPOINT_URL": "http://127.0.0.1:4712",
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:4715",
            "AWS_REGION": "us-east-1",
        },
        emf_address="tcp://127.0.0.1:4713",
        otlp_url="http://127.0.0.1:4714",
        catalogue=Path("models.toml"),
        tenants=(ACME, GLOBEX),
        role_keys={"billing": "llmp-billing_z"},
    ),
)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith(("AWS_", "OPENAI_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LLM_PLATFORM_STATE", str(tmp_path))
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(name="laptop")
def running_laptop(tmp_path: Path) -> Iterator[None]:
    with held(tmp_path):
        write_running(tmp_path, RUNNING)
        yield


@pytest.mark.usefixtures("laptop")
def test_the_laptop_is_taken_and_said_where_the_environment_names_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert connect_aws() == "us-east-1"
    assert os.environ["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4712"
    assert "using the laptop's AWS" in capsys.readouterr().err


@pytest.mark.usefixtures("laptop")
@pytest.mark.parametrize(
    "name", ["AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SSM", "AWS_ROLE_ARN"]
)
def test_an_environment_that_names_an_aws_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setenv(name, "mine")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert connect_aws() == "eu-central-1"
    assert os.environ[name] == "mine"
    assert not capsys.readouterr().err


@pytest.mark.usefixtures("laptop")
def test_the_gateway_of_the_environment_wins_unless_a_tenant_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/v1/")
    monkeypatch.setenv("OPENAI_API_KEY", "mine")
    assert connect_gateway().root == "https://gateway.example"
    assert connect_gateway().api_key == "mine"
    assert connect_gateway("globex-health").api_key == GLOBEX.api_key


@pytest.mark.usefixtures("laptop")
def test_a_tenant_whose_key_nobody_has_is_refused() -> None:
    assert connect_gateway().api_key == ACME.api_key
    with pytest.raises(CommandFailed, match="those of acme, globex-health"):
        connect_gateway("initech")


def test_without_anything_running_the_fix_is_told(tmp_path: Path) -> None:
    with pytest.raises(NothingRuns, match="make up"):
        connect_gateway()
    write_running(tmp_path, RUNNING)  # left behind by a crash: nobody holds the folder
    with pytest.raises(NothingRuns, match="make up"):
        connect_gateway()


@pytest.mark.usefixtures("laptop")
def test_exports_are_what_a_shell_reads(capsys: pytest.CaptureFixture[str]) -> None:
    show_env(as_json=False)
    unset, *exports = capsys.readouterr().out.splitlines()
    assert unset.split() == ["unset", "AWS_PROFILE", "AWS_SESSION_TOKEN"]
    words = [shlex.split(line) for line in exports]
    assert {word[0] for word in words} == {"export"}
    told = dict(word[1].split("=", 1) for word in words)
    assert told["OPENAI_BASE_URL"] == "http://127.0.0.1:4711/v1"
    assert told["OPENAI_API_KEY"] == ACME.api_key
    assert told["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4712"


def test_a_proxy_is_not_asked_for_loopback() -> None:
    assert loopback_without_proxy({"NO_PROXY": "corp"}) == {}
    merged = loopback_without_proxy({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "corp,localhost"})
    assert merged["NO_PROXY"] == merged["no_proxy"] == "corp,localhost,127.0.0.1"


def test_the_curl_that_up_prints_is_one_command_for_a_shell() -> None:
    words = shlex.split(curl(RUNNING).replace("\\\n", " "))
    assert words[0] == "curl"
    assert "http://127.0.0.1:4711/v1/chat/completions" in words
    assert f"authorization: Bearer {ACME.api_key}" in words


def test_the_command_that_up_prints_is_this_one_on_this_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/home/me/platform/.venv/bin/python")
    here, elsewhere = Path("/home/me/platform"), Path("/")
    assert command_here({}, here) == ".venv/bin/llm-platform"
    assert command_here({}, elsewhere / "srv") == "/home/me/platform/.venv/bin/llm-platform"
    words = shlex.split(command_here({"LLM_PLATFORM_STATE": "/var/my state"}, here))
    assert words == ["LLM_PLATFORM_STATE=/var/my state", ".venv/bin/llm-platform"]


def test_every_port_of_a_running_platform_is_known_by_its_variable() -> None:
    assert RUNNING.ports == {
        "COST_API_PORT": 4716,
        "GATEWAY_PORT": 4711,
        "SANDBOX_AWS_PORT": 4712,
        "SANDBOX_EMF_PORT": 4713,
        "SANDBOX_OTLP_PORT": 4714,
        "SANDBOX_RUNTIME_PORT": 4715,
        "WATCH_PORT": 4717,
    }
    assert set(RUNNING.ports) - {"COST_API_PORT", "GATEWAY_PORT", "WATCH_PORT"} == {
        f"SANDBOX_{name.upper()}" for name in SandboxSettings.model_fields if name.endswith("_port")
    }


def test_nothing_that_shows_a_running_platform_shows_its_keys() -> None:
    assert ACME.api_key not in repr(RUNNING)
    assert RUNNING.sandbox.role_keys["billing"] not in repr(RUNNING)
