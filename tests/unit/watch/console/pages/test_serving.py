"""Endpoints, models and the platform, for those who see all."""

import csv
import io
from datetime import timedelta

import pytest

from harness.alarm_pages import AlarmPages
from harness.console import OPERATOR_KEY, console
from harness.figures import figures
from harness.scripted_cloudwatch import ScriptedCloudWatch
from llmplatform.catalogue import Catalogue, Endpoint, Variant
from llmplatform.sampling import SamplingBrake
from llmplatform.testing import FakeClock, make_model

MOST_CALLS = 4
TWO_VARIANTS = Catalogue(
    models={
        "big": make_model("big", endpoint_type="sagemaker", backend_model_id="llama", dialect="lmi"),
        "org/small": make_model("org/small"),
    },
    endpoints={
        "llama": Endpoint(
            variants=(
                Variant(name="blue", instance_type="ml.g5.12xlarge", gpu_count=4),
                Variant(name="green", instance_type="ml.c5.large", gpu_count=0),
            )
        )
    },
)


@pytest.mark.parametrize("path", ["/platform", "/endpoints/llama-3-70b-support", "/models/nova-pro"])
async def test_a_page_is_a_bounded_number_of_calls(path: str) -> None:
    async with (
        console(cloudwatch=ScriptedCloudWatch(figures)) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        for at in range(48):
            made.put_tenant(f"tenant-{at:02d}")
        answer = await browser.get(f"{path}?compare=week")
        assert answer.status_code == 200
        assert 0 < int(answer.headers["x-aws-calls"]) <= MOST_CALLS


async def test_an_endpoint_is_shown_by_variant_and_a_cpu_has_no_gpus() -> None:
    async with (
        console(parts={"catalogue": TWO_VARIANTS}, cloudwatch=ScriptedCloudWatch(figures)) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        text = (await browser.get("/endpoints/llama")).text
        assert 'id="chart-endpoint-gpu-blue"' in text
        assert 'id="chart-endpoint-gpu-green"' not in text
        assert 'id="chart-endpoint-in-flight-green"' in text
        assert text.count('id="chart-endpoint-ttft"') == 1
        assert 'href="/models/big' in text


async def test_all_charts_of_an_endpoint_share_their_times() -> None:
    async with (
        console(parts={"catalogue": TWO_VARIANTS}, cloudwatch=ScriptedCloudWatch(figures)) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        times = set()
        for name in ("endpoint-gpu-blue", "endpoint-ttft"):
            text = (await browser.get(f"/endpoints/llama?format=csv&table={name}")).text
            times.add(tuple(row["time"] for row in csv.DictReader(io.StringIO(text))))
        assert len(times) == 1


async def test_a_model_whose_name_has_a_slash_has_a_page() -> None:
    async with (
        console(parts={"catalogue": TWO_VARIANTS}, cloudwatch=ScriptedCloudWatch(figures)) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        assert 'href="/models/org%2Fsmall' in (await browser.get("/models")).text
        assert (await browser.get("/models/org%2Fsmall")).status_code == 200


async def test_a_models_page_tells_who_uses_it() -> None:
    async with (
        console(cloudwatch=ScriptedCloudWatch(figures)) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        made.put_tenant("zeta", allowed_models={"nova-lite"})
        text = (await browser.get("/models/nova-pro?format=csv&table=tenants")).text
        assert [row["tenant"] for row in csv.DictReader(io.StringIO(text))] == ["acme"]


async def test_only_what_rings_about_it_is_on_its_page() -> None:
    alarms = AlarmPages()
    for name in ("endpoint/llama/blue/gpu-busy", "endpoint/llama-2/blue/gpu-busy", "tenant/acme/budget-usd"):
        alarms.put(f"llm-platform/{name}", "ALARM", AlarmActions=["arn:aws:sns:x"])
    async with (
        console(parts={"catalogue": TWO_VARIANTS, "alarms": alarms.reader(FakeClock())}) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        text = (await browser.get("/endpoints/llama")).text
        assert "endpoint/llama/blue" in text
        assert "endpoint/llama-2" not in text
        assert "budget-usd" not in text


@pytest.mark.parametrize("path", ["/endpoints/nobody", "/models/nobody"])
async def test_what_is_not_in_the_catalogue_is_not_there(path: str) -> None:
    async with console() as made, made.browser(key=OPERATOR_KEY) as browser:
        assert (await browser.get(path)).status_code == 404


async def test_what_was_never_published_is_an_empty_chart_and_no_error() -> None:
    async with console() as made, made.browser(key=OPERATOR_KEY) as browser:
        text = (await browser.get("/platform")).text
        assert "That is not zero: nothing was published." in text
        assert "it is only published when there is some" in text


async def test_the_platforms_page_says_who_holds_sampling_down_and_until_when() -> None:
    async with (
        console(cloudwatch=ScriptedCloudWatch(figures)) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        assert "Nobody holds sampling down" in (await browser.get("/platform")).text
        now = made.clock.now()
        made.policies.brake(
            account_budget=SamplingBrake(
                factor=0.5, expires_at=now + timedelta(hours=13), writer="costagg account-budget"
            ),
            lag=SamplingBrake(factor=0.1, expires_at=now, writer="host/7"),
            observability_budget=SamplingBrake(
                factor=1, expires_at=now + timedelta(hours=1), writer="costagg"
            ),
        )
        answer = await browser.get("/platform?format=csv&table=brakes")
        (told,) = csv.DictReader(io.StringIO(answer.text))
        assert told["reason"] == "the account's budget of the month"
        assert told["writer"] == "costagg account-budget"
        assert float(told["factor"]) == 0.5
        assert told["until"].startswith(f"{now + timedelta(hours=13):%Y-%m-%dT%H:%M}")
        text = (await browser.get("/platform")).text
        assert "the account&#39;s budget of the month" in text
        assert "judging lags behind" not in text
