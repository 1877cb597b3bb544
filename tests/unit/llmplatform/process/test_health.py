import pytest
from pydantic_settings import BaseSettings

from costagg.settings import CostSettings
from gateway.settings import GatewaySettings
from llmplatform.process.health import PORTS, health_url
from watch.settings import WatchSettings

TINI = ("tini", "--", "python", "-m")
SETTINGS: dict[str, type[BaseSettings]] = {
    "gateway": GatewaySettings,
    "costagg serve": CostSettings,
    "watch": WatchSettings,
}


@pytest.mark.parametrize(
    ("command", "url"),
    [
        (("gateway",), "http://127.0.0.1:8080/healthz"),
        (("costagg", "serve"), "http://127.0.0.1:8090/healthz"),
        (("watch",), "http://127.0.0.1:8100/healthz"),
        (("watch", "--until-stdin-ends"), "http://127.0.0.1:8100/healthz"),
    ],
)
def test_the_containers_command_says_what_to_ask(command: tuple[str, ...], url: str) -> None:
    assert health_url((*TINI, *command, ""), {}) == url


@pytest.mark.parametrize(
    "command",
    [
        ("evalworker", "run"),
        ("evalworker", "drift"),
        ("costagg", "run", "--every", "3600"),
        ("watch", "apply", "--platform-wide"),
    ],
)
def test_a_process_that_serves_no_port_is_asked_nothing(command: tuple[str, ...]) -> None:
    assert health_url((*TINI, *command, ""), {}) is None


def test_a_command_that_is_no_module_is_asked_nothing() -> None:
    assert health_url(("tini", "--", "llm-platform", "doctor", ""), {}) is None


def test_a_port_that_is_chosen_is_the_one_that_is_asked() -> None:
    assert health_url((*TINI, "gateway", ""), {"GATEWAY_PORT": "9"}) == "http://127.0.0.1:9/healthz"


def test_the_ports_are_those_of_the_settings() -> None:
    for process, (variable, port) in PORTS.items():
        settings = SETTINGS[process]
        field = variable.removeprefix(settings.model_config["env_prefix"]).lower()
        assert settings.model_fields[field].default == port
