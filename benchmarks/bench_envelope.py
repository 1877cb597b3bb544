"""What content under a tenant's own key costs: microseconds a text, and calls to KMS.

    .venv/bin/python benchmarks/bench_envelope.py

Through `ContentKeys` as the gateway and the worker use it, thread hop and all, against the emulator's KMS.
"""

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import boto3

from llmplatform.aws.envelope import ContentKeys
from sandbox.emulator import CREDENTIALS, REGION, Emulator

SAMPLES = 1_000
ROUNDS = 5
SIZES = (2_000, 10_000)


async def each_us(work: Callable[[], Awaitable[bytes]]) -> float:
    """Microseconds of one call, of the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(SAMPLES):
            await work()
        best = min(best, (time.perf_counter() - started) / SAMPLES * 1e6)
    return best


async def measure(gateway: ContentKeys, worker: ContentKeys, kms_key: str) -> None:
    """Print a line for each size of text."""
    for size in SIZES:
        text = os.urandom(size)

        async def seal(text: bytes = text) -> bytes:
            return await gateway.seal(text, kms_key=kms_key, tenant_id="acme", request_id="1")

        sealed = await seal()

        async def opened(sealed: bytes = sealed) -> bytes:
            return await worker.open(sealed, kms_key=kms_key, tenant_id="acme", request_id="1")

        print(
            f"{size:>6} bytes: seal {await each_us(seal):4.0f} µs, open {await each_us(opened):4.0f} µs, "
            f"{len(sealed) - size} bytes longer"
        )


async def main() -> None:
    """Measure, then count."""
    with tempfile.TemporaryDirectory() as state:
        async with Emulator(Path(state)) as aws:
            where = {"endpoint_url": aws.url, "region_name": REGION}
            who = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
            kms = boto3.client("kms", **where, **who)
            kms_key = kms.create_key()["KeyMetadata"]["Arn"]
            gateway, worker = (
                ContentKeys(region=REGION, endpoint_url=aws.url, credentials=CREDENTIALS) for _ in range(2)
            )
            calls: Counter[str] = Counter()
            for keys in (gateway, worker):
                keys._kms.meta.events.register(  # noqa: SLF001  # counted where they are made
                    "before-call.kms", lambda model, **_: calls.update([model.name])
                )
            await measure(gateway, worker, kms_key)
            texts = SAMPLES * ROUNDS * len(SIZES)
            print(f"calls to KMS for {texts:,} texts sealed and opened: {dict(calls)}")
            gateway.close()
            worker.close()


if __name__ == "__main__":
    asyncio.run(main())
