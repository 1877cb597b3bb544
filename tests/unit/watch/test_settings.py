import pytest
from pydantic import ValidationError

from llmplatform.errors import ConfigFault
from watch.settings import WatchSettings, read_settings

ARN = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/watch/50dc6c495c0c9188"
ALB = {"alb_arn": ARN, "oidc_issuer": "https://idp.example.com", "oidc_operator_group": "sre"}


def test_on_a_laptop_nothing_needs_to_be_set() -> None:
    settings = WatchSettings()
    assert (settings.host, settings.port, settings.secure, settings.keys_url) == (
        "127.0.0.1",
        8100,
        False,
        None,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "0.0.0.0"},
        {"host": "0.0.0.0", "public_url": "http://watch.example.com"},
        {"public_url": "watch.example.com"},
        {"public_url": "https://watch.example.com/console"},
        {"session_key": "short"},
        {"alb_arn": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/net/x/1"},
        {"alb_arn": ARN},
        {"alb_arn": ARN, "oidc_issuer": "https://idp.example.com"},
    ],
)
def test_what_would_be_open_or_unusable_does_not_start(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        WatchSettings(**fields)  # type: ignore[arg-type]  # as the environment spells them


def test_the_keys_are_those_of_the_load_balancers_region() -> None:
    settings = WatchSettings(**ALB)  # type: ignore[arg-type]  # texts all
    assert settings.keys_url == "https://public-keys.auth.elb.eu-west-1.amazonaws.com"


def test_a_misspelt_variable_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCH_PROT", "8100")
    with pytest.raises(ConfigFault, match="WATCH_PROT"):
        read_settings()


def test_a_fault_names_the_variable_and_not_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCH_SESSION_KEY", "hunter2")
    with pytest.raises(ConfigFault, match="WATCH_SESSION_KEY") as raised:
        read_settings()
    assert "hunter2" not in str(raised.value)
