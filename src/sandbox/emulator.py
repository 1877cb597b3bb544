"""The AWS emulator as a child process: Kinesis, DynamoDB, S3, SSM, SNS, CloudWatch, Logs, KMS.

It lives in an environment of its own beside ours (`emulator/` in it), since it pins another botocore.
What it lacks is spoken by the other rooms of this package, and filling it is `provision`'s.
"""

import asyncio
import contextlib
import os
import socket
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aioboto3
import aiohttp

from llmplatform.aws.sessions import aws_session
from llmplatform.aws.sigv4 import Credentials
from sandbox.ports import free_port

READY_WITHIN_S: Final = 90.0  # for one that hangs: one that ends is noticed at once
STOP_WITHIN_S: Final = 10.0
LOG_TAIL_BYTES: Final = 2_000
REGION: Final = "us-east-1"
ACCOUNT_ID: Final = "000000000000"
CREDENTIALS: Final = Credentials("test", "test")  # they open nothing

_PROCESS_FILE: Final = Path(__file__).with_name("emulator_process.py")


class EmulatorError(Exception):
    """The emulator is not installed, did not start, or ended by itself. Tells what its log said last."""


def emulator_python() -> Path:
    """Find the interpreter of the emulator's environment.

    `LLM_PLATFORM_EMULATOR` may name that environment's folder; otherwise it is `emulator` in ours.
    """
    home = Path(os.environ.get("LLM_PLATFORM_EMULATOR") or Path(sys.prefix) / "emulator")
    python = home / "bin" / "python"
    if not python.exists():
        raise EmulatorError(f"no AWS emulator in {home}: `make env` installs it")
    return python


def client_environment(url: str) -> dict[str, str]:
    """List the variables that point any AWS SDK at the emulator, with credentials that open nothing."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": CREDENTIALS.access_key,
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS.secret_key,
    }


def sandbox_session() -> aioboto3.Session:
    """Open a session for the sandbox's own clients: never with the credentials of whoever runs it."""
    return aws_session(REGION, CREDENTIALS)


class Emulator:
    """One emulator: `async with Emulator(state_dir) as aws: aws.url`.

    `port` 0 chooses a free one, kept from then on: after `kill` and `start` it is back at the same
    address, empty, or with `persist` as the last orderly `stop` left it. Its log is
    `state_dir/emulator.log`.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        persist: bool = False,
        account_id: str = ACCOUNT_ID,
        ready_within_s: float = READY_WITHIN_S,
    ) -> None:
        self.port = port
        self._host = host
        self.log_file = state_dir / "emulator.log"
        self._state_dir = state_dir
        self._persist = persist
        self._account_id = account_id
        self._ready_within_s = ready_within_s
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Address of every service that the emulator has."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """Process id, or None while it is not running."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and running else None

    def environment(self) -> dict[str, str]:
        """See `client_environment`."""
        return client_environment(self.url)

    async def __aenter__(self) -> Self:
        """Start it."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        await self.stop()

    async def start(self) -> None:
        """Start it and return once it answers. Raises EmulatorError otherwise, and leaves nothing running."""
        if self.pid is not None:
            raise EmulatorError("the emulator runs already")
        python = emulator_python()
        self._state_dir.mkdir(parents=True, exist_ok=True)
        # The child is handed the bound socket, so no other process can take the port in between. Our copy
        # is closed at once: a dead emulator must refuse connections, not let them wait.
        with self.log_file.open("ab") as log, socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((self._host, self.port or free_port(self._host) or 0))
            except OSError as error:
                raise EmulatorError(f"port {self.port} is taken") from error
            self.port = listener.getsockname()[1]
            self._process = await asyncio.create_subprocess_exec(
                *(python, "-I", _PROCESS_FILE, str(listener.fileno())),
                stdin=asyncio.subprocess.PIPE,  # held open: see end_with_parent
                stdout=log,
                stderr=log,
                env=self._child_environment(),
                pass_fds=(listener.fileno(),),
                start_new_session=True,  # Ctrl-C is for us: we stop it when nobody needs it any more
            )
        try:
            await self._wait_until_ready()
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """End it in order (state is saved if it persists), or by force if that takes too long."""
        await self._end(force=False)

    async def kill(self) -> None:
        """End it as a crash would: connections break, nothing is saved. `start` brings it back."""
        await self._end(force=True)

    async def _end(self, *, force: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if force:
                process.kill()
            else:
                process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_WITHIN_S)
        except TimeoutError:
            process.kill()
            await process.wait()
        if process.stdin is not None:
            process.stdin.close()
            with contextlib.suppress(ConnectionError):
                await process.stdin.wait_closed()

    async def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._ready_within_s
        timeout = aiohttp.ClientTimeout(total=2)
        async with aiohttp.ClientSession(timeout=timeout) as client:
            while time.monotonic() < deadline:
                if self.pid is None:
                    raise EmulatorError(
                        f"the AWS emulator ended while starting; its log:\n{self._log_tail()}"
                    )
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with client.get(f"{self.url}/_ministack/ready") as response:
                        if response.ok:
                            return
                await asyncio.sleep(0.05)
        raise EmulatorError(
            f"the AWS emulator was not ready within {self._ready_within_s:g} s; its log:\n{self._log_tail()}"
        )

    def _log_tail(self) -> str:
        with self.log_file.open("rb") as log:
            log.seek(max(0, self.log_file.stat().st_size - LOG_TAIL_BYTES))
            return log.read().decode(errors="replace")

    def _child_environment(self) -> dict[str, str]:
        """Ours without anything of AWS's, which would send the emulator to itself or to an account."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return ours | {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),  # it writes its own address into some answers
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
            "MINISTACK_REGION": REGION,
            "MINISTACK_ACCOUNT_ID": self._account_id,
            "PERSIST_STATE": "1" if self._persist else "0",
            "S3_PERSIST": "1" if self._persist else "0",
            "STATE_DIR": str(self._state_dir / "emulator"),
            "S3_DATA_DIR": str(self._state_dir / "emulator-s3"),
        }
