"""What `llm-platform estimate` reads: catalogue, prices, judges and this environment's settings."""

import json
import os
from collections.abc import Mapping
from decimal import Decimal

from costagg.settings import read_settings as read_cost_settings
from evalworker.settings import read_settings as read_evaluation_settings
from gateway.settings import read_settings as read_gateway_settings
from llmplatform.aws.parameters import LOAD_WITHIN_S
from llmplatform.catalogue import load_catalogue
from llmplatform.clock import Clock, SystemClock
from llmplatform.judges import load_judge_models
from llmplatform.prices import load_prices
from operator_cli.connection import catalogue_in_force
from operator_cli.console import print_table
from operator_cli.estimate.alarms import alarm_units
from operator_cli.estimate.estimating import Asked, Estimate, estimate
from operator_cli.estimate.facts import facts_of
from operator_cli.estimate.needs import Facts, House
from operator_cli.estimate.options import Options
from operator_cli.estimate.pricing import Pricing
from operator_cli.estimate.view import shown
from operator_cli.estimate.workload import Workload, shares_of
from watch.settings import read_limits
from watch.settings import read_settings as read_watch_settings


def run_estimate(options: Options, *, sources: bool, as_json: bool) -> None:
    """Print it."""
    found = estimate_here(options, os.environ, SystemClock())
    if as_json:
        print(json.dumps(facts_of(found), indent=2))
    else:
        print_table(shown(found, sources=sources))


def estimate_here(options: Options, environ: Mapping[str, str], clock: Clock) -> Estimate:
    """The estimate in this environment. Raises ConfigFault that names option, file or variable at fault."""
    catalogue = load_catalogue(catalogue_in_force(environ))
    shares = shares_of(options.models, catalogue)
    evaluation, _ = read_evaluation_settings()
    watching, _ = read_watch_settings()
    costs, environment = read_cost_settings()
    judges = load_judge_models(evaluation.judges)
    judge = options.judge or evaluation.judge or judges.default
    limits = read_limits()
    bandless = alarm_units(catalogue, limits, bands=False)
    bands = watching.bands if options.bands is None else options.bands
    facts = Facts(
        catalogue=catalogue,
        judge=judge,
        judge_price_key=judges.named(judge).price_key,
        alarm_units=alarm_units(catalogue, limits, bands=True) if bands else bandless,
        house=House(
            judge_calls_at_once=evaluation.judge_in_flight,
            judge_daily_budget_usd=evaluation.daily_budget_usd,
            observing_daily_budget_usd=costs.observability_daily_budget_usd,
            max_series=watching.max_series,
            max_alarms=watching.max_alarms,
            policy_refresh_s=Decimal(str(read_gateway_settings()[0].policy_refresh_s)),
            policy_load_s=Decimal(str(LOAD_WITHIN_S)),
        ),
    )
    workload = Workload(
        tenants=options.tenants,
        requests_per_day=options.requests_per_day,
        tokens_per_request=options.tokens_per_request,
        models=shares,
        models_per_tenant=min(options.models_per_tenant, len(shares)),
        output_share=options.output_share,
        sample_rate=options.sample_rate,
        peak_to_mean=options.peak_to_mean,
        largest_tenant=max(options.largest_tenant, Decimal(1) / options.tenants),
    )
    asked = Asked(
        workload=workload,
        factors=options.factors,
        growth=options.growth,
        facts=facts,
        judges={name: model.price_key for name, model in judges.judges.items()},
        bandless=bandless,
    )
    prices = load_prices(environment.llm_platform_prices)
    return estimate(asked, Pricing(prices, clock.now().date(), options.region))
