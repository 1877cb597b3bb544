"""The templates of both deployments, made once a process: every test of `infra` reads them."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Literal

import infra  # noqa: F401 -- names the Node that the library runs in, and so comes first

# isort: split
import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template

from infra.app import Platform
from infra.settings import Deployment, named_deployment

DeploymentName = Literal["dev", "prod"]


@cache
def platform_of(name: DeploymentName) -> Platform:
    """The stacks of a deployment as it comes."""
    return Platform(App(), named_deployment(name))


@cache
def template_of(stack: Stack) -> Template:
    """A stack's template."""
    return Template.from_stack(stack)


@pytest.fixture(scope="session")
def prod() -> Platform:
    """The stacks of production."""
    return platform_of("prod")


@pytest.fixture(scope="session")
def dev() -> Platform:
    """The stacks of the small deployment."""
    return platform_of("dev")


@pytest.fixture(scope="session")
def template() -> Callable[[Stack], Template]:
    """`template(prod.data)`: a stack's template, made once."""
    return template_of


@pytest.fixture(scope="session")
def templates() -> Callable[[Platform], Mapping[str, Template]]:
    """`templates(prod)`: the templates of all its stacks, by the name of the stack."""
    return lambda platform: {
        stack.stack_name: template_of(stack)
        for stack in platform.data.node.root.node.children
        if isinstance(stack, Stack)
    }


@pytest.fixture(scope="session")
def deployment() -> Deployment:
    """What production is like."""
    return named_deployment("prod")
