"""The console's views: which they are, and what one costs, for one viewer and for ten at once."""

import http.client
import re
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from processes import Console, ScriptedAws, used_by
from world import OPERATOR_KEY, TENANTS, Requests

from llmplatform import ids

AT_ONCE: Final = 10
WARM_VIEWS: Final = 5
FORGOTTEN_AFTER_S: Final = 31.0
"""When no answer of AWS is kept any more, but of what is long over."""
_NOT_OF_VIEWS: Final = frozenset({"GetParametersByPath", "GetParameters"})
"""Tenants and roles are read beside the views."""
_TOKEN: Final = re.compile(r'name="csrf_token" value="([^"]+)"')


@dataclass(frozen=True, slots=True)
class View:
    """A page; `path` tells the address of the next view of it."""

    name: str
    path: Callable[[], str]
    kept: bool = True
    """Whether the same page again is answered from memory."""


@dataclass(slots=True)
class Figures:
    """What the views of a page took, by how many looked at once."""

    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    waited_ms: list[float] = field(default_factory=list)
    """How long the console could have run while others had the cores; of a view that was alone."""
    calls: list[int] = field(default_factory=list)
    """Of AWS, as the console counts them."""
    asked_of_aws: list[int] = field(default_factory=list)
    """The same as the scripted AWS counts them, for all who looked at once."""
    failed: int = 0
    """Views that were answered with a fault: they are in no figure but the calls."""


def views(requests: Requests) -> list[View]:
    """All that are measured; each look at a trace is at another one."""
    day = {"last": "24h"}
    traces = (f"/traces/{ids.as_uuid(place.trace_id)}" for place in requests.some(10_000))

    def page(name: str, path: str, **query: str) -> View:
        return View(name, lambda: f"{path}?{urlencode({**day, **query})}")

    return [
        page("overview, 24 h", "/"),
        View("trace", lambda: next(traces), kept=False),
        page("tenant", f"/tenants/{TENANTS[0]}"),
        page("endpoint", "/endpoints/support-large"),
        page("model", "/models/claude-sonnet-4-6"),
        page("platform", "/platform"),
        page("requests of a tenant", "/requests", tenant=TENANTS[0]),
        page("requests of all", "/requests"),
        page("failed requests of a tenant", "/requests", tenant=TENANTS[0], outcome="backend_failed"),
        page("evaluations", "/evaluations"),
        page("evaluations of a tenant", f"/evaluations/{TENANTS[0]}"),
        page("cost", "/cost"),
        page("cost of a tenant", f"/cost/{TENANTS[0]}"),
        page("alarms", "/alarms"),
    ]


class Viewer:
    """An operator who is signed in, over one connection."""

    def __init__(self, console: Console) -> None:
        self._port = console.port
        self._connection = http.client.HTTPConnection("127.0.0.1", console.port, timeout=60)
        self._cookies: dict[str, str] = {}
        self._sign_in()

    def look(self, path: str) -> tuple[float | None, int]:
        """How long a page took in ms, until its last byte, and the calls of AWS that it made.

        None for one that could not be shown.
        """
        began_s = time.perf_counter()
        status, headers, body = self._ask("GET", path)
        wall_ms = (time.perf_counter() - began_s) * 1_000
        shown = status == http.client.OK and "</html>" in body
        return wall_ms if shown else None, int(headers["x-aws-calls"] or 0)

    def again(self) -> "Viewer":
        """Another viewer with the same session."""
        other = object.__new__(Viewer)
        other._port, other._cookies = self._port, self._cookies
        other._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        return other

    def _sign_in(self) -> None:
        _, _, form = self._ask("GET", "/login")
        token = _TOKEN.search(form)
        sent = urlencode({"csrf_token": token[1] if token else "", "key": OPERATOR_KEY, "next": "/"})
        status, _, said = self._ask("POST", "/login", sent)
        if status != http.client.SEE_OTHER:
            sys.exit(f"nobody can sign in: {status} {said[:2_000]}")

    def _ask(
        self, method: str, path: str, form: str | None = None
    ) -> tuple[int, http.client.HTTPMessage, str]:
        headers = {"accept": "text/html", "cookie": "; ".join(f"{k}={v}" for k, v in self._cookies.items())}
        if form is not None:
            headers |= {
                "content-type": "application/x-www-form-urlencoded",
                "origin": f"http://127.0.0.1:{self._port}",
            }
        self._connection.request(method, path, form, headers)
        answer = self._connection.getresponse()
        body = answer.read().decode()
        for cookie in answer.headers.get_all("set-cookie") or ():
            name, _, rest = cookie.partition("=")
            self._cookies[name] = rest.partition(";")[0]
        return answer.status, answer.headers, body


class Measuring:
    """Looks at pages and keeps what they took, by page, whether it was cold, and how many looked."""

    def __init__(self, console: Console, aws: ScriptedAws) -> None:
        self._console = console
        self._aws = aws
        self._viewer = Viewer(console)
        self._viewers = [self._viewer.again() for _ in range(AT_ONCE)]
        self._threads = ThreadPoolExecutor(AT_ONCE)
        self.figures: dict[tuple[str, str, int], Figures] = {}

    def round(self, pages: Sequence[View], at_once: int) -> None:
        """Each page cold, then warm; when it is over, nothing is kept of it any more."""
        began_s = time.monotonic()
        for view in pages:
            self._look(view, "cold", at_once)
            for _ in range(WARM_VIEWS if at_once == 1 else 1):
                self._look(view, "warm", at_once)
        time.sleep(max(0.0, FORGOTTEN_AFTER_S - (time.monotonic() - began_s)))

    def warm_up(self, pages: Sequence[View]) -> None:
        """Each page once, so that all is loaded that is loaded at the first view ever."""
        for view in pages:
            if self._viewer.look(view.path())[0] is None:
                sys.stderr.write(f"{view.name} cannot be shown\n")
        time.sleep(FORGOTTEN_AFTER_S)

    def _look(self, view: View, when: str, at_once: int) -> None:
        figures = self.figures.setdefault((view.name, when, at_once), Figures())
        paths = [view.path() for _ in range(at_once)]
        before_calls, before = self._asked(), used_by(self._console.pid)
        if at_once == 1:
            looked = [self._viewer.look(paths[0])]
        else:
            looked = list(
                self._threads.map(lambda pair: pair[0].look(pair[1]), zip(self._viewers, paths, strict=True))
            )
        used = used_by(self._console.pid).since(before)
        figures.asked_of_aws.append(self._asked() - before_calls)
        figures.wall_ms += [wall_ms for wall_ms, _ in looked if wall_ms is not None]
        figures.failed += sum(wall_ms is None for wall_ms, _ in looked)
        figures.calls += [calls for _, calls in looked]
        figures.cpu_ms.append(used.cpu_s * 1_000 / at_once)
        figures.waited_ms.append(used.waited_s * 1_000)

    def _asked(self) -> int:
        return sum(
            count
            for name, count in self._aws.calls().items()
            if name not in _NOT_OF_VIEWS and not name.endswith("throttled")
        )
