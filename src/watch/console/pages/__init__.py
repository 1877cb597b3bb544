"""The pages, and how one is written.

1. A module `pages/<noun>.py` with `def routes(parts: ConsoleParts) -> APIRouter`, added to `PAGES` below.
   What it reads with is a field of `ConsoleParts`, opened in `watch.bootstrap`. What is shown is made by pure
   functions of what was read.
2. A route takes `request: Request, viewer: SignedIn` and, for time, `range_: Asked` (both of `pages.asking`).
   The door has signed the viewer in and checked the CSRF token of each POST: its form is `form_of(request)`,
   and a form in a page has `{{ csrf() }}` of `macros/forms.html`.
3. Whose is it? `viewer.check_sees(tenant_id)` (else a 404), `viewer.check_sees_all()` for the platform's own;
   lists by `viewer.may_see`. Content: `viewer.may_read_content(parts.policies.policy_of(tenant_id))`, then
   `log_content_read(request, tenant_id, trace_id)` once. Not there: raise `NotThere("trace")`. Cannot be read
   at all: raise `CannotBeRead("the ledger")`; in part: the macro `cannot_read`, and the rest of the page.
4. `Table(caption=..., columns=[Column("ttft_p99", "TTFT p99", "ms")], rows=[{...}], rests_on="12 requests")`
   `.sorted_as(request.query_params, default="tenant")`; a cell is a value or a `Cell`, None is unknown.
   `Chart(name=..., title=..., kind="ms", times=range_.steps, series=[Series("p99", values)])`; `along(times,
   points)` leaves gaps. First: `if (file := as_csv(request, *tables, *charts)) is not None: return file`.
5. `return page(request, "<noun>.html", viewer=viewer, title="...", range=range_, ...)`. The template:
   `{% extends "layout.html" %}`, `{% from "macros/tables.html" import table with context %}` (`charts.html`:
   chart; `states.html`: empty, stale, cannot_read, badge, moment, figure; `ranges.html`:
   range_form), then `{% block content %}`. `{{ here(sort="x") }}` is this page with parameters changed,
   `{{ to("/tenants/" ~ (id | segment)) }}` another with this range. Charts stand in `<div class="charts">`.
6. No inline script and no `style=`: the policy forbids both. Styles are classes of `console.css`.
"""

from collections.abc import Callable
from typing import Final

from fastapi import APIRouter

from watch.console.pages import alarms, cost, evaluations, overview, requests, serving, tenants, traces
from watch.console.parts import ConsoleParts

PAGES: Final[tuple[Callable[[ConsoleParts], APIRouter], ...]] = (
    overview.routes,
    tenants.routes,
    serving.routes,
    requests.routes,
    traces.routes,
    evaluations.routes,
    alarms.routes,
    cost.routes,
)
