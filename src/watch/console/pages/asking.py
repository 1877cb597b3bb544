"""What a page is asked: by whom, and for what time."""

from typing import Annotated

from fastapi import Depends, Request

from watch.console.door import viewer_of
from watch.console.parts import ConsoleParts
from watch.console.timerange import TimeRange
from watch.console.viewer import Viewer


def _viewer(request: Request) -> Viewer:
    return viewer_of(request)


def _range(request: Request) -> TimeRange:
    parts: ConsoleParts = request.app.state.parts
    return TimeRange.asked(request.query_params, parts.clock.now())


SignedIn = Annotated[Viewer, Depends(_viewer)]
"""Who looks."""
Asked = Annotated[TimeRange, Depends(_range)]
"""The time that the address asks for; a bad one is a 400 page that names the parameter."""
