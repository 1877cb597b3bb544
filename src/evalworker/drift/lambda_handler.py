"""The look for falling scores on AWS Lambda: one look an invocation, which a schedule asks for each minute.

What was invoked and how does not matter. A look that left a tenant out, or failed, says so by its metric;
the next minute makes up for it, so nothing is tried again.
"""

import asyncio
from collections.abc import Mapping
from functools import cache

from evalworker.jobs import watch_drift
from evalworker.settings import read_settings
from llmplatform.process.logging import configure_logging

EVERY_S = 60.0


def handler(_event: object, _context: object) -> Mapping[str, bool]:
    """Look once; tells whether every tenant was seen to. Raises ConfigFault for a setting that is wrong."""
    _begin_logging()
    _, environment = read_settings()
    look = watch_drift(environment, asyncio.Event(), every_s=EVERY_S, once=True, rebuild=False)
    return {"complete": asyncio.run(look)}


@cache
def _begin_logging() -> None:
    configure_logging("evalworker")
