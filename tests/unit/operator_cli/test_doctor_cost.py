"""The doctor's checks of cost: what has no price, how far hours are, what is not known, keys for bills."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from corpus.costs import BIG, GEO, prices
from llmplatform import apikeys
from llmplatform.access import Access
from llmplatform.catalogue import Catalogue, ModelEntry
from llmplatform.costs import HourStatus
from llmplatform.footprint import METRIC_MONTHS, METRICS_READ, PipelineQuantities
from llmplatform.testing import make_model
from operator_cli.doctor_cost import (
    LATE_AFTER,
    LATE_ON_A_LAPTOP,
    Cost,
    access_check,
    hours_check,
    prices_check,
    usage_check,
)

NOW = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
REGION = "us-east-1"
RUNNING = NOW.replace(minute=0)
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"


def service_prices() -> str:
    """Rows for every service that the platform itself uses."""
    taken = PipelineQuantities()
    parts = (taken.per_request, taken.per_sample, taken.per_judgement, taken.per_hour)
    names = {name for part in parts for name in part} | {METRIC_MONTHS, METRICS_READ}
    return "".join(
        f"""
[[service_prices]]
service = "{name.partition("/")[0]}"
name = "{name.partition("/")[2]}"
regions = ["*"]
effective_from = 2026-01-01
source = "a test"
retrieved_on = 2026-01-01
unit = "units"
usd_per_unit = 0.001
"""
        for name in sorted(names)
    )


def catalogue(*models: ModelEntry, endpoint: str | None = "big", instance_type: str = BIG) -> Catalogue:
    variant = {"name": "AllTraffic", "instance_type": instance_type, "gpu_count": 4}
    endpoints: Any = {} if endpoint is None else {endpoint: {"variants": [variant]}}
    return Catalogue(models={model.model_id: model for model in models}, endpoints=endpoints)


def found(*models: ModelEntry, region: str = REGION, **fields: Any) -> tuple[str, str]:
    check = prices_check(prices(service_prices()), catalogue(*models, **fields), date(2026, 11, 23), region)
    assert bool(check.fix) == (check.status != "ok")
    return check.status, check.found


def dedicated(endpoint: str) -> ModelEntry:
    return make_model(
        "big", endpoint_type="sagemaker", backend_model_id=endpoint, dialect="openai_chat", price_key="any"
    )


def test_all_that_has_a_price_is_fine_whatever_a_dedicated_model_is_called() -> None:
    assert found(make_model(price_key=GEO), dedicated("big"))[0] == "ok"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"price_key": "vendor.nosuch/geo"}, "vendor.nosuch/geo"),
        ({"price_key": GEO, "service_tier": "flex"}, f"{GEO} (flex)"),
        (
            {
                "price_key": "any",
                "backend_model_id": "arn:aws:bedrock:us-east-1::foundation-model/vendor.b-v1:0",
            },
            "vendor.b/in-region",
        ),
    ],
)
def test_a_model_without_a_price_is_named_by_the_key_that_the_job_will_use(
    fields: dict[str, Any], named: str
) -> None:
    status, told = found(make_model(**fields))
    assert (status, told) == (
        "warning",
        f"no price for {named} in us-east-1: its usage will be unpriced",
    )


def test_a_model_behind_an_application_profile_is_left_to_bedrock() -> None:
    assert found(make_model(backend_model_id=PROFILE, price_key="any"))[0] == "ok"


def test_instances_and_services_of_a_region_without_prices_are_named() -> None:
    assert "ml.p9.nosuch" in found(instance_type="ml.p9.nosuch")[1]
    status, told = found(make_model(price_key=GEO), region="eu-west-1")
    assert status == "warning"
    assert f"no price for {GEO}, {BIG} in eu-west-1" in told
    without = prices_check(prices(), catalogue(), date(2026, 11, 23), REGION)
    assert "AWSXRay/XRay-TracesStored" in without.found
    assert "more in us-east-1" in without.found


def test_an_endpoint_of_which_nobody_knows_the_instances_is_named() -> None:
    status, told = found(dedicated("elsewhere"))
    assert status == "warning"
    assert "no instance type of endpoint elsewhere" in told


def hour(ago: int, *, computed: timedelta = timedelta(0), **fields: Any) -> HourStatus:
    """An hour so many before the running one, computed so long ago."""
    given: dict[str, Any] = {"state": "open", "claimed_run": 1, "run": 1, "computed_at": NOW - computed}
    return HourStatus(RUNNING - timedelta(hours=ago), **(given | fields))


def of(*statuses: HourStatus) -> dict[datetime, HourStatus]:
    return {status.hour: status for status in statuses}


@pytest.mark.parametrize(
    ("statuses", "late_after", "status", "told"),
    [
        ((), LATE_AFTER, "failed", "none was ever computed"),
        ((hour(0, run=0, computed_at=None),), LATE_AFTER, "failed", "none was ever computed"),
        ((hour(1), hour(0)), LATE_AFTER, "ok", "last run 0 min ago; 0 closed, 2 open"),
        ((hour(1, state="closed"), hour(0)), LATE_AFTER, "ok", "1 closed, 1 open"),
        ((hour(1, computed=timedelta(minutes=119)),), LATE_AFTER, "ok", "119 min ago"),
        ((hour(1, computed=timedelta(minutes=121)),), LATE_AFTER, "failed", "the last run was 2 h ago"),
        ((hour(0, computed=timedelta(minutes=6)),), LATE_ON_A_LAPTOP, "failed", "the last run was 6 min ago"),
        ((hour(4), hour(0)), LATE_AFTER, "failed", "ended 3 h ago"),
    ],
)
def test_a_job_that_stands_still_is_told(
    statuses: tuple[HourStatus, ...], late_after: timedelta, status: str, told: str
) -> None:
    check = hours_check(of(*statuses), (), NOW, late_after=late_after)
    assert check.status == status
    assert told in check.found
    assert bool(check.fix) == (status != "ok")


def test_hours_that_no_run_will_look_at_again_come_with_the_command_that_does() -> None:
    left = [RUNNING - timedelta(hours=100), RUNNING - timedelta(hours=98)]
    check = hours_check(of(hour(1), hour(0)), left, NOW, late_after=LATE_AFTER)
    assert check.status == "warning"
    assert "2, from 2026-11-19T16 to 2026-11-19T18" in check.found
    assert "--from 2026-11-19T16 --to 2026-11-19T18" in check.fix


@pytest.mark.parametrize(
    ("fields", "status", "told"),
    [
        ({}, "ok", "has a count and a price"),
        ({"unpriced_lines": 3}, "warning", "without a price: 6 (vendor.new/geo)"),
        ({"uncounted_requests": 2}, "warning", "nobody knows how much was used: 4"),
        ({"computed_from": "cloudwatch-metrics"}, "warning", "ledger could not be read: 2"),
    ],
)
def test_what_the_amounts_of_today_lack_is_told(fields: dict[str, Any], status: str, told: str) -> None:
    named = {"vendor.new/geo": 6} if "unpriced_lines" in fields else {}
    check = usage_check(of(hour(1, **fields), hour(0, **fields)), named)
    assert check.status == status
    assert told in check.found


def test_a_day_of_which_nothing_is_computed_is_not_called_fine() -> None:
    for statuses in ((), (hour(0, run=0, computed_at=None),)):
        check = usage_check(of(*statuses), {})
        assert (check.status, check.found) == ("warning", "no hour of today is computed yet")


def test_a_billing_key_must_work_now() -> None:
    key = apikeys.mint_role_key("billing", bytes(32))
    week = timedelta(days=7)
    live = apikeys.record_of(key, NOW - week, NOW + week)
    assert access_check(Access(billing=(live,)), NOW).status == "ok"
    assert access_check(Access(billing=(live,)), NOW + week).found == "all have expired"
    none = access_check(Access(operator=(live,)), NOW)
    assert none.status == "warning"
    assert "access add-key billing" in none.fix


def test_settings_that_the_job_would_refuse_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def names() -> dict[str, str]:
        return {check.name: check.status for check in Cost().offline(None, NOW.date(), REGION)}

    assert names() == {"cost settings": "ok"}
    monkeypatch.setenv("LLM_PLATFORM_PRICES", "/nowhere/prices.toml")
    assert names() == {"cost settings": "ok", "prices": "failed"}
    monkeypatch.setenv("COST_LOOK_BACK_H", "3")
    (check,) = Cost().offline(None, NOW.date(), REGION)
    assert (check.name, check.status) == ("cost settings", "failed")
    assert "COST_LOOK_BACK_H" in check.found
    monkeypatch.setenv("COST_LOOKBACK", "3")
    assert "COST_LOOKBACK" in next(iter(Cost().offline(None, NOW.date(), REGION))).found
