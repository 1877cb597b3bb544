"""The stacks put together: what needs what, and in which order they are deployed."""

from aws_cdk import App

from infra.settings import Deployment
from infra.stacks.cost import CostStack
from infra.stacks.data import DataStack
from infra.stacks.evaluation import EvaluationStack
from infra.stacks.gateway import GatewayStack
from infra.stacks.identity import IdentityStack
from infra.stacks.network import NetworkStack
from infra.stacks.watch import WatchStack


class Platform:
    """Every stack of one deployment."""

    def __init__(self, app: App, deployment: Deployment) -> None:
        self.data = data = DataStack(app, deployment)
        self.network = network = NetworkStack(app, deployment)
        self.identity = identity = IdentityStack(app, deployment, data=data)
        self.gateway = GatewayStack(app, deployment, network=network, data=data, identity=identity)
        self.evaluation = EvaluationStack(app, deployment, network=network, data=data, identity=identity)
        self.cost = CostStack(app, deployment, network=network, data=data, identity=identity)
        self.watch = WatchStack(
            app, deployment, network=network, data=data, identity=identity, gateway=self.gateway
        )
