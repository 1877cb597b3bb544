# ruff: noqa: S603 - what is started here is this interpreter, on the lines below
import subprocess
import sys

PROGRAM = """
import asyncio, signal
from llmplatform.process.parent import end_with_stdin

async def main():
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    end_with_stdin()
    print("ready", flush=True)
    await asked.wait()
    print("in order", flush=True)

asyncio.run(main())
"""


def test_a_process_ends_in_order_with_its_stdin_and_not_with_what_comes_through_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            process.stdin.write(b"words\n")
            process.stdin.flush()
            assert process.poll() is None
            process.stdin.close()
            assert process.stdout.readline() == b"in order\n"
            assert process.wait(60) == 0
        finally:
            process.kill()
