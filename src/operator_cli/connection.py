"""Which AWS and which gateway a command talks to: what the environment says, else this checkout's laptop.

The laptop is taken only where the environment names no AWS at all, and the command says so on stderr.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from operator_cli.console import ERR, CommandFailed
from sandbox.state import NothingRuns, read_running, state_folder

_NAMES_AN_AWS: Final = (
    "AWS_ENDPOINT_URL",
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)
DEFAULT_REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True)
class GatewayConnection:
    """An OpenAI-speaking address and a key for it."""

    base_url: str
    """With `/v1` at its end."""
    api_key: str

    @property
    def root(self) -> str:
        """The gateway itself, where `/readyz` is."""
        return self.base_url.removesuffix("/").removesuffix("/v1")


def connect_aws() -> str:
    """Make the environment name an AWS, and return its region.

    Raises NothingRuns when it names none, no laptop's runs, and the SDK knows no credentials of its own.
    """
    if not any(name.startswith(_NAMES_AN_AWS) for name in os.environ):
        try:
            running = read_running(state_folder())
        except NothingRuns:
            if not _sdk_has_credentials():
                raise
        else:
            ERR.print(f"[dim]using the laptop's AWS of {state_folder()}[/dim]")
            os.environ.update(running.sandbox.environment)
            os.environ.update(running.sandbox.settings | os.environ)
            os.environ.update(loopback_without_proxy(os.environ))
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or DEFAULT_REGION


def connect_gateway(tenant: str | None = None) -> GatewayConnection:
    """The gateway of `OPENAI_BASE_URL` and `OPENAI_API_KEY`, else the laptop's with a seeded tenant's key."""
    base_url, api_key = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")
    if base_url and api_key and tenant is None:
        return GatewayConnection(base_url, api_key)
    running = read_running(state_folder())
    key = running.key_of(tenant)
    if key is None:
        known = ", ".join(seeded.tenant_id for seeded in running.sandbox.tenants)
        raise CommandFailed(
            f"the key of tenant {tenant} is not known here, only those of {known}; "
            "set OPENAI_BASE_URL and OPENAI_API_KEY instead"
        )
    ERR.print(f"[dim]using the laptop's gateway of {state_folder()}[/dim]")
    return GatewayConnection(running.openai_base_url, key)


def catalogue_in_force(environ: Mapping[str, str]) -> Path | None:
    """The catalogue file of the gateways of this environment; None is the platform's own."""
    named = environ.get("LLM_PLATFORM_CATALOGUE")
    if named:
        return Path(named)
    try:
        sandbox = read_running(state_folder()).sandbox
    except NothingRuns:
        return None
    ours = environ.get("AWS_ENDPOINT_URL") == sandbox.environment["AWS_ENDPOINT_URL"]
    return sandbox.catalogue if ours else None


def _sdk_has_credentials() -> bool:
    """Whether the SDK finds any where it looks besides the environment: its files, the instance's role."""
    from botocore.session import Session  # noqa: PLC0415  # half a second less for who needs it not

    return Session().get_credentials() is not None


def loopback_without_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """`NO_PROXY` with loopback in it, where a proxy would otherwise be asked for it."""
    if not any(name.lower() in {"http_proxy", "https_proxy", "all_proxy"} for name in environ):
        return {}
    present = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    names = [name for name in present.split(",") if name]
    merged = ",".join(dict.fromkeys([*names, "127.0.0.1", "localhost"]))
    return {"NO_PROXY": merged, "no_proxy": merged}
