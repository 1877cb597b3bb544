"""The evaluation worker as a process of its own, with a scripted judge."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from harness.evaluation import JUDGES, PRICES
from harness.platform import Laptop
from sandbox.children import Child

LEASED_WITHIN_S = 120.0
"""The consumer's first lease takes up to a minute."""


@asynccontextmanager
async def worker_process(laptop: Laptop, name: str, **more: str) -> AsyncIterator[Child]:
    """A running `python -m evalworker run`, killed at the end if it still runs."""
    judges = laptop.folder / "judges.toml"
    judges.write_text(JUDGES)
    environment = laptop.environment(
        {
            "EVAL_JUDGES": str(judges),
            "EVAL_BERTSCORE": "false",
            "LLM_PLATFORM_PRICES": str(PRICES),
            **more,
        }
    )
    log_file = laptop.folder / f"{name}.log"
    child = await Child.start(name, "evalworker", ("run",), environment=environment, log_file=log_file)
    try:
        yield child
    finally:
        child.kill()
        await child.ended
