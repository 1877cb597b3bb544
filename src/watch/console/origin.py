"""Whether a request was meant for us and comes from our own pages. Pure.

A name that somebody else's DNS points at a laptop's loopback is not ours (DNS rebinding), and a form on
another site is not either, whatever cookies the browser sends along.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from watch.console.hosts import is_loopback

SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_HOST: Final = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_OURS: Final = frozenset({"same-origin", "none"})
"""Of Sec-Fetch-Site: `none` is a person who typed the address."""


@dataclass(frozen=True, slots=True)
class Ours:
    """What our pages are reached by: a public URL, or this machine's loopback under whatever port."""

    public_url: str | None

    def answers_to(self, host: str) -> bool:
        """Whether a Host header names us."""
        if self.public_url is not None and host.lower() == urlsplit(self.public_url).netloc.lower():
            return True
        name = _host_name(host)
        return self.public_url is None and name is not None and is_loopback(name)

    def sent(self, method: str, headers: Mapping[str, str]) -> bool:
        """Whether a request that changes something was sent by a page of ours, or by no page at all."""
        if method in SAFE_METHODS:
            return True
        if headers.get("sec-fetch-site", "none") not in _OURS:
            return False
        origin = headers.get("origin")
        if origin is None:
            return True
        if self.public_url is not None:
            url = urlsplit(self.public_url)
            return origin.lower() == f"{url.scheme}://{url.netloc}".lower()
        return origin.lower() == f"http://{headers.get('host', '')}".lower()


def local_path(path: str, *, default: str = "/") -> str:
    """The path and query to go on to, if it is one of ours: nothing with a host, in any spelling."""
    spelled_oddly = any(not character.isprintable() or character in ' \\"<>' for character in path)
    if spelled_oddly or not path.startswith("/") or path.startswith("//"):
        return default
    return path


def _host_name(host: str) -> str | None:
    """The name in a Host header; None for one that has more than a name and a port in it."""
    match = _HOST.fullmatch(host)
    return None if match is None else match[1]
