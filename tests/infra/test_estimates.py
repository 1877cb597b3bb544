"""`llm-platform estimate` reckons with the tasks and endpoints that production has."""

from decimal import Decimal

import pytest

from infra.endpoints import endpoints
from infra.settings import Deployment, Tasks
from operator_cli.estimate.needs import PROD
from operator_cli.estimate.serving import INTERFACE_ENDPOINTS, ZONES


@pytest.mark.parametrize("name", ["gateway", "evalworker", "billing_api", "console"])
def test_tasks_have_the_size_and_the_least_number_of_production(name: str, deployment: Deployment) -> None:
    tasks: Tasks = getattr(deployment, name)
    size = getattr(PROD, name)
    assert (size.vcpu, size.memory_gb) == (Decimal(tasks.cpu) / 1024, Decimal(tasks.memory_mib) / 1024)
    assert size.least == tasks.least


def test_interface_endpoints_are_those_of_production(deployment: Deployment) -> None:
    assert sum(not endpoint.gateway for endpoint in endpoints(deployment)) == INTERFACE_ENDPOINTS
    assert len(deployment.availability_zones) == ZONES
