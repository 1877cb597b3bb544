"""`python -m llmplatform.process.health [URL]`: exit status 0 if the process of this container answers.

Without a URL, the container's command says what to ask: one image serves every process, so its health check
cannot name a port. Of a process that serves none it is known that it runs, and nothing else: whether its work
is done is what its metrics and alarms say. It imports little, since it is started every few seconds.
"""

import http.client
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

PORTS: Final = {
    "gateway": ("GATEWAY_PORT", 8080),
    "costagg serve": ("COST_API_PORT", 8090),
    "watch": ("WATCH_PORT", 8100),
}
"""The variable that chooses a process's port, and the port without it."""
_PATH: Final = "/healthz"
_WITHIN_S: Final = 2.0
_COMMAND: Final = Path("/proc/1/cmdline")


def health_url(command: Sequence[str], environ: Mapping[str, str]) -> str | None:
    """Where the process of a container's command answers; None for one that serves no port."""
    if "-m" not in command:
        return None
    module = command[command.index("-m") + 1 :]
    words = " ".join(word for word in module if word and not word.startswith("-"))
    served = PORTS.get(words)
    if served is None:
        return None
    variable, port = served
    return f"http://127.0.0.1:{environ.get(variable) or port}{_PATH}"


def answers(url: str) -> str | None:
    """What is wrong with the answer; None if it is a good one."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_WITHIN_S)
    try:
        connection.request("GET", address.path)
        reply = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        return f"{url}: {error or type(error).__name__}"
    finally:
        connection.close()
    return None if reply.status == http.client.OK else f"{url} answers {reply.status}"


def main() -> int:
    """Ask, and say what came of it in one line, which the container engine keeps."""
    command = _COMMAND.read_text(encoding="utf-8").split("\0")
    url = sys.argv[1] if len(sys.argv) > 1 else health_url(command, os.environ)
    wrong = None if url is None else answers(url)
    said = wrong or (f"{url} answers" if url else "it runs, and serves no port that could be asked")
    print(said)  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
