"""A page from its template. Everything is escaped, and a name that a template lacks is an error, not a blank.

In templates, beside what the page gives: `viewer`, `title`, `request`, `places`, `range` where the page has
one, `asset(name)`, `here(**changes)` for this page's address with parameters changed, and the filters `shown`
and `iso`. Macros are in `templates/macros/`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from llmplatform.errors import MalformedRequest
from watch.console.assets import asset_url
from watch.console.cells import UNKNOWN, is_unknown, shown
from watch.console.charts import Chart
from watch.console.layout import PLACES, is_at
from watch.console.observe import observed_of
from watch.console.tables import MOST_ROWS_SHOWN, Table
from watch.console.timerange import LAST, TimeRange
from watch.console.viewer import Viewer

_TEMPLATES: Final = Path(__file__).parent / "templates"


def page(
    request: Request, template: str, *, viewer: Viewer | None, title: str, **context: Any
) -> HTMLResponse:
    """The page that a template makes. `range` in the context is the TimeRange that it shows."""
    observed = observed_of(request)
    shown_places = getattr(request.scope.get("app"), "state", None)
    paths: frozenset[str] = getattr(shown_places, "paths", frozenset())
    places = [place for place in PLACES if place.path in paths] if viewer is not None else []
    text = (
        environment()
        .get_template(template)
        .render(
            {
                "range": None,
                "reloads_s": None,
                **context,
                "request": request,
                "request_id": observed.request_id,
                "aws_calls": observed.aws_calls.count if observed.tells_aws_calls else None,
                "viewer": viewer,
                "title": title,
                "places": [(place, is_at(place, request.url.path)) for place in places],
                "can_search": any(place.path == "/requests" for place in places),
            }
        )
    )
    return HTMLResponse(text)


def as_csv(request: Request, *tables: Table | Chart) -> Response | None:
    """The file that a query asks for (`?format=csv&table=<name>`), None where it asks for the page.

    Raises MalformedRequest for one that is not there, or cannot be read now: a page is no file.
    """
    if request.query_params.get("format") != "csv":
        return None
    wanted = request.query_params.get("table", "")
    # Of what could not be read an empty file would say that there was nothing.
    there = [one for one in tables if not (isinstance(one, Chart) and one.unknown)]
    for one in there:
        table = one.table if isinstance(one, Chart) else one
        if table.name == wanted or (not wanted and len(tables) == 1):
            name = quote(table.name or request.url.path.strip("/").replace("/", "-") or "overview")
            return Response(
                table.csv(),
                media_type="text/csv; charset=utf-8",
                headers={"content-disposition": f'attachment; filename="{name}.csv"'},
            )
    names = ", ".join(one.name for one in there if one.name)
    raise MalformedRequest(f"table: must be one that is there now: {names or 'there is none'}", param="table")


def address(path: str, query: Mapping[str, Any]) -> str:
    """A path with parameters; those that are None are left out."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


@pass_context
def _here(context: Context, changes: Mapping[str, Any] | None = None, **more: Any) -> str:
    """This page's address with parameters changed; None takes one away."""
    request: Request = context["request"]
    query = {**request.query_params, **(changes or {}), **more}
    return address(request.url.path, query)


@pass_context
def _to(context: Context, path: str, **query: Any) -> str:
    """Another page's address, with this page's time range."""
    range_: TimeRange | None = context["range"]
    return address(path, {**(range_.query if range_ else {}), **query})


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates, compiled once."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals.update(
        asset=asset_url,
        here=_here,
        to=_to,
        lasts=tuple(LAST),
        unknown_sign=UNKNOWN,
        most_rows_shown=MOST_ROWS_SHOWN,
    )
    made.filters.update(shown=shown, iso=_iso, segment=lambda text: quote(str(text), safe=""))
    made.tests.update(unknown=is_unknown)
    return made
