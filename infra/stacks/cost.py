"""Cost: the job and its schedules, the billing API, the export of the bill, and the budget of observing."""

from aws_cdk import App

from infra.billing_api import BillingApi
from infra.layers import PlatformStack
from infra.settings import Deployment
from infra.stacks.data import DataStack
from infra.stacks.identity import IdentityStack
from infra.stacks.network import NetworkStack


class CostStack(PlatformStack):
    """Layer 3."""

    def __init__(
        self,
        app: App,
        deployment: Deployment,
        *,
        network: NetworkStack,
        data: DataStack,
        identity: IdentityStack,
    ) -> None:
        super().__init__(app, "cost", deployment, layer="attribute")
        self.billing_api = BillingApi(self, deployment, network=network, data=data, identity=identity)
