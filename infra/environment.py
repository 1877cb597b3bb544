"""`python -m infra.environment`: what the tasks of a deployment go by, for the shell of whoever runs it.

`llm-platform` on a laptop then speaks with that deployment's gateway, knows its models and prices, and makes
the alarms that its alarms job makes. Credentials are the shell's own.
"""

import argparse
import shlex
import sys
from typing import Final

from infra.console import limits_of
from infra.process import data_files
from infra.settings import Deployment, named_deployment
from llmplatform.errors import ConfigFault
from watch.limits import PREFIX as LIMITS_PREFIX
from watch.limits import Limits

_EVERY_LIMIT: Final = tuple(f"{LIMITS_PREFIX}{name.upper()}" for name in Limits.model_fields)


def environment_of(deployment: Deployment) -> dict[str, str | None]:
    """Variables by name; None is one that this deployment does not set and another one may have."""
    none: dict[str, str | None] = dict.fromkeys(_EVERY_LIMIT)
    return {
        **none,
        **limits_of(deployment),
        **{
            name: None if path is None else str(path.resolve())
            for name, path in data_files(deployment).items()
        },
        "AWS_REGION": deployment.region,
        "OPENAI_BASE_URL": f"https://{deployment.hosts.gateway}/v1",
        "WATCH_PUBLIC_URL": deployment.hosts.console_url,
    }


def main() -> None:
    """Print them for `eval`; exits with 2 when the deployment's file is at fault."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.environment", description="A deployment's variables."
    )
    parser.add_argument("deployment", help="dev, prod, or a TOML file like infra/dev.toml")
    try:
        variables = environment_of(named_deployment(parser.parse_args().deployment))
    except ConfigFault as fault:
        sys.stderr.write(f"infra.environment: {fault}\n")
        sys.exit(2)
    sys.stdout.write(f"unset {' '.join(name for name, value in variables.items() if value is None)}\n")
    for name, value in variables.items():
        if value is not None:
            sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


if __name__ == "__main__":
    main()
