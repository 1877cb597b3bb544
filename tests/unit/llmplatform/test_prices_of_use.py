"""Prices of instances and of services that the platform itself uses: the rules, and the tables that ship."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

import sandbox
from llmplatform.catalogue import load_catalogue
from llmplatform.errors import ConfigFault
from llmplatform.prices import PriceTable, load_prices, parse_prices

DAY = date(2026, 11, 24)
INSTANCE = """
[[instance_prices]]
instance_type = "ml.g5.xlarge"
regions = ["us-*"]
effective_from = 2026-01-01
source = "a test"
retrieved_on = 2026-01-01
usd_per_hour = 1.408
"""
SERVICE = """
[[service_prices]]
service = "AmazonDynamoDB"
name = "WriteRequestUnits"
unit = "Write Request Units"
regions = ["us-*"]
effective_from = 2026-01-01
source = "a test"
retrieved_on = 2026-01-01
usd_per_unit = 0.000000625
"""
FILE = 'version = "1"\n' + INSTANCE + SERVICE
SANDBOX = Path(sandbox.__file__).parent


def hourly(
    prices: PriceTable, instance_type: str, at: date = DAY, region: str = "us-east-1"
) -> Decimal | None:
    found = prices.instance_price(instance_type, at=at, region=region)
    return None if found is None else found.usd_per_hour


def test_an_instance_has_the_price_of_its_region_and_day() -> None:
    later = INSTANCE.replace("from = 2026-01-01", "from = 2026-07-01").replace("1.408", "1.2")
    ended = INSTANCE.replace("source", "effective_to = 2026-07-01\nsource")
    near = INSTANCE.replace('"us-*"', '"us-west-2"').replace("1.408", "1.5")
    prices = parse_prices('version = "1"\n' + ended + later + near)
    assert hourly(prices, "ml.g5.xlarge", date(2025, 12, 31)) is None
    assert hourly(prices, "ml.g5.xlarge", date(2026, 6, 30)) == Decimal("1.408")
    assert hourly(prices, "ml.g5.xlarge", date(2026, 7, 1)) == Decimal("1.2")
    assert hourly(prices, "ml.g5.xlarge", region="us-west-2") == Decimal("1.5")
    assert hourly(prices, "ml.g5.xlarge", region="eu-west-1") is None
    assert hourly(prices, "ml.g5.2xlarge") is None


def test_a_unit_of_a_service_is_looked_up_by_service_and_name() -> None:
    prices = parse_prices(FILE)
    found = prices.service_price("AmazonDynamoDB/WriteRequestUnits", at=DAY, region="us-east-1")
    assert found
    assert (found.service, found.unit) == ("AmazonDynamoDB", "Write Request Units")
    assert found.usd_per_unit == Decimal("0.000000625")
    assert found.row.source == "a test"
    for unknown in ("AmazonDynamoDB/ReadRequestUnits", "WriteRequestUnits", "AmazonDynamoDB/"):
        assert prices.service_price(unknown, at=DAY, region="us-east-1") is None
    assert prices.service_price("AmazonDynamoDB/WriteRequestUnits", at=DAY, region="eu-west-1") is None


def test_what_is_no_token_price_makes_no_price_key_known() -> None:
    prices = parse_prices(FILE)
    assert not prices.knows("ml.g5.xlarge")
    assert not prices.knows("AmazonDynamoDB/WriteRequestUnits")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (FILE.replace('"ml.g5.xlarge"', '"g5.xlarge"'), "instance_prices.0.instance_type"),
        (FILE.replace("1.408", "-1"), "instance_prices.0.usd_per_hour"),
        (FILE.replace("1.408", "inf"), "instance_prices.0.usd_per_hour"),
        (FILE.replace("1.408", "1.0000000000001"), "instance_prices.0.usd_per_hour"),
        (FILE.replace("0.000000625", "1e-13"), "service_prices.0.usd_per_unit"),
        (FILE.replace('unit = "Write Request Units"\n', ""), "service_prices.0.unit"),
        (FILE.replace('"WriteRequestUnits"', '"a#b"'), "service_prices.0.name"),
        (FILE.replace('"WriteRequestUnits"', '"a/b"'), "service_prices.0.name"),
        (FILE.replace('"AmazonDynamoDB"', '"Amazon DynamoDB"'), "service_prices.0.service"),
        (FILE.replace("source", "effective_to = 2026-01-01\nsource"), "effective_to"),
        (FILE + INSTANCE, "instance_prices.0 and instance_prices.1"),
        (FILE + SERVICE, "service_prices.0 and service_prices.1"),
    ],
)
def test_a_table_with_a_mistake_names_it(text: str, names: str) -> None:
    with pytest.raises(ConfigFault, match=names.replace(".", r"\.")):
        parse_prices(text)


def test_what_ships_prices_each_instance_of_the_catalogues() -> None:
    shipped, laptop = load_prices(), load_prices(SANDBOX / "prices.toml")
    for prices, catalogue in ((shipped, load_catalogue()), (laptop, load_catalogue(SANDBOX / "models.toml"))):
        for endpoint in catalogue.endpoints.values():
            for variant in endpoint.variants:
                price = hourly(prices, variant.instance_type)
                assert price, variant.instance_type
                assert Decimal("0.1") <= price <= 200


@pytest.mark.parametrize(
    ("name", "unit", "per_unit"),
    [
        ("AmazonDynamoDB/WriteRequestUnits", "Write Request Units", "0.000000625"),
        ("AmazonDynamoDB/ReadRequestUnits", "Read Request Units", "0.000000125"),
        ("AmazonKinesis/OnDemand-BilledIncomingBytes", "GB", "0.08"),
        ("AmazonKinesis/OnDemand-BilledOutgoingBytes", "GB", "0.04"),
        ("AmazonKinesis/OnDemand-StreamHour", "Stream-Hours", "0.04"),
        ("AmazonCloudWatch/CW:MetricMonitorUsage", "Metric-Months", "0.30"),
        ("AmazonCloudWatch/CW:GMD-Metrics", "Metrics", "0.00001"),
        ("AmazonCloudWatch/CW:Requests", "Requests", "0.00001"),
        ("AmazonCloudWatch/DataProcessing-Bytes", "GB", "0.50"),
        ("AmazonECS/Fargate-vCPU-Hours:perCPU", "vCPU-Hours", "0.04048"),
        ("AmazonECS/Fargate-GB-Hours", "GB-Hours", "0.004445"),
        ("AmazonECS/Fargate-ARM-vCPU-Hours:perCPU", "vCPU-Hours", "0.03238"),
        ("AmazonECS/Fargate-ARM-GB-Hours", "GB-Hours", "0.00356"),
        ("AmazonS3/Requests-Tier1", "Requests", "0.000005"),
        ("AmazonS3/Requests-Tier2", "Requests", "0.0000004"),
        ("AWSXRay/XRay-TracesStored", "Traces", "0.000005"),
        ("awskms/KMS-Requests", "Requests", "0.000003"),
    ],
)
def test_what_the_platform_itself_uses_has_a_price(name: str, unit: str, per_unit: str) -> None:
    for prices in (load_prices(), load_prices(SANDBOX / "prices.toml")):
        found = prices.service_price(name, at=DAY, region="us-east-1")
        assert found
        assert (found.unit, found.usd_per_unit) == (unit, Decimal(per_unit))


def test_a_dedicated_model_has_no_price_by_the_token() -> None:
    prices = load_prices(SANDBOX / "prices.toml")
    assert not prices.knows("sandbox/smollm2-135m-dedicated")
    assert prices.price_of("sandbox/smollm2-135m-dedicated", "input", at=DAY, region="us-east-1") is None
