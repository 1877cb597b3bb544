"""How an estimate looks in a terminal."""

from collections.abc import Iterable, Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from operator_cli.estimate.estimating import Estimate
from operator_cli.estimate.figures import FIGURES, Figure
from operator_cli.estimate.levers import TARGET
from operator_cli.estimate.limits import SMALLEST, Filling
from operator_cli.estimate.parts import Layer, month_of
from operator_cli.estimate.telling import (
    UNKNOWN,
    full,
    percent,
    percent_between,
    short,
    times,
    usd,
    usd_between,
)

_INDENT: Final = (0, 0, 0, 2)
_GAP: Final = (0, 2, 0, 0)
_LAYERS: Final[tuple[Layer, ...]] = ("serving", "observing")


def shown(found: Estimate, *, sources: bool) -> RenderableType:
    """All of it; with `sources`, where each figure comes from too."""
    parts: list[RenderableType] = [
        Text(_title(found)),
        Text("Estimated, at list prices on demand; nothing here was measured on an account.", style="dim"),
        *_section("What it takes and costs a month", _costs(found)),
        *_section(f"Observing's share of inference, at most {percent(TARGET)}", _shares(found)),
        *_section("How full each limit is in the busiest minute", _limits(found)),
        *_section("What to change, first things first", *_changes(found)),
        *_section("What would change the share", _levers(found)),
    ]
    if sources:
        parts += _section("Where figures come from", _sources(found))
    return Group(*parts)


def _title(found: Estimate) -> str:
    asked, pricing = found.asked.workload, found.pricing
    mix = ", ".join(f"{name} {percent(share)}" for name, share in asked.models.items())
    return (
        f"{asked.tenants:,} tenants, {asked.requests_per_day:,} requests a day of "
        f"{asked.tokens_per_request:,} tokens, {percent(asked.sample_rate)} judged by "
        f"{found.asked.facts.judge}\n{mix}\n{pricing.region}, prices of {pricing.prices.version}; "
        f"a larger size is more {found.asked.growth}"
    )


def _section(title: str, *what: RenderableType) -> Iterator[RenderableType]:
    if what:
        yield Text()
        yield Text(title, style="bold")
        yield from (Padding(each, _INDENT) for each in what)


def _table(columns: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=_GAP)
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _costs(found: Estimate) -> Table:
    sizes = found.sizes
    table = _table(cell for size in sizes for cell in ("", times(size.factor)))
    for layer in _LAYERS:
        table.add_row(layer, style="bold")
        for alike in zip(*(size.of(layer) for size in sizes), strict=True):
            cells = (cell for part in alike for cell in (short(part.quantity.likely), usd(part.usd)))
            table.add_row(f"  {alike[0].name}, {alike[0].unit}", *cells)
        sums = [month_of(size.of(layer)) for size in sizes]
        table.add_row(f"  {layer}, most likely", *_alone(map(usd, sums)), style="bold")
        table.add_row("  between", *_alone(map(usd_between, sums)))
    table.add_row("inference", style="bold")
    for models in zip(*(size.models for size in sizes), strict=True):
        table.add_row(f"  {models[0].model_id}", *_alone(usd(model.usd) for model in models))
    table.add_row("  inference", *_alone(usd(size.inference_usd) for size in sizes), style="bold")
    unknown = (*sizes[0].unknown, *sizes[0].inference_unknown)
    if unknown:
        table.caption = f"Not known, and in no sum: {', '.join(unknown)}."
        table.caption_justify = "left"
    return table


def _alone(cells: Iterable[str]) -> Iterator[str]:
    """Amounts that have no quantity beside them."""
    for cell in cells:
        yield ""
        yield cell


def _shares(found: Estimate) -> Table:
    table = _table(times(size.factor) for size in found.sizes)
    rows = {
        "most likely": [size.share for size in found.sizes],
        "as observability_share_percent will have it": [size.metered_share for size in found.sizes],
    }
    for name, shares in rows.items():
        table.add_row(name, *(UNKNOWN if share is None else percent(share.likely) for share in shares))
    table.add_row("between", *(percent_between(size.share) for size in found.sizes))
    return table


def _limits(found: Estimate) -> Table:
    first = times(found.sizes[0].factor)
    table = _table([f"used at {first}", "allowed", *(times(size.factor) for size in found.sizes), "full at"])
    for filling in found.fillings:
        limit = filling.limits[0]
        allowed = UNKNOWN if limit.quota.value is None else short(limit.quota.value)
        fullness = (full(each.fullness) for each in filling.limits)
        name = f"{limit.name}, {limit.quota.unit}"
        table.add_row(name, short(limit.used.likely), allowed, *fullness, _full_at(filling))
    return table


def _full_at(filling: Filling) -> str:
    match filling.full_at:
        case None:
            return ""
        case at:
            return "any size" if at == SMALLEST else times(at)


def _changes(found: Estimate) -> Iterator[Text]:
    """Of what is full, or may be, at the largest size; limits with one answer stand together."""
    answers: dict[str, list[str]] = {}
    for filling in found.fillings:
        last = filling.limits[-1]
        if last.fullness is None or last.fullness > 1:
            at = _full_at(filling) or "nobody knows"
            answers.setdefault(last.change, []).append(f"{last.name} ({at})")
    for change, names in answers.items():
        yield Text(f"{', '.join(names)}: {change}.")


def _levers(found: Estimate) -> Table:
    table = _table(["share", "between", ""])
    for lever in found.levers:
        enough = "within" if lever.enough else ""
        table.add_row(lever.what, percent(lever.share.likely), percent_between(lever.share), enough)
    return table


def _sources(found: Estimate) -> Table:
    table = Table(box=None, pad_edge=False, padding=_GAP)
    for column in ("what", "how much", "source"):
        table.add_column(column, overflow="fold")
    first = found.sizes[0]
    for part in first.parts:
        amount = f"{short(part.quantity.likely)} {part.unit}, {usd(part.usd)}"
        table.add_row(part.name, amount, part.source)
    for model in first.models:
        table.add_row(model.model_id, usd(model.usd), model.basis)
    for filling in found.fillings:
        quota = filling.limits[0].quota
        value = UNKNOWN if quota.value is None else f"{short(quota.value)} {quota.unit}"
        table.add_row(filling.limits[0].name, value, quota.source)
    for name, figure in FIGURES.items():
        kind = "measured" if figure.measured else "assumed"
        table.add_row(name, _figure(figure), f"{kind}: {figure.source}")
    return table


def _figure(figure: Figure) -> str:
    value = figure.value
    low, likely, high = (f"{each.normalize():f}" for each in (value.low, value.likely, value.high))
    spread = "" if low == high else f" ({low} to {high})"
    return f"{likely}{spread} {figure.unit}"
