"""One account, and ways to it on which each process gets what its role allows and nothing else.

The roles are those that the deployment's templates have, for a catalogue with every kind of model.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harness.aws_calls import Call, Recorder, recording
from harness.budgets_api import serve_budgets
from harness.cost_job import served_profiles
from harness.evaluation import JUDGES, PRICES
from harness.fan_out import fanned_out
from harness.iam_asked import Asking, TenantKeys
from harness.kinesis import KinesisLocal
from harness.platform import Laptop, isolated, running_laptop
from infra.matrix import identity_of
from infra.permissions.account import Account
from infra.policy import Grant, allows, policies_of, roles_of
from infra.settings import Files, named_deployment
from sandbox.children import Child
from sandbox.emulator import ACCOUNT_ID, REGION

TENANTS: Final = "tenants"
ERASURE: Final = "erasure"
"""Whose calls are those of people with the command, under the policies for them."""
PROFILE: Final = f"arn:aws:bedrock:{REGION}:{ACCOUNT_ID}:application-inference-profile/team"
BEHIND_PROFILE: Final = "arn:aws:bedrock:us-west-2::foundation-model/vendor.near-v1:0"
MODELS: Final = f"""
[models.whole]
endpoint_type = "bedrock"
backend_model_id = "vendor.whole-v1:0"
dialect = "converse"
price_key = "sandbox/scripted"

[models.near]
endpoint_type = "bedrock"
backend_model_id = "us.vendor.near-v1:0"
dialect = "converse"
price_key = "sandbox/scripted"

[models.anywhere]
endpoint_type = "bedrock"
backend_model_id = "global.vendor.anywhere-v1:0"
dialect = "converse"
price_key = "sandbox/scripted"

[models.team]
endpoint_type = "bedrock"
backend_model_id = "{PROFILE}"
dialect = "converse"
price_key = "team"

[models.hosted]
endpoint_type = "sagemaker"
backend_model_id = "Llama"
dialect = "openai_chat"
price_key = "hosted"

[[endpoints.Llama.variants]]
name = "AllTraffic"
instance_type = "ml.g5.xlarge"
gpu_count = 1
"""
_SERVICES: Final = ("BEDROCK", "BEDROCK_RUNTIME", "BUDGETS", "SAGEMAKER", "SAGEMAKER_RUNTIME", "XRAY")


@dataclass
class Stage:
    """Where the processes are, and what they are told."""

    laptop: Laptop
    kinesis: KinesisLocal
    recorder: Recorder
    folder: Path
    asking: Asking
    roles: Mapping[str, tuple[Grant, ...]]
    keys: dict[str, str] = field(default_factory=dict)
    """Tenants' API keys."""

    async def environment(self, process: str, **more: str) -> dict[str, str]:
        """Everything of AWS along the process's own way."""
        way = await self.recorder.way(process)
        return isolated(
            {
                **self.laptop.aws.environment(),
                "AWS_ENDPOINT_URL": way,
                **{f"AWS_ENDPOINT_URL_{service}": way for service in _SERVICES},
                "AWS_EMF_AGENT_ENDPOINT": self.laptop.emf.address,
                "LLM_PLATFORM_CATALOGUE": str(self.folder / "catalogue.toml"),
                "LLM_PLATFORM_PRICES": str(PRICES),
                "EVAL_JUDGES": str(self.folder / "judges.toml"),
                **more,
            }
        )

    async def ran(self, process: str, *arguments: str, ends_with: int = 0, **more: str) -> str:
        """What a process printed that ends by itself."""
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *arguments),
            env=await self.environment(process, **more),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await child.communicate()
        assert child.returncode == ends_with, f"{process}: {err.decode()[-2_000:]}"
        return out.decode()

    @asynccontextmanager
    async def running(self, process: str, module: str, *arguments: str, **more: str) -> AsyncIterator[Child]:
        """A process that goes on until the block ends, and then ends in order."""
        environment = await self.environment(process, **more)
        log_file = self.folder / f"{process}.log"
        child = await Child.start(process, module, arguments, environment=environment, log_file=log_file)
        try:
            yield child
            await child.stop(60)
        finally:
            child.kill()
            await child.ended


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """An account with roles for a catalogue of every kind of model, and ways to it."""
    catalogue, judges = folder / "catalogue.toml", folder / "judges.toml"
    catalogue.write_text(MODELS)
    judges.write_text(JUDGES)
    async with AsyncExitStack() as stack:
        laptop = await stack.enter_async_context(running_laptop(folder, log_content=True))
        kinesis = await stack.enter_async_context(KinesisLocal(folder))
        fan_out = await stack.enter_async_context(fanned_out(kinesis))
        profiles = await stack.enter_async_context(served_profiles({PROFILE: [BEHIND_PROFILE]}))
        budgets = await stack.enter_async_context(serve_budgets())
        others = {
            "budgets": budgets.url,
            "kinesis": fan_out.url,
            "sagemaker": laptop.runtime.url,
            "xray": laptop.traces.url,
        }
        kms = laptop.boto3("kms")
        stack.callback(kms.close)
        asking, roles = _account(Files(catalogue=catalogue, judges=judges), TenantKeys(kms))

        def upstream(service: str, path: str) -> str:
            if service == "bedrock":
                return laptop.runtime.url if path.startswith("/model/") else profiles
            return others.get(service, laptop.aws.url)

        def allowed(call: Call) -> bool:
            return all(allows(roles[call.process], one) for one in asking.of(call))

        recorder = await stack.enter_async_context(recording(upstream, allowed))
        yield Stage(laptop, kinesis, recorder, folder, asking, roles)


def _account(files: Files, keys: TenantKeys) -> tuple[Asking, dict[str, tuple[Grant, ...]]]:
    """The emulator's account, deployed: what calls ask there, and what each process may do."""
    deployment = named_deployment("dev").model_copy(
        update={"account": ACCOUNT_ID, "region": REGION, "files": files}
    )
    resolved = identity_of(deployment)
    people = {name.removeprefix("llm-platform-"): of for name, of in policies_of(resolved).items()}
    roles = {name.removeprefix("llm-platform-"): of for name, of in roles_of(resolved).items()}
    roles |= {TENANTS: people[TENANTS], ERASURE: (*people[TENANTS], *people[ERASURE])}
    return Asking(Account(deployment, {}), resolved, keys, {PROFILE: BEHIND_PROFILE}), roles
