from pathlib import Path

import pytest

from sandbox.state import (
    RunsAlready,
    held,
    read_keys,
    read_ports,
    state_folder,
    write_keys,
    write_private,
)
from sandbox.up import child_environment


def test_one_folder_is_held_once_and_another_is_not_disturbed(tmp_path: Path) -> None:
    with (
        held(tmp_path / "a"),
        held(tmp_path / "b"),
        pytest.raises(RunsAlready, match="LLM_PLATFORM_STATE"),
        held(tmp_path / "a"),
    ):
        pass
    with held(tmp_path / "a"):
        pass


def test_the_folder_is_the_checkouts_wherever_the_command_is_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LLM_PLATFORM_STATE", raising=False)
    monkeypatch.chdir(tmp_path)
    elsewhere = state_folder()
    monkeypatch.chdir("/")
    assert state_folder() == elsewhere
    monkeypatch.setenv("LLM_PLATFORM_STATE", str(tmp_path))
    assert state_folder() == tmp_path


def test_keys_survive_and_are_their_owners_alone(tmp_path: Path) -> None:
    assert read_keys(tmp_path) == {}
    write_keys(tmp_path, {"acme": "k"})
    assert read_keys(tmp_path) == {"acme": "k"}
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_broken_file_of_keys_counts_as_none(tmp_path: Path, text: str) -> None:
    write_private(tmp_path / "keys.json", text)
    assert read_keys(tmp_path) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"GATEWAY_PORT": "x"}'])
def test_a_broken_file_of_ports_counts_as_none(tmp_path: Path, text: str) -> None:
    write_private(tmp_path / "ports.json", text)
    assert read_ports(tmp_path) == {}


def test_a_child_is_sent_to_no_real_account_and_through_no_proxy() -> None:
    mine = {
        "AWS_PROFILE": "prod",
        "OTEL_EXPORTER_OTLP_HEADERS": "k=v",
        "HTTP_PROXY": "http://p",
        "PATH": "/bin",
    }
    environment = child_environment(mine, {"AWS_REGION": "us-east-1"})
    assert environment == {
        "PATH": "/bin",
        "HTTP_PROXY": "http://p",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "AWS_REGION": "us-east-1",
    }
