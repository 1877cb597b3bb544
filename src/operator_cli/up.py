"""`llm-platform up`, as a person sees it: each step with its time, then how to talk to the platform."""

import asyncio
import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import typer
from rich.markup import escape

from costagg.settings import read_settings as read_cost_settings
from evalworker.settings import read_settings as read_evaluation_settings
from gateway.settings import read_settings as read_gateway_settings
from operator_cli.console import ERR, OUT
from sandbox.children import ChildFailed
from sandbox.settings import SandboxSettings
from sandbox.state import Running
from sandbox.up import up
from watch.settings import read_settings as read_watch_settings

_BODY = {
    "model": "smollm2-135m",
    "stream": True,
    "messages": [{"role": "user", "content": "Why is the sky blue? One sentence."}],
}


class Terminal:
    """Tells a terminal, or a file, what `up` does."""

    def step(self, name: str, seconds: float) -> None:
        """Print a step that is done."""
        OUT.print(f"  [green]✓[/green] {name} [dim]{seconds:.1f} s[/dim]")

    def note(self, text: str) -> None:
        """Print something to know."""
        ERR.print(f"  [yellow]![/yellow] {text}", markup=True)

    def failed(self, reason: str) -> None:
        """Print why it ends."""
        ERR.print(f"[red]error:[/red] {escape(reason)}")

    def stopping(self) -> None:
        """Print that the end has begun."""
        OUT.print("\nstopping: streams may end first; Ctrl-C again ends everything at once")

    def ready(self, running: Running, seconds: float) -> None:
        """Print how to talk to the platform. Nothing is boxed in or wrapped, so that it can be copied."""
        OUT.print(f"\n[bold green]ready[/bold green] in {seconds:.1f} s\n")
        OUT.print(f"  gateway   [bold]{running.gateway_url}[/bold]   (docs: {running.gateway_url}/docs)")
        for tenant in running.sandbox.tenants:
            OUT.print(f"  key       {tenant.api_key}   (tenant {tenant.tenant_id})")
        OUT.print(f"  billing   [bold]{running.billing_url}[/bold]   (docs: {running.billing_url}/docs)")
        for role, key in running.sandbox.role_keys.items():
            OUT.print(f"  key       {key}   (role {role})")
        OUT.print(f"  console   [bold]{running.console_url}[/bold]   (sign in with one of these keys)")
        OUT.print("\nAsk the model:\n")
        print(curl(running))
        command = command_here(os.environ, Path.cwd())
        OUT.print(f'\nor in another terminal, from here:  eval "$({command} env)"', markup=False)
        OUT.print(f'                                    {command} chat "Tell me a joke"', markup=False)
        OUT.print(f"                                    {command} cost", markup=False)
        OUT.print("\nCtrl-C stops everything.")


def curl(running: Running) -> str:
    """A command that streams an answer of the small model into the terminal."""
    return (
        f"curl -N {running.openai_base_url}/chat/completions \\\n"
        f"  -H 'authorization: Bearer {running.key_of()}' \\\n"
        "  -H 'content-type: application/json' \\\n"
        f"  -d '{json.dumps(_BODY)}'"
    )


def command_here(environ: Mapping[str, str], folder: Path) -> str:
    """How this very command, on this very state, is called from a shell in `folder`."""
    script = Path(sys.executable).with_name("llm-platform")
    word = shlex.quote(str(script.relative_to(folder) if script.is_relative_to(folder) else script))
    state = environ.get("LLM_PLATFORM_STATE")
    return f"LLM_PLATFORM_STATE={shlex.quote(state)} {word}" if state else word


def run_up() -> None:
    """Run everything until Ctrl-C; exit status 1 when a part of it ended by itself.

    Raises ConfigFault at once for a setting that would stop it later.
    """
    read_gateway_settings()
    read_evaluation_settings()
    read_cost_settings()
    read_watch_settings()
    SandboxSettings.read()
    OUT.print("starting the platform")
    try:
        asyncio.run(up(Terminal()))
    except ChildFailed as failed:  # told already, before the rest was stopped
        raise typer.Exit(1) from failed
    OUT.print("stopped")
