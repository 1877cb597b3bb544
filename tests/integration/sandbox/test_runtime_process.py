"""The runtimes as a process of their own: it says where it is, answers, and leaves when told."""

import asyncio
import signal
import sys
from typing import Any


async def test_the_process_announces_itself_answers_and_ends_cleanly(make_client: Any) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox.runtime", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        url = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()
        bedrock = make_client("bedrock-runtime", url)
        messages = [{"role": "user", "content": [{"text": "hi"}]}]
        answer = await asyncio.to_thread(bedrock.converse, modelId="scripted", messages=messages)
        assert answer["usage"]["outputTokens"] == 20
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
