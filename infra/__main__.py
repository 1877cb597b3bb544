"""`python -m infra`: writes the CloudFormation templates of a deployment. Needs no account."""

import argparse
import sys
from pathlib import Path

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks
from jsii.errors import JavaScriptError, JSIIError

from infra.app import Platform
from infra.settings import named_deployment
from llmplatform.errors import ConfigFault


def main() -> None:
    """Write them; exits with 1 for a finding of cdk-nag, with 2 when the deployment's file is at fault."""
    parser = argparse.ArgumentParser(prog="python -m infra", description="The deployment as templates.")
    parser.add_argument(
        "deployment", nargs="?", default="dev", help="dev, prod, or a TOML file like infra/dev.toml"
    )
    parser.add_argument("--out", type=Path, default=None, help="folder for the templates; default: cdk.out")
    arguments = parser.parse_args()
    try:
        deployment = named_deployment(arguments.deployment)
        app = App(outdir=None if arguments.out is None else str(arguments.out))
        Platform(app, deployment)
    except ConfigFault as fault:
        sys.stderr.write(f"infra: {fault}\n")
        sys.exit(2)
    except (RuntimeError, JSIIError) as refusal:
        if not isinstance(refusal.__cause__, JavaScriptError):
            raise
        # The library refuses it; its own stack is of another language's calls.
        sys.stderr.write(f"infra: {str(refusal).splitlines()[0]}\n")
        sys.exit(2)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    try:
        assembly = app.synth()
    except RuntimeError as error:
        # The library has printed each finding.
        sys.stderr.write(f"infra: {str(error).splitlines()[0]}\n")
        sys.exit(1)
    sys.stdout.write(f"templates of {deployment.name} are in {assembly.directory}\n")


if __name__ == "__main__":
    main()
