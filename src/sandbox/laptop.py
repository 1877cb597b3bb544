"""The laptop's AWS put together: emulator, what the emulator lacks, and what is in the account.

`python -m sandbox` runs it; `up` runs that as a child, so that the processor time of the gateway is its own.
"""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from llmplatform.aws.tables import EVAL_STREAM
from llmplatform.catalogue import load_catalogue
from llmplatform.clock import SystemClock
from sandbox.alarms.evaluator import serve_alarms
from sandbox.emf_intake import serve_emf
from sandbox.emulator import sandbox_session
from sandbox.engines.smollm_tokenizer import write_tokenizer
from sandbox.hardware import Hardware
from sandbox.leases import free_leases
from sandbox.provision import provision
from sandbox.runtime import serve_runtime
from sandbox.seed import seed, seed_roles
from sandbox.services import serve_services
from sandbox.settings import SandboxSettings
from sandbox.state import Sandbox, state_folder
from sandbox.traces import serve_traces

CATALOGUE: Final = Path(__file__).with_name("models.toml")
JUDGES: Final = Path(__file__).with_name("judges.toml")
PRICES: Final = Path(__file__).with_name("prices.toml")
# The small model takes seconds for a judgement, one at a time, and whoever stops the laptop does not wait for
# it: what is unfinished comes again.
_SLOW_JUDGE: Final = {
    "EVAL_JUDGE_IN_FLIGHT": "1",
    "EVAL_JUDGE_TIMEOUT_S": "120",
    "EVAL_STOP_GRACE_S": "2",
}
# A laptop that is switched on computes a day at once, and asks the emulator for each hour of it.
_SMALL_BILL: Final = {
    "COST_LOOK_BACK_H": "24",
    "COST_CLOSE_AFTER_H": "1",
    "COST_OBSERVABILITY_DAILY_BUDGET_USD": "25",
}
# CloudWatch takes three puts a second, the emulator as many as come. No scheduler starts jobs here: they go
# on by themselves.
_QUICK_ALARMS: Final = {"WATCH_PUTS_PER_S": "200", "ALARM_SCHEDULED_JOBS": "false"}
TOKENIZER: Final = "tokenizers/smollm2-135m"

ResultT = TypeVar("ResultT")
Tell = Callable[[str, float], None]
"""Takes the name of a step that is done, and the seconds that it took."""


@contextlib.asynccontextmanager
async def serve_sandbox(settings: SandboxSettings, tell: Tell) -> AsyncIterator[Sandbox]:
    """Run the laptop's AWS until the block ends; what is in it is kept in the state folder."""
    state = state_folder()
    state.mkdir(parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        data = asyncio.create_task(_data(state, tell))
        stack.callback(data.cancel)
        session = sandbox_session()
        serving = stack.enter_async_context(serve_services(settings, state, session))
        services = await _timed("AWS emulator", serving, tell)
        url, watching_url = services.url, services.watching_url
        provisioning = provision(session, endpoint_url=url, watching_url=watching_url)
        await _timed("tables, streams, log groups, buckets", provisioning, tell)
        async with (
            session.client("ssm", endpoint_url=url) as ssm,
            session.client("kms", endpoint_url=url) as kms,
            session.client("sts", endpoint_url=url) as sts,
        ):
            tenants = await _timed("three tenants", seed(ssm, kms, sts, state, SystemClock()), tell)
            role_keys = await seed_roles(ssm, state, SystemClock())
        async with (
            session.client("dynamodb", endpoint_url=url) as dynamodb,
            session.client("kinesis", endpoint_url=url) as kinesis,
        ):
            await free_leases(dynamodb, kinesis, stream=EVAL_STREAM.name)
        await stack.enter_async_context(
            serve_alarms(session, endpoint_url=watching_url, every_s=settings.alarms_every_s)
        )
        with _timing("intakes for metrics and traces", tell):
            emf = await stack.enter_async_context(
                serve_emf(session, endpoint_url=watching_url, port=settings.emf_port)
            )
            traces = await stack.enter_async_context(
                serve_traces(host=settings.host, port=settings.otlp_port)
            )
        await data  # whoever waits for the runtimes' health, as a container does, may count on it
        runtime = await _timed(
            "Bedrock and SageMaker runtimes",
            stack.enter_async_context(
                serve_runtime(
                    host=settings.host,
                    port=settings.runtime_port,
                    cloudwatch_url=watching_url,
                    endpoints=_endpoints(),
                    intake=emf,
                )
            ),
            tell,
        )
        await _timed("the small model", runtime.registry.smollm.load(), tell)
        yield Sandbox(
            environment={
                **services.environment,
                "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": runtime.url,
                "AWS_ENDPOINT_URL_SAGEMAKER": runtime.url,
                "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": runtime.url,
                "AWS_ENDPOINT_URL_XRAY": traces.url,
            },
            emf_address=emf.address,
            otlp_url=traces.url,
            catalogue=state / CATALOGUE.name,
            settings={
                "EVAL_JUDGES": str(state / JUDGES.name),
                "LLM_PLATFORM_PRICES": str(state / PRICES.name),
                **_SLOW_JUDGE,
                **_SMALL_BILL,
                **_QUICK_ALARMS,
            },
            tenants=tenants,
            role_keys=role_keys,
        )


def _endpoints() -> dict[str, Hardware]:
    """The catalogue's endpoints: they run, and cost, whether somebody calls them or not."""
    found = {}
    for name, endpoint in load_catalogue(CATALOGUE).endpoints.items():
        variant = endpoint.variants[0]
        found[name] = Hardware(variant=variant.name, gpu_count=variant.gpu_count, enhanced=True)
    return found


async def _data(state: Path, tell: Tell) -> None:
    with _timing("tokenizer of the small model", tell):
        await asyncio.to_thread(_write_data, state)


def _write_data(state: Path) -> None:
    """Put catalogue, judges and prices beside the tokenizer that the catalogue names, which is made once."""
    tokenizer = state / TOKENIZER
    if not (tokenizer / "tokenizer_config.json").exists():  # written last
        write_tokenizer(tokenizer)
    for data in (CATALOGUE, JUDGES, PRICES):
        shutil.copyfile(data, state / data.name)


async def _timed(step: str, work: Awaitable[ResultT], tell: Tell) -> ResultT:
    with _timing(step, tell):
        return await work


@contextlib.contextmanager
def _timing(step: str, tell: Tell) -> Iterator[None]:
    started = time.monotonic()
    yield
    tell(step, time.monotonic() - started)
