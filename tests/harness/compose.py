"""The stack of docker-compose.yml, brought up under a project and on ports of its own, and taken down."""
# ruff: noqa: S603 - what is started here is the container engine's command

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.platform import free_port

ROOT: Final = Path(__file__).parents[2]
UP_WITHIN_S: Final = 300
_PROJECT: Final = "llm-platform-test"
_PORTS: Final = (
    "GATEWAY_PORT",
    "COST_API_PORT",
    "WATCH_PORT",
    "GRAFANA_PORT",
    "SANDBOX_AWS_PORT",
    "SANDBOX_RUNTIME_PORT",
    "SANDBOX_OTLP_PORT",
    "LOCALSTACK_PORT",
)
_EXPORT: Final = re.compile(r"(\w+)=(\S*)")


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack that is up, in the engine that `docker` talks to."""

    environment: dict[str, str]
    """Of every command: what it chooses, and nothing of the shell's that it would heed."""
    has_grafana: bool
    """Whether Grafana's image can be had."""

    def docker(self, *arguments: str, within_s: float = 120) -> str:
        """What a command of the engine prints. Raises AssertionError with what it says when it fails."""
        return self._run(("docker", *arguments), within_s).stdout

    def compose(self, *arguments: str, within_s: float = 120) -> str:
        """The same of `docker compose`."""
        return self.docker("compose", *arguments, within_s=within_s)

    def fails(self, *arguments: str) -> str:
        """What a command of `docker compose` says that ends with exit status 1."""
        done = self._run(("docker", "compose", *arguments), 120, status=1)
        return done.stderr

    def inside(self, service: str, *command: str) -> str:
        """What a command prints in a service's container."""
        return self.compose("exec", "-T", service, *command)

    def container(self, service: str) -> dict[str, Any]:
        """All that the engine knows of a service's container, one that has ended too."""
        (found,) = json.loads(self.docker("inspect", self.compose("ps", "--all", "--quiet", service).strip()))
        return dict(found)

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        """Services as compose reads them, those of profiles left out."""
        return dict(json.loads(self.compose("config", "--format", "json"))["services"])

    def exports(self) -> dict[str, str]:
        """The variables that `scripts/compose-env` prints."""
        printed = self._run((str(ROOT / "scripts/compose-env"),), 120).stdout
        lines = (shlex.split(line) for line in printed.splitlines() if line.startswith("export "))
        words = (_EXPORT.fullmatch(word) for line in lines for word in line[1:])
        return {word[1]: word[2] for word in words if word is not None}

    def kept(self) -> dict[str, set[str]]:
        """Containers, networks and volumes that the engine has, this stack's and others'."""
        listed = {"container": ("--all",), "network": (), "volume": ()}
        return {kind: set(self.docker(kind, "ls", "--quiet", *more).split()) for kind, more in listed.items()}

    def _run(
        self, command: Sequence[str], within_s: float, status: int = 0
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        assert done.returncode == status, f"{shlex.join(command)} ends with {done.returncode}: {done.stderr}"
        return done


@contextmanager
def stack_up() -> Iterator[Stack]:
    """A stack of everything but, where its image cannot be had, Grafana; nothing of it is left afterwards."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"} or "DOCKER" in name}
    ports = {name: str(free_port()) for name in _PORTS}
    stack = Stack({**kept, **ports, "COMPOSE_PROJECT_NAME": _PROJECT}, has_grafana=False)
    services = stack.services
    stack = Stack(stack.environment, has_grafana=_can_be_had(stack, services["grafana"]["image"]))
    wanted = [name for name in services if name != "grafana" or stack.has_grafana]
    stack.compose("down", "--volumes", within_s=UP_WITHIN_S)  # of a run that was cut short
    before = stack.kept()
    try:
        try:
            stack.compose("up", "--no-build", "--detach", "--wait", *wanted, within_s=UP_WITHIN_S)
        except AssertionError as failed:
            raise AssertionError(f"{failed}\n{stack.compose('logs', '--tail', '20')}") from failed
        yield stack
    finally:
        stack.compose("down", "--volumes", within_s=UP_WITHIN_S)
    left = {kind: ids - before[kind] for kind, ids in stack.kept().items()}
    assert not any(left.values()), f"`down` leaves {left}"


def _can_be_had(stack: Stack, image: str) -> bool:
    try:
        stack.docker("image", "inspect", image)
    except AssertionError:
        try:
            stack.docker("pull", "--quiet", image, within_s=UP_WITHIN_S)
        except (AssertionError, subprocess.TimeoutExpired):
            return False
    return True
