"""The templates of a deployment as data, without files: for what is counted or told from them."""

from typing import Any

from aws_cdk import App

from infra.app import Platform
from infra.settings import Deployment


def templates_of(deployment: Deployment) -> dict[str, dict[str, Any]]:
    """Resources by logical name, by the name of their stack."""
    app = App()
    Platform(app, deployment)
    return {stack.stack_name: stack.template["Resources"] for stack in app.synth().stacks}
