"""The emulator's own process: run by file name, with the emulator's own interpreter.

Nothing of ours can be imported here, and this is imported by nothing of ours: the emulator pins another
botocore than the product has. Arguments: a bound TCP socket's descriptor to serve on. It ends when
standard input does, so it cannot outlive its parent, however that one dies.
"""

import asyncio
import os
import signal
import sys
import threading
from importlib import import_module


def end_with_parent() -> None:
    """Wait for the end of standard input, then ask ourselves to stop."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Serve until SIGTERM."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    # Its alarm evaluation ignores dimensions, M of N and missing data (measured: an alarm of tenant a
    # rang on a datapoint of tenant b), and it has no setting that turns it off.
    vars(import_module("ministack.services.cloudwatch"))["_evaluate_alarm"] = lambda _alarm: None
    config = import_module("hypercorn.config").Config()
    config.bind = [f"fd://{sys.argv[1]}"]
    config.keep_alive_timeout = 75.0
    serve = import_module("hypercorn.asyncio").serve
    asyncio.run(serve(import_module("ministack.app").app, config))


if __name__ == "__main__":
    main()
