"""`llm-platform doctor`'s checks of cost: prices, how far hours are, what is not known, keys for bills."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import aioboto3

from costagg.bootstrap import cost_table
from costagg.hours import HourRules, cost_age_s, hours_due
from costagg.job import LOOKED_BACK
from costagg.settings import CostSettings, EnvironmentSettings, read_settings
from costagg.totals import Totals
from llmplatform.access import Access
from llmplatform.aws.access import AccessStore
from llmplatform.aws.cost_reader import CostReader, CostsUnavailable
from llmplatform.aws.sessions import endpoint_url
from llmplatform.bedrock_ids import is_application_profile, price_key_of
from llmplatform.catalogue import Catalogue, ModelEntry
from llmplatform.clock import SystemClock
from llmplatform.costs import HourStatus
from llmplatform.errors import ConfigFault
from llmplatform.footprint import METRIC_MONTHS, METRICS_READ, PipelineQuantities
from llmplatform.prices import PriceTable, TokenClass, load_prices
from operator_cli.check import Check

LATE_AFTER: Final = timedelta(hours=2)
"""The job runs hourly: one run may be late, none may be missed."""
LATE_ON_A_LAPTOP: Final = timedelta(minutes=5)
"""There it runs every minute."""
_SHOWN: Final = 8

Look = Callable[[aioboto3.Session], Awaitable[Check]]


class Cost:
    """The checks, by the settings that the cost job would start with in this environment."""

    def __init__(self) -> None:
        """Reads files and environment, nothing over the network."""
        self._settings: tuple[CostSettings, EnvironmentSettings, HourRules] | None = None

    def offline(self, catalogue: Catalogue | None, today: date, region: str) -> Iterator[Check]:
        """What can be told without the network; to be asked first."""
        try:
            settings, environment = read_settings()
            rules = HourRules(settings.close_after, settings.look_back)
        except ConfigFault as fault:
            yield Check("cost settings", "failed", str(fault), "unset or correct the variable")
            return
        environment = environment.model_copy(update={"aws_region": region})
        self._settings = settings, environment, rules
        yield Check("cost settings", "ok", "every COST_* variable is known and in range")
        try:
            prices = load_prices(environment.llm_platform_prices)
        except ConfigFault as fault:
            fix = "mend the file, or name another: LLM_PLATFORM_PRICES"
            yield Check("prices", "failed", str(fault), fix)
            return
        if catalogue is not None:
            yield prices_check(prices, catalogue, today, region)

    def online(self) -> tuple[tuple[str, Look], ...]:
        """What is asked of the account, by name."""
        return (("cost hours", self._hours), ("cost usage", self._usage), ("billing keys", billing_keys))

    async def _hours(self, _session: aioboto3.Session) -> Check:
        """Whether the job ran lately, and left no hour behind."""
        try:
            async with self._reading() as (reader, rules, now):
                statuses = await reader.statuses((now - rules.look_back - LOOKED_BACK).date(), now.date())
        except (CostsUnavailable, ConfigFault) as fault:
            return _unread("cost hours", fault)
        left_open = hours_due(now, statuses, rules).left_open
        return hours_check(statuses, left_open, now, late_after=_late_after(os.environ))

    async def _usage(self, _session: aioboto3.Session) -> Check:
        """Whether all that was used today is known and has a price."""
        try:
            async with self._reading() as (reader, _, now):
                statuses = await reader.statuses(now.date(), now.date())
                price_keys: Mapping[str, int] = {}
                if any(status.unpriced_lines for status in statuses.values()):
                    days = reader.all_lines(now.date(), now.date(), statuses)
                    lines = [line async for _, _, some in days for line in some]
                    price_keys = Totals(now).add(lines).unpriced_today
        except (CostsUnavailable, ConfigFault) as fault:
            return _unread("cost usage", fault)
        return usage_check(statuses, price_keys)

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[tuple[CostReader, HourRules, datetime]]:
        if self._settings is None:
            raise ConfigFault("not looked for: correct the COST_* variables first")
        _, environment, rules = self._settings
        async with cost_table(environment) as (reader, _):
            yield reader, rules, datetime.now(UTC)


def prices_check(prices: PriceTable, catalogue: Catalogue, today: date, region: str) -> Check:
    """Whether what the catalogue's models use, and the platform beside them, has a price today.

    A model behind an application inference profile is left out: which one it is, only Bedrock knows.
    """
    missing = sorted({*_unpriced_tokens(prices, catalogue, today, region)})
    missing += sorted({*_unpriced_instances(prices, catalogue, today, region)})
    missing += sorted({*_unpriced_services(prices, today, region)})
    if missing:
        return Check(
            "prices",
            "warning",
            f"no price for {_named(missing)} in {region}: its usage will be unpriced",
            "add it to the file that LLM_PLATFORM_PRICES names (docs/prices.md)",
        )
    unknown = sorted(
        {
            model.endpoint_name
            for model in catalogue.models.values()
            if model.endpoint_name is not None and model.endpoint_name not in catalogue.endpoints
        }
    )
    if unknown:
        return Check(
            "prices",
            "warning",
            f"the catalogue has no instance type of endpoint {_named(unknown)}: its cost will be unknown",
            "add it to the catalogue's [endpoints]",
        )
    return Check("prices", "ok", f"version {prices.version} prices all that is used in {region}")


def _unpriced_tokens(prices: PriceTable, catalogue: Catalogue, today: date, region: str) -> Iterator[str]:
    wanted: tuple[TokenClass, ...] = ("input", "output")
    for model in catalogue.models.values():
        if model.endpoint_type != "bedrock" or (key := _price_key(model, prices)) is None:
            continue
        tier = model.service_tier
        if any(
            prices.price_of(key, one, at=today, region=region, service_tier=tier) is None for one in wanted
        ):
            yield key if tier is None else f"{key} ({tier})"


def _price_key(model: ModelEntry, prices: PriceTable) -> str | None:
    """What the cost job will price a model by: see `costagg.profiles.resolved`."""
    arn = model.backend_model_id
    if prices.knows(model.price_key) or not arn.startswith("arn:"):
        return model.price_key
    return None if is_application_profile(arn) else price_key_of(arn) or model.price_key


def _unpriced_instances(prices: PriceTable, catalogue: Catalogue, today: date, region: str) -> Iterator[str]:
    for endpoint in catalogue.endpoints.values():
        for variant in endpoint.variants:
            if prices.instance_price(variant.instance_type, at=today, region=region) is None:
                yield variant.instance_type


def _unpriced_services(prices: PriceTable, today: date, region: str) -> Iterator[str]:
    taken = PipelineQuantities()
    parts = (taken.per_request, taken.per_sample, taken.per_judgement, taken.per_hour)
    for name in (*(name for part in parts for name in part), METRIC_MONTHS, METRICS_READ):
        if prices.service_price(name, at=today, region=region) is None:
            yield name


def hours_check(
    statuses: Mapping[datetime, HourStatus],
    left_open: Collection[datetime],
    now: datetime,
    *,
    late_after: timedelta,
) -> Check:
    """How long ago the job ran, and whether it got as far as it should.

    `left_open` are hours that no scheduled run will look at again.
    """
    start = "run it: `python -m costagg run`, hourly; its log says why it failed"
    runs = [status.computed_at for status in statuses.values() if status.run and status.computed_at]
    if not runs:
        return Check("cost hours", "failed", "none was ever computed", start)
    since_run = now - max(runs)
    if since_run > late_after:
        return Check("cost hours", "failed", f"the last run was {_ago(since_run)} ago", start)
    age_s = cost_age_s(now, statuses)
    if age_s is not None and age_s > LATE_AFTER.total_seconds():
        told = f"the newest whole hour that is computed ended {_ago(timedelta(seconds=age_s))} ago"
        return Check("cost hours", "failed", told, start)
    if left_open:
        first, last = (f"{hour:%Y-%m-%dT%H}" for hour in (min(left_open), max(left_open)))
        told = f"left open, and too old for a scheduled run: {len(left_open)}, from {first} to {last}"
        return Check("cost hours", "warning", told, f"`python -m costagg run --from {first} --to {last}`")
    closed = sum(status.closed for hour, status in statuses.items() if status.run)
    told = f"last run {_ago(since_run)} ago; {closed} closed, {len(runs) - closed} open"
    return Check("cost hours", "ok", told)


def usage_check(statuses: Mapping[datetime, HourStatus], price_keys: Mapping[str, int]) -> Check:
    """Whether something is missing in the amounts of today's hours; `price_keys` have no price."""
    if not any(status.run for status in statuses.values()):
        return Check("cost usage", "warning", "no hour of today is computed yet", "wait for the next run")
    unpriced = sum(status.unpriced_lines for status in statuses.values())
    if unpriced:
        named = f" ({_named(sorted(price_keys))})" if price_keys else ""
        told = f"today's lines without a price: {unpriced}{named}"
        fix = "add the price and compute again (docs/runbooks/unpriced-usage.md)"
        return Check("cost usage", "warning", told, fix)
    uncounted = sum(status.uncounted_requests for status in statuses.values())
    if uncounted:
        told = f"today's calls of which nobody knows how much was used: {uncounted}"
        return Check("cost usage", "warning", told, "see docs/runbooks/uncounted-requests.md")
    by_metrics = sum(status.computed_from == "cloudwatch-metrics" for status in statuses.values())
    if by_metrics:
        told = f"today's hours that are estimates, since the ledger could not be read: {by_metrics}"
        return Check("cost usage", "warning", told, "see what is away, in docs/cost.md")
    return Check("cost usage", "ok", "all that was used today has a count and a price")


async def billing_keys(session: aioboto3.Session) -> Check:
    """Whether the roles' document can be read and lets a billing system in."""
    clock = SystemClock()
    async with session.client("ssm") as ssm:
        try:
            access = await AccessStore(ssm, clock).list()
        except ConfigFault as fault:
            fix = "correct the parameter /llm-platform/_platform/access"
            return Check("billing keys", "failed", str(fault), fix)
    return access_check(access, clock.now())


def access_check(access: Access, now: datetime) -> Check:
    """Whether a key of the role `billing` works now."""
    live = [key for key in access.billing if key.live_at(now)]
    if not live:
        gone = "all have expired" if access.billing else "role billing has none"
        return Check("billing keys", "warning", gone, "`llm-platform access add-key billing`")
    return Check("billing keys", "ok", f"{len(live)} of role billing")


def _late_after(environ: Mapping[str, str]) -> timedelta:
    host = urlsplit(endpoint_url("dynamodb", "us-east-1", environ)).hostname or ""
    try:
        local = ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return LATE_ON_A_LAPTOP if local else LATE_AFTER


def _unread(name: str, fault: Exception) -> Check:
    return Check(name, "failed", str(fault), "check the table tenant-cost, the network and the permissions")


def _ago(age: timedelta) -> str:
    minutes = int(age.total_seconds()) // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"  # noqa: PLR2004


def _named(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
