"""`llm-platform`: the operator's command. What each subcommand does is in the room of its name."""

import os
import sys
from typing import Annotated

import typer
from rich.markup import escape

from llmplatform.errors import PlatformFault
from operator_cli.access import access
from operator_cli.connection import connect_aws, connect_gateway
from operator_cli.console import ERR, STALE, CommandFailed
from operator_cli.cost import cost
from operator_cli.estimate.command import estimate
from operator_cli.evals import evals
from operator_cli.tenant import tenants
from operator_cli.version import version_line
from operator_cli.watch import watch
from sandbox.state import NothingRuns, RunsAlready

# Rooms that bring the AWS SDK or the sandbox are imported by their command: a second less for all others.

app = typer.Typer(
    name="llm-platform",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run, ask and look into the LLM observability gateway.",
)
app.add_typer(tenants, name="tenant")
app.add_typer(access, name="access")
app.add_typer(evals, name="evals")
app.add_typer(watch, name="watch")
app.command()(cost)
app.command()(estimate)


def _version(asked: bool) -> None:  # noqa: FBT001  # typer calls it so
    if asked:
        print(version_line(os.environ))
        raise typer.Exit


@app.callback()
def options(
    *,
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show version and commit, and exit."
        ),
    ] = False,
) -> None:
    """Run, ask and look into the LLM observability gateway."""


@app.command()
def up() -> None:
    """Start the laptop's AWS and the gateway; print how to talk to them; stop all of it on Ctrl-C.

    GATEWAY_PORT chooses the gateway's port (0 is any free one), LLM_PLATFORM_STATE the folder for its state,
    LLM_PLATFORM_CATALOGUE another model catalogue.
    """
    from operator_cli.up import run_up  # noqa: PLC0415

    run_up()


@app.command()
def env(*, as_json: Annotated[bool, typer.Option("--json", help="The same for programs.")] = False) -> None:
    """Print shell exports that connect OpenAI clients and AWS SDKs to the running laptop platform.

    Example: eval "$(llm-platform env)"
    """
    from operator_cli.env import show_env  # noqa: PLC0415

    show_env(as_json=as_json)


@app.command()
def chat(
    message: Annotated[
        str | None, typer.Argument(help="What to say; without it, a conversation begins.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Public model name; by default the first one.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", "-t", help="A seeded tenant of the laptop, with its key.")
    ] = None,
    *,
    no_stream: Annotated[bool, typer.Option("--no-stream", help="Wait for the whole answer.")] = False,
) -> None:
    """Talk to a model through the gateway: OPENAI_BASE_URL and OPENAI_API_KEY, else the laptop's.

    Example: llm-platform chat "Why is the sky blue?" --model smollm2-135m
    """
    from operator_cli.chat import run_chat  # noqa: PLC0415

    run_chat(connect_gateway(tenant), message, model=model, stream=not no_stream)


@app.command()
def trace(
    any_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="A trace id in any form, a request id, or an answer's id.", show_default=False
        ),
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The same for programs.")] = False,
) -> None:
    """Show the life of a request: gateway, backend, tokens, timings, outcome; from the ledger and the spans.

    ID is what a response's x-trace-id says (a UUID), the same as 32 hex digits or in X-Ray's form, or what
    its x-request-id or the answer's own id (chatcmpl-...) says. A trace may hold several requests; all are
    shown.

    Example: llm-platform trace 7c1e7f9a-3d0b-4b6e-9d0c-0d6b5c1e2f3a
    """
    from operator_cli.trace import run_trace  # noqa: PLC0415

    run_trace(any_id, region=connect_aws(), as_json=as_json)


@app.command()
def doctor(
    *,
    aws: Annotated[
        bool,
        typer.Option(
            "--aws",
            help="Before traffic: model access, quotas, tracing, keys, log retention, budget, clock as well.",
        ),
    ] = False,
    tokens_per_minute: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --aws: what the busiest minute takes of a model; `llm-platform estimate` tells."
        ),
    ] = None,
) -> None:
    """Check configuration, endpoints, tables, tenants, tokenizers and lifecycle dates, with a fix for each.

    Exit status 1 when something fails.

    Example: llm-platform doctor --aws --tokens-per-minute 2000000
    """
    from operator_cli.doctor import run_doctor  # noqa: PLC0415

    region = connect_aws()
    if not run_doctor(region, os.environ, account=aws, tokens_per_minute=tokens_per_minute):
        raise typer.Exit(1)


def main() -> None:
    """Entry of the command: an error is one line on stderr and exit status 1."""
    try:
        app()
    except (CommandFailed, NothingRuns, RunsAlready, PlatformFault) as failed:
        fail(str(failed))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        line = foreign_fault(error)
        if line is None:
            raise
        fail(line)


def foreign_fault(error: Exception) -> str | None:
    """One line for what the AWS SDK, HTTP and the sandbox raise; None for a fault of ours."""
    kind = type(error)
    name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    if name == "botocore.EndpointConnectionError" and "://127.0.0.1" in str(error):
        return f"AWS: {error} {STALE}"
    if name.startswith("botocore."):
        return f"AWS: {error} (`llm-platform doctor` checks the connection)"
    if name == "httpx.ConnectError":
        return f"the gateway cannot be reached: {error}; {STALE}"
    if name.startswith(("httpx.", "httpcore.")):
        return f"the gateway cannot be reached: {error} (`make up` starts one; OPENAI_BASE_URL names one)"
    if name in {"sandbox.ChildFailed", "sandbox.CannotStart", "sandbox.EmulatorError"}:
        return str(error)
    return None


def fail(line: str) -> None:
    """Print the one line, and end."""
    ERR.print(f"[red]error:[/red] {escape(line)}")
    sys.exit(1)


if __name__ == "__main__":
    main()
