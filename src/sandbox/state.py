"""The one folder that a laptop's platform keeps things in, and what it says about a running one.

`.state` in the checkout, or the folder that `LLM_PLATFORM_STATE` names: two checkouts do not disturb each
other. `running.json` in it tells where everything is; it counts only while `up` holds the lock beside it.
"""

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_VARIABLE: Final = "LLM_PLATFORM_STATE"


class NothingRuns(Exception):
    """No platform runs on this state folder; the message says what to do."""


class RunsAlready(Exception):
    """Another `up` holds this state folder."""


class SeededTenant(BaseModel):
    """A tenant that was put in at the start, with its key: these are nobody's secrets."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    api_key: str = Field(repr=False)


class Sandbox(BaseModel):
    """A running laptop AWS: where everything in it is."""

    model_config = ConfigDict(frozen=True)

    environment: dict[str, str]
    """What points AWS SDKs here."""
    emf_address: str
    otlp_url: str
    catalogue: Path
    settings: dict[str, str] = Field(default_factory=dict)
    """Of the processes beside the gateway: the laptop's judge, catalogue and prices."""
    role_keys: dict[str, str] = Field(default_factory=dict, repr=False)
    """Keys that see every tenant, by role."""
    tenants: tuple[SeededTenant, ...] = Field(min_length=1)


class Running(BaseModel):
    """A running platform: all that a client of it needs."""

    model_config = ConfigDict(frozen=True)

    pid: int
    """Of `up`; ending it ends everything."""
    started_at: datetime
    gateway_url: str
    billing_url: str
    console_url: str
    sandbox: Sandbox

    @property
    def openai_base_url(self) -> str:
        """What an OpenAI client calls `base_url`."""
        return f"{self.gateway_url}/v1"

    @property
    def ports(self) -> dict[str, int]:
        """Every port in use, by the variable that chooses it."""
        environment = self.sandbox.environment
        addresses = {
            "GATEWAY_PORT": self.gateway_url,
            "COST_API_PORT": self.billing_url,
            "WATCH_PORT": self.console_url,
            "SANDBOX_AWS_PORT": environment.get("AWS_ENDPOINT_URL_CLOUDWATCH")
            or environment["AWS_ENDPOINT_URL"],
            "SANDBOX_RUNTIME_PORT": environment["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"],
            "SANDBOX_EMF_PORT": self.sandbox.emf_address,
            "SANDBOX_OTLP_PORT": self.sandbox.otlp_url,
        }
        return {name: port for name, url in addresses.items() if (port := urlsplit(url).port) is not None}

    def key_of(self, tenant_id: str | None = None) -> str | None:
        """The key of a seeded tenant, by default of the first one; None for a tenant that was not seeded."""
        tenants = self.sandbox.tenants
        wanted = tenants[0].tenant_id if tenant_id is None else tenant_id
        return next((tenant.api_key for tenant in tenants if tenant.tenant_id == wanted), None)


def state_folder() -> Path:
    """The folder of this checkout, wherever the command is called from; it need not exist yet."""
    named = os.environ.get(_VARIABLE)
    if named:
        return Path(named).absolute()
    checkout = Path(sys.prefix).parent
    return (checkout if (checkout / "pyproject.toml").exists() else Path.cwd()) / ".state"


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder for one `up`. Raises RunsAlready when another one does; a crash lets go of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunsAlready(
                f"the platform runs already on {folder}; stop it, or set {_VARIABLE} to another folder"
            ) from error
        yield


def write_running(folder: Path, running: Running) -> None:
    """Tell other commands where everything is."""
    write_private(folder / "running.json", running.model_dump_json(indent=2))


def forget_running(folder: Path) -> None:
    """Take back what `write_running` told."""
    (folder / "running.json").unlink(missing_ok=True)


def read_running(folder: Path) -> Running:
    """What runs on this folder. Raises NothingRuns."""
    if not _is_held(folder):
        raise NothingRuns(_start_it(folder))
    try:
        return Running.model_validate_json((folder / "running.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise NothingRuns(f"the platform on {folder} is still starting; try again") from error


def read_keys(folder: Path) -> dict[str, str]:
    """The seeded keys as the last start left them, by tenant or `role/` and its name."""
    try:
        keys = json.loads((folder / "keys.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(holder): str(key) for holder, key in keys.items()} if isinstance(keys, dict) else {}


def write_keys(folder: Path, keys: dict[str, str]) -> None:
    """Keep the seeded keys, so that the next start has the same ones."""
    write_private(folder / "keys.json", json.dumps(keys, indent=2))


def read_ports(folder: Path) -> dict[str, int]:
    """The ports of the last start, by the variable that chooses each; see `Running.ports`."""
    try:
        ports = json.loads((folder / "ports.json").read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(ports, dict):
        return {}
    return {str(name): port for name, port in ports.items() if isinstance(port, int)}


def write_ports(folder: Path, ports: dict[str, int]) -> None:
    """Keep the ports, so that the next start is where clients and exported variables look for it."""
    write_private(folder / "ports.json", json.dumps(ports, indent=2))


def _is_held(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    try:
        with held(folder):
            return False
    except RunsAlready:
        return True


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _start_it(folder: Path) -> str:
    return f"nothing runs on {folder}; `make up` starts it ({_VARIABLE} names another folder)"
