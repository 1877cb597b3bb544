"""The data stack's template, deployed into an emulator through CloudFormation as it would be into an account.

Nothing else makes anything there. What the emulator takes and forgets (encryption, time to live, lifecycle)
is asserted on the template, in `tests/infra`.
"""

import asyncio
import json
from functools import cache
from typing import Any, Final

from aws_cdk import App
from aws_cdk.assertions import Template

from harness.platform import aws_client
from infra.settings import named_deployment
from infra.stacks.data import DataStack
from sandbox.emulator import ACCOUNT_ID

STACK: Final = "llm-platform-data"
LACKING: Final = ("AWS::XRay::SamplingRule", "AWS::XRay::TransactionSearchConfig")
"""Types that the emulator's CloudFormation does not know: all that is left out."""
_BOOTSTRAP: Final = "/cdk-bootstrap/hnb659fds/version"
"""By which a template of CDK asks whether `cdk bootstrap` was here."""


@cache
def data_template() -> dict[str, Any]:
    """Production's, for the emulator's account."""
    deployment = named_deployment("prod").model_copy(update={"account": ACCOUNT_ID})
    template: dict[str, Any] = Template.from_stack(DataStack(App(), deployment)).to_json()
    return template


async def deploy_data(url: str) -> None:
    """Create the stack in the account at `url`. Raises what the SDK raises when CloudFormation does not."""
    whole = data_template()
    known = {name: one for name, one in whole["Resources"].items() if one["Type"] not in LACKING}
    await asyncio.to_thread(create_stack, url, whole | {"Resources": known})


def create_stack(url: str, template: dict[str, Any]) -> None:
    """Create it, and wait until all of it is there."""
    aws_client("ssm", url).put_parameter(Name=_BOOTSTRAP, Value="21", Type="String", Overwrite=True)
    cloudformation = aws_client("cloudformation", url)
    cloudformation.create_stack(
        StackName=STACK, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_NAMED_IAM"]
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )
