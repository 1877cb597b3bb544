"""`llm-platform estimate`: its options; the work is in the rooms beside it."""

from decimal import Decimal
from typing import Annotated, Final

import typer

from operator_cli.estimate.options import Options
from operator_cli.estimate.workload import Growth

_DEFAULT: Final = Options()
_MAX_FACTOR: Final = 10_000


def _factors(text: str) -> str:
    try:
        factors = [Decimal(part) for part in text.split(",")]
    except ArithmeticError:
        raise typer.BadParameter("numbers with commas between them, such as 1,10,100") from None
    if any(not (factor.is_finite() and 0 < factor <= _MAX_FACTOR) for factor in factors):
        raise typer.BadParameter(f"numbers above 0, {_MAX_FACTOR:,} at most")
    return text


def estimate(
    *,
    tenants: Annotated[int, typer.Option(min=1, help="How many there are.")] = _DEFAULT.tenants,
    requests_per_day: Annotated[
        int, typer.Option(min=1, help="Of all tenants together.")
    ] = _DEFAULT.requests_per_day,
    tokens_per_request: Annotated[
        int, typer.Option(min=2, help="Prompt and answer, in the mean.")
    ] = _DEFAULT.tokens_per_request,
    models: Annotated[
        str,
        typer.Option(metavar="NAME[=WEIGHT],...", help="Models of the catalogue, by weight of requests."),
    ] = _DEFAULT.models,
    models_per_tenant: Annotated[
        int, typer.Option(min=1, help="That a tenant uses: each makes series and alarms.")
    ] = _DEFAULT.models_per_tenant,
    output_share: Annotated[float, typer.Option(min=0.001, max=0.999, help="Of a request's tokens.")] = float(
        _DEFAULT.output_share
    ),
    sample_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of answers that are judged.")
    ] = float(_DEFAULT.sample_rate),
    judge: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of the list of judges; its own default if not given."),
    ] = _DEFAULT.judge,
    bands: Annotated[
        bool | None,
        typer.Option("--bands/--no-bands", help="Alarms on CloudWatch's anomaly bands; else as WATCH_BANDS."),
    ] = _DEFAULT.bands,
    peak_to_mean: Annotated[
        float,
        typer.Option(
            min=1,
            max=100,
            help="Requests of the busiest minute over a mean one's. 3: a busy hour has twice the mean, and a "
            "minute of it half as much again.",
        ),
    ] = float(_DEFAULT.peak_to_mean),
    largest_tenant: Annotated[
        float, typer.Option(min=0, max=1, help="Its share of the requests. 0.2: of 50, by Zipf's law.")
    ] = float(_DEFAULT.largest_tenant),
    region: Annotated[
        str, typer.Option(envvar="AWS_REGION", help="Whose prices hold: most are known of us-east-1 alone.")
    ] = _DEFAULT.region,
    scale: Annotated[
        str, typer.Option(callback=_factors, metavar="N,N,...", help="Sizes to show, as multiples.")
    ] = ",".join(map(str, _DEFAULT.factors)),
    grow: Annotated[
        Growth,
        typer.Option(help="What there is more of: tenants of one size, or requests of the same tenants."),
    ] = _DEFAULT.growth,
    sources: Annotated[bool, typer.Option("--sources", help="Where each figure comes from, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same for programs, with all sources.")] = False,
) -> None:
    """Estimate what a platform takes and costs a month, what is full first, and observing's share.

    Asks no account: prices, catalogue and this environment's settings, figures of the benchmarks, AWS's
    default quotas. What is not known is said to be unknown, and is in no sum. The defaults are the design's
    scale. docs/capacity.md says what that comes to, and what a simulation makes of it.

    Example: llm-platform estimate --tenants 20 --requests-per-day 300000 --models claude-haiku-4-5
    """
    from operator_cli.estimate.running import run_estimate  # noqa: PLC0415

    run_estimate(
        Options(
            tenants=tenants,
            requests_per_day=requests_per_day,
            tokens_per_request=tokens_per_request,
            models=models,
            models_per_tenant=models_per_tenant,
            output_share=_as_written(output_share),
            sample_rate=_as_written(sample_rate),
            judge=judge,
            bands=bands,
            peak_to_mean=_as_written(peak_to_mean),
            largest_tenant=_as_written(largest_tenant),
            region=region,
            factors=tuple(map(Decimal, scale.split(","))),
            growth=grow,
        ),
        sources=sources,
        as_json=as_json,
    )


def _as_written(number: float) -> Decimal:
    return Decimal(str(number))
