"""What becomes of data when its stack goes."""

from aws_cdk import RemovalPolicy

from infra.settings import Deployment


def removal_policy(deployment: Deployment) -> RemovalPolicy:
    """Of whatever holds data: it goes with its stack where the deployment is deletable, and stays elsewhere.

    What a deployment that fails has just made goes in either case, as far as it protects itself by nothing
    else: names are fixed, and the next try would find them taken (CloudFormation, RetainExceptOnCreate).
    """
    if deployment.deletable:
        return RemovalPolicy.DESTROY
    return RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
