"""How busy a task says it is: what the deployment scales on."""

import json
from typing import Any

from harness.gateway import GatewayUnderTest, running_gateway
from harness.held import hold
from llmplatform.metrics import REQUESTS_IN_FLIGHT
from sandbox.engines.scripted import Script

HELLO: Any = [{"role": "user", "content": "hello"}]


def told(gateway: GatewayUnderTest) -> int:
    """What the next report says."""
    before = len(gateway.lines.items)
    gateway.gateway.emission._report()
    lines = [json.loads(line) for line in gateway.lines.items[before:]]
    (own,) = [line for line in lines if REQUESTS_IN_FLIGHT.name in line]
    directives = own["_aws"]["CloudWatchMetrics"]
    assert ["component"] in next(iter(directives))["Dimensions"]
    count: int = own[REQUESTS_IN_FLIGHT.name]
    return count


async def test_a_stream_is_in_flight_from_its_start_to_its_end() -> None:
    async with running_gateway() as gateway:
        script = Script(text="one two three four", interval_ms=1)
        go_on = hold(gateway.runtime, "scripted-bedrock", script, pieces=1)
        assert told(gateway) == 0
        stream = await gateway.openai().chat.completions.create(
            model="scripted-bedrock", messages=HELLO, stream=True
        )
        await anext(stream)
        assert told(gateway) == 1
        go_on.set()
        async for _ in stream:
            pass
        await gateway.record()
        assert told(gateway) == 0
