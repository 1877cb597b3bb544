"""`llm-platform watch subscribe` and `watch receivers`: who is told what rings."""

import asyncio
import json
import re
from dataclasses import asdict
from typing import Final, Literal
from urllib.parse import urlsplit

from rich.table import Table

from llmplatform.aws.sessions import aws_session
from operator_cli.console import ERR, OUT, CommandFailed, print_table
from operator_cli.watch_account import applying_here
from watch.alarming.receiving import Receiver, masked
from watch.aws.receivers import receivers, subscribe

_MAILBOX: Final = re.compile(r"[^@\s/:]+@[^@\s/:]+\.[^@\s/:]+")
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def run_subscribe(topic: Literal["critical", "warning"], address: str, *, region: str) -> None:
    """Subscribe, and say what is to be done until it counts."""
    protocol = protocol_of(address)
    shown = masked(protocol, address)

    async def work() -> str:
        async with applying_here(region) as applying, aws_session(region).client("sns") as sns:
            arn = applying.account.topic_arn(topic)
            return await subscribe(sns, arn or "", protocol, address)

    asyncio.run(work())
    OUT.print(f"{shown} is subscribed to {topic}", markup=False)
    ERR.print(
        "[dim]it counts once the receiver has confirmed it: PagerDuty does at once, a person by a link; "
        "`llm-platform watch receivers` tells, `llm-platform watch test` tries it out[/dim]"
    )


def run_receivers(*, region: str, as_json: bool) -> None:
    """List the subscriptions of both topics."""
    found = asyncio.run(_receivers(region))
    if as_json:
        facts = {topic: [asdict(one) for one in several] for topic, several in found.items()}
        print(json.dumps(facts, indent=2))
        return
    table = receivers_table()
    for topic, several in found.items():
        for one in several:
            add_receiver(table, topic, one)
        if not several:
            table.add_row(topic, "nobody", "", "")
    print_table(table)


def receivers_table() -> Table:
    """An empty table of receivers."""
    table = Table(box=None, pad_edge=False)
    for column in ("topic", "by", "receiver", "confirmed"):
        table.add_column(column, no_wrap=True)
    return table


def add_receiver(table: Table, topic: str, one: Receiver) -> None:
    """Add a receiver to it."""
    table.add_row(topic, one.protocol, one.address, "yes" if one.confirmed else "not yet")


def protocol_of(address: str) -> str:
    """SNS's protocol for an address. Raises CommandFailed for one that an alarm must not be sent to."""
    url = urlsplit(address)
    if url.scheme == "https" and url.hostname:
        return "https"
    if url.scheme == "http" and url.hostname in _LOOPBACK:
        return "http"
    if _MAILBOX.fullmatch(address):
        return "email"
    raise CommandFailed("give an https:// URL or a mailbox (http:// only for this machine)")


async def _receivers(region: str) -> dict[str, tuple[Receiver, ...]]:
    async with applying_here(region) as applying, aws_session(region).client("sns") as sns:
        return {
            severity: await receivers(sns, applying.account.topic_arn(severity) or "")
            for severity in ("critical", "warning")
        }
