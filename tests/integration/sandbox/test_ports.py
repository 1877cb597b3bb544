import socket
from pathlib import Path

import pytest

from sandbox.state import read_ports, write_ports
from sandbox.up import address_of, sandbox_ports


@pytest.fixture(name="free")
def free_ports() -> list[int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return [one.getsockname()[1], two.getsockname()[1]]


def test_the_last_ports_are_taken_again_unless_another_is_wished_for_or_they_are_taken(
    tmp_path: Path, free: list[int]
) -> None:
    write_ports(tmp_path, {"GATEWAY_PORT": free[0], "SANDBOX_AWS_PORT": free[1]})
    last = read_ports(tmp_path)
    notes: list[str] = []
    assert address_of("GATEWAY", {}, last, 8080, notes.append).port == free[0]
    assert sandbox_ports({}, last) == {"SANDBOX_AWS_PORT": str(free[1])}
    assert sandbox_ports({"SANDBOX_AWS_PORT": "0"}, last) == {}
    assert sandbox_ports({"GATEWAY_PORT": str(free[1])}, last) == {}
    assert not notes
    with socket.create_server(("127.0.0.1", free[0])), socket.create_server(("127.0.0.1", free[1])):
        assert address_of("GATEWAY", {}, last, 8080, notes.append).port != free[0]
        assert sandbox_ports({}, last) == {}
    assert f"port {free[0]} is taken" in notes[0]
