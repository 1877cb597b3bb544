"""A bill with known truth against what was attributed: what is right reconciles, every fault has its name."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from costagg.reconciliation.comparing import reconcile
from costagg.reconciliation.cur_reader import find_files, read_bill
from costagg.reconciliation.results import NOT_TOLD, Compared, Reconciliation, Residual
from costagg.reconciliation.usage_types import load_usage_types
from harness.cur import Item, Making, line_items, write_csv, write_parquet
from llmplatform.costs import ChargeClass, CostLine

TYPES = load_usage_types()
FIRST, LAST = date(2026, 11, 1), date(2026, 11, 3)
LIMIT = Decimal(2)
TENANTS = ("acme", "globex", "initech")
SONNET = "anthropic.claude-sonnet-4-6"
NOVA = "amazon.nova-2-lite"
PRICES: dict[ChargeClass, Decimal] = {
    "input": Decimal("3.30"),
    "output": Decimal("16.50"),
    "cache_read": Decimal("0.33"),
}


def token_line(
    tenant: str, hour: datetime, price_key: str, charge_class: ChargeClass, tokens: int
) -> CostLine:
    price = PRICES[charge_class] / 1_000_000
    return CostLine(
        tenant_id=tenant,
        hour=hour,
        layer="inference",
        service="AmazonBedrock",
        endpoint_type="bedrock",
        model_id="a-model",
        endpoint_name=None,
        price_key=price_key,
        region="us-east-1",
        service_tier="default",
        charge_class=charge_class,
        unit="tokens",
        quantity=Decimal(tokens),
        unit_price_usd=price,
        amount_usd=tokens * price,
        requests=10,
        usage_source="reported",
        computed_from="request-ledger",
        allocation_method="direct/1",
        price_version="2026-11-23",
    )


def instance_line(tenant: str, hour: datetime, hours: str) -> CostLine:
    return replace(
        token_line(tenant, hour, "ml.g5.12xlarge", "input", 1),
        service="AmazonSageMaker",
        endpoint_type="sagemaker",
        endpoint_name="Llama-Support",
        charge_class="instance",
        unit="instance-hours",
        quantity=Decimal(hours),
        unit_price_usd=Decimal("7.09"),
        amount_usd=Decimal(hours) * Decimal("7.09"),
        allocation_method="token-weight/1",
    )


def estimated_line(hour: datetime, units: int) -> CostLine:
    return replace(
        token_line("_platform", hour, "AmazonDynamoDB/WriteRequestUnits", "input", 1),
        layer="observability-layer",
        service="AmazonDynamoDB",
        endpoint_type=None,
        model_id=None,
        charge_class="service",
        unit="request-units",
        quantity=Decimal(units),
        unit_price_usd=Decimal("0.000000625"),
        amount_usd=units * Decimal("0.000000625"),
        usage_source="estimated",
        allocation_method="estimate/1",
    )


def truth() -> Iterator[CostLine]:
    """Three days of three tenants, two models through three kinds of profile, and a shared endpoint."""
    for number in range(72):
        hour = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=number)
        for at, tenant in enumerate(TENANTS):
            for price_key in (f"{SONNET}/geo", f"{SONNET}/global", f"{NOVA}/geo"):
                for charge_class in PRICES:
                    tokens = 70_001 + 1_013 * number + 7_919 * at
                    yield token_line(tenant, hour, price_key, charge_class, tokens)
            yield instance_line(tenant, hour, "0.25")
        yield instance_line("_unused", hour, "1.25")
        yield estimated_line(hour, 4_000_000)


LINES = tuple(truth())


SUMMED = ("line_item_usage_amount", "line_item_unblended_cost")


def bill_and_compare(
    tmp_path: Path,
    making: Making | None = None,
    lines: tuple[CostLine, ...] = LINES,
    items: list[Item] | None = None,
    open_days: dict[date, int] | None = None,
) -> Reconciliation:
    made = line_items(LINES, TYPES, making) if items is None else items
    folder = write_parquet(made, tmp_path / "cur", files=2)
    bill = read_bill(find_files([str(folder)]), FIRST, LAST, TYPES)
    result = reconcile(bill, lines, first=FIRST, last=LAST, usage_types=TYPES, open_days=open_days)
    adds_up(result)
    return result


def adds_up(result: Reconciliation) -> None:
    """What must be true of any result."""
    both = [one.compared for one in result.services] + [one.compared for one in result.tenants]
    for compared in both:
        assert sum(compared.residuals.values(), Decimal(0)) == compared.billed_usd - compared.attributed_usd
        assert compared.gross_usd >= abs(compared.difference_usd)
    for service in result.services:
        found = sum((one.usd for one in result.findings if one.service == service.service), Decimal(0))
        assert found == service.compared.difference_usd
        if not service.estimated:
            tenants = [one.compared for one in result.tenants if one.service == service.service]
            assert sum(one.attributed_usd for one in tenants) == service.compared.attributed_usd


def of(result: Reconciliation, service: str = "AmazonBedrock") -> Compared:
    return next(one.compared for one in result.services if one.service == service)


def of_tenant(result: Reconciliation, tenant: str, service: str = "AmazonBedrock") -> Compared:
    return next(one.compared for one in result.tenants if (one.service, one.tenant_id) == (service, tenant))


def errors(compared: Compared) -> dict[Residual, Decimal]:
    """Residuals of a cent and more."""
    return {name: usd for name, usd in compared.residuals.items() if abs(usd) >= Decimal("0.01")}


@pytest.mark.parametrize(
    "making",
    [
        Making(),
        Making(unit="1M tokens"),
        Making(granularity="day"),
        Making(tenants_by="principal"),
        Making(marketplace=frozenset({SONNET})),
    ],
    ids=["hours", "millions", "days", "principal", "marketplace"],
)
def test_a_true_bill_reconciles_to_a_tenth_of_a_percent_and_far_better(
    tmp_path: Path, making: Making
) -> None:
    result = bill_and_compare(tmp_path, making)
    assert not result.over(Decimal("0.1"))
    for service in ("AmazonBedrock", "AmazonSageMaker"):
        assert of(result, service).usage_usd > 100
        assert of(result, service).gross_error_percent < Decimal("0.0000001")
        assert set(of(result, service).residuals) <= {"rounding"}
    for tenant in TENANTS:
        assert of_tenant(result, tenant).gross_error_percent < Decimal("0.0000001")
    assert result.notes == ()


@pytest.mark.parametrize("zipped", [True, False])
def test_csv_says_the_same_as_parquet(tmp_path: Path, *, zipped: bool) -> None:
    items = line_items(LINES, TYPES, Making(credit_usd=Decimal(5), tax_percent=Decimal(19)))
    parquet = bill_and_compare(tmp_path, items=items)
    folder = write_csv(items, tmp_path / "csv", files=3, zipped=zipped)
    bill = read_bill(find_files([f"{folder}/*"]), FIRST, LAST, TYPES)
    assert reconcile(bill, LINES, first=FIRST, last=LAST, usage_types=TYPES) == parquet


def test_another_price_is_found_at_its_model(tmp_path: Path) -> None:
    result = bill_and_compare(tmp_path, Making(dearer_percent={SONNET: Decimal(10)}))
    sonnet = sum(line.amount_usd or 0 for line in LINES if line.price_key.startswith(SONNET))
    assert errors(of(result)).keys() == {"price"}
    assert of(result).residuals["price"] == pytest.approx(sonnet / 10, abs=Decimal("0.000001"))
    assert {one.about for one in result.findings if one.residual == "price"} == {
        f"{SONNET}/regional",
        f"{SONNET}/global",
    }
    assert [one.service for one in result.services if one.over(LIMIT)] == ["AmazonBedrock"]
    assert of_tenant(result, "acme").error_percent > 2


def test_usage_that_aws_forgot_is_only_attributed(tmp_path: Path) -> None:
    result = bill_and_compare(tmp_path, Making(not_billed=frozenset({"globex"})))
    globex = sum(
        line.amount_usd or 0
        for line in LINES
        if line.tenant_id == "globex" and line.service == "AmazonBedrock"
    )
    assert of_tenant(result, "globex").residuals == {"only_attributed": -globex}
    assert errors(of(result)).keys() == {"quantity"}
    assert of(result).residuals["quantity"] == pytest.approx(-globex, abs=Decimal("0.000001"))
    assert of_tenant(result, "acme").error_percent < Decimal("0.001")


def test_calls_around_the_gateway_are_billed_to_nobodys_account(tmp_path: Path) -> None:
    result = bill_and_compare(tmp_path, Making(bypassing_tokens=40_000_000))
    around = 3 * 40 * Decimal("3.30")
    assert errors(of(result)) == {"quantity": pytest.approx(around, abs=Decimal("0.000001"))}
    assert errors(of_tenant(result, NOT_TOLD)) == {"only_on_bill": pytest.approx(around)}
    assert result.over(LIMIT) == tuple(one for one in result.services if one.service == "AmazonBedrock")
    largest = result.findings[0]
    assert (largest.about, largest.charge_class, largest.days) == (f"{SONNET}/regional", "input", 3)
    assert largest.usage_types == ("USE1-Claude4.6Sonnet-input-tokens",)
    assert largest.billed_quantity is not None
    assert largest.attributed_quantity is not None
    assert largest.billed_quantity - largest.attributed_quantity == 120_000_000


def test_an_untagged_tenant_is_not_told_and_the_service_still_reconciles(tmp_path: Path) -> None:
    result = bill_and_compare(tmp_path, Making(untagged=frozenset({"initech"})))
    assert not result.over(Decimal("0.1"))
    initech = next(one for one in result.tenants if one.tenant_id == "initech")
    assert not initech.told
    assert initech.not_told_usd == of_tenant(result, NOT_TOLD).attributed_usd > 100
    assert of_tenant(result, NOT_TOLD).error_percent < Decimal("0.001")
    assert of_tenant(result, "acme").error_percent < Decimal("0.001")


def test_a_line_item_of_nothing_hides_nobodys_difference(tmp_path: Path) -> None:
    """AWS bills usage of 0 too, with neither a tag nor a caller."""
    items: list[Item] = []
    for one in line_items(LINES, TYPES):
        acmes = one["resource_tags"].get("user_tenant_id") == "acme"
        items.append(one | {name: one[name] * Decimal("0.9") for name in SUMMED} if acmes else one)
        items.append(one | {"resource_tags": {}, "tags": {}} | dict.fromkeys(SUMMED, Decimal(0)))
    acme = of_tenant(bill_and_compare(tmp_path, items=items), "acme")
    assert acme.error_percent == pytest.approx(Decimal(100) / 9)
    assert errors(acme).keys() == {"quantity"}


def test_who_shares_an_endpoint_is_not_told_by_any_bill(tmp_path: Path) -> None:
    result = bill_and_compare(tmp_path)
    shares = {one.tenant_id: one for one in result.tenants if one.service == "AmazonSageMaker"}
    assert {name for name, one in shares.items() if one.told} == {NOT_TOLD}
    assert shares["acme"].not_told_usd == Decimal("7.09") * 72 / 4


def test_credits_discounts_and_tax_are_named_and_no_error(tmp_path: Path) -> None:
    making = Making(credit_usd=Decimal(50), edp_percent=Decimal(10), tax_percent=Decimal(19))
    result = bill_and_compare(tmp_path, making)
    compared = of(result)
    assert not result.over(Decimal("0.1"))
    assert compared.residuals["tax"] == pytest.approx(compared.usage_usd * 19 / 100, abs=Decimal("0.000001"))
    off = -50 - compared.usage_usd / 10
    assert compared.residuals["credits_and_discounts"] == pytest.approx(off, abs=Decimal("0.000001"))
    assert compared.billed_usd == pytest.approx(compared.usage_usd * Decimal("1.09") - 50)


def test_a_savings_plan_takes_off_what_it_covers(tmp_path: Path) -> None:
    result = bill_and_compare(tmp_path, Making(savings_plan=True))
    compared = of(result, "AmazonSageMaker")
    assert compared.error_percent < Decimal("0.001")
    assert compared.billed_usd == 0
    assert compared.residuals["credits_and_discounts"] == -compared.usage_usd


def test_reserved_capacity_is_a_discount_and_no_other_price(tmp_path: Path) -> None:
    items = line_items(LINES, TYPES)
    for item in items:
        if item["line_item_product_code"] == "AmazonSageMaker":
            item["line_item_line_item_type"] = "DiscountedUsage"
            item["line_item_unblended_cost"] = Decimal(0)
    compared = of(bill_and_compare(tmp_path, items=items), "AmazonSageMaker")
    assert compared.error_percent < Decimal("0.001")
    assert compared.residuals["credits_and_discounts"] == -compared.usage_usd


def test_the_platforms_own_use_is_an_estimate_and_held_to_no_limit(tmp_path: Path) -> None:
    making = Making(dearer_percent={"AmazonDynamoDB/WriteRequestUnits": Decimal(80)})
    result = bill_and_compare(tmp_path, making)
    compared = of(result, "AmazonDynamoDB")
    assert compared.residuals == {"estimate": compared.attributed_usd * 8 / 10}
    assert not result.over(LIMIT)


def test_a_usage_type_that_is_not_known_is_named_with_its_amount(tmp_path: Path) -> None:
    items = line_items(LINES, TYPES)
    items.append(
        items[0]
        | {
            "identity_line_item_id": "new",
            "line_item_usage_type": "USE1-Claude7Haiku-input-tokens",
            "line_item_unblended_cost": Decimal(40),
        }
    )
    result = bill_and_compare(tmp_path, items=items)
    assert errors(of(result)) == {"unmapped_usage_type": Decimal(40)}
    assert result.findings[0].usage_types == ("USE1-Claude7Haiku-input-tokens",)
    assert result.over(LIMIT)


def test_a_line_item_type_that_is_not_known_is_named_too(tmp_path: Path) -> None:
    items = line_items(LINES, TYPES)
    items.append(
        items[0]
        | {
            "identity_line_item_id": "new",
            "line_item_line_item_type": "Surprise",
            "line_item_unblended_cost": Decimal(3),
        }
    )
    result = bill_and_compare(tmp_path, items=items)
    assert errors(of(result)) == {"unmapped_usage_type": Decimal(3)}
    assert result.findings[0].about == "line item type Surprise"


def test_other_services_are_said_and_not_compared(tmp_path: Path) -> None:
    items = line_items(LINES, TYPES)
    items.append(
        items[0]
        | {
            "identity_line_item_id": "ec2",
            "line_item_product_code": "AmazonEC2",
            "line_item_unblended_cost": Decimal(99),
        }
    )
    result = bill_and_compare(tmp_path, items=items)
    assert result.not_compared_usd == {"AmazonEC2": Decimal(99)}
    assert not result.over(LIMIT)


def test_training_is_no_part_of_what_serves_models(tmp_path: Path) -> None:
    items = line_items(LINES, TYPES)
    host = next(item for item in items if item["line_item_product_code"] == "AmazonSageMaker")
    training = host | {
        "identity_line_item_id": "training",
        "line_item_usage_type": "USE1-Train:ml.p4d.24xlarge",
        "line_item_unblended_cost": Decimal(5_000),
    }
    storage = host | {
        "identity_line_item_id": "storage",
        "line_item_usage_type": "USE1-Host:VolumeUsage.gp2",
        "line_item_unblended_cost": Decimal(2),
    }
    result = bill_and_compare(tmp_path, items=[*items, training, storage])
    (what,) = result.not_compared_usd
    assert what.startswith("AmazonSageMaker (training")
    assert errors(of(result, "AmazonSageMaker")) == {"unmapped_usage_type": Decimal(2)}


def test_what_we_have_no_price_for_is_unpriced_at_the_bills_price(tmp_path: Path) -> None:
    lines = tuple(
        replace(line, amount_usd=None, unit_price_usd=None)
        if line.price_key == f"{NOVA}/geo" and line.charge_class == "output"
        else line
        for line in LINES
    )
    result = bill_and_compare(tmp_path, lines=lines)
    worth = sum(
        line.amount_usd or 0
        for line in LINES
        if line.price_key == f"{NOVA}/geo" and line.charge_class == "output"
    )
    assert errors(of(result)) == {"unpriced": pytest.approx(worth, abs=Decimal("0.000001"))}
    service = next(one for one in result.services if one.service == "AmazonBedrock")
    assert service.unpriced_lines == 216


def test_calls_that_nobody_counted_explain_what_the_bill_has_more(tmp_path: Path) -> None:
    at = datetime(2026, 11, 2, 5, tzinfo=UTC)
    cut = token_line("acme", at, f"{SONNET}/geo", "output", 2_000_000)
    result = bill_and_compare(
        tmp_path,
        items=line_items((*LINES, cut), TYPES),
        lines=(*LINES, replace(cut, quantity=None, amount_usd=None, requests=3)),
    )
    assert errors(of(result)) == {"uncounted": pytest.approx(Decimal(33), abs=Decimal("0.000001"))}
    assert errors(of_tenant(result, "acme")) == errors(of(result))


def test_hours_that_are_open_explain_what_is_still_missing(tmp_path: Path) -> None:
    evening = datetime(2026, 11, 3, 20, tzinfo=UTC)
    lines = tuple(line for line in LINES if line.hour < evening)
    result = bill_and_compare(tmp_path, lines=lines, open_days={date(2026, 11, 3): 4})
    assert errors(of(result)).keys() == {"open_hours"}
    assert result.open_hours == 4


def test_a_bill_that_ends_early_is_said_to(tmp_path: Path) -> None:
    items = [
        item
        for item in line_items(LINES, TYPES)
        if item["line_item_usage_start_date"] < datetime(2026, 11, 2, tzinfo=UTC)
    ]
    result = bill_and_compare(tmp_path, items=items)
    assert result.notes == ("the bill ends on 2026-11-01: 2 of the days asked for are not on it yet",)
    assert errors(of(result)).keys() == {"only_attributed"}


def test_differences_that_cancel_out_are_over_the_limit_all_the_same(tmp_path: Path) -> None:
    making = Making(dearer_percent={SONNET: Decimal(5), NOVA: Decimal(-10)})
    result = bill_and_compare(tmp_path, making)
    assert of(result).error_percent < Decimal("0.01")
    assert of(result).gross_error_percent > 6
    assert result.over(LIMIT)


def test_27_dollars_shown_and_770_billed_is_found_and_named(tmp_path: Path) -> None:
    """BerriAI/litellm issue 8514: a dashboard knew of a thirtieth of what was billed."""
    hour = datetime(2026, 11, 1, 9, tzinfo=UTC)
    seen = token_line("acme", hour, f"{SONNET}/geo", "input", 8_181_818)
    cached = token_line("acme", hour, f"{SONNET}/geo", "cache_read", 2_251_515_152)
    result = bill_and_compare(tmp_path, items=line_items((seen, cached), TYPES), lines=(seen,))
    compared = of(result)
    assert round(compared.attributed_usd) == 27
    assert round(compared.usage_usd) == 770
    assert [type(one).__name__ for one in result.over(LIMIT)] == ["ServiceResult", "TenantResult"]
    named = result.findings[0]
    assert named.residual == "only_on_bill"
    assert named.usage_types == ("USE1-Claude4.6Sonnet-cache-read-input-token-count",)
    assert round(named.usd) == 743


def test_several_faults_at_once_are_told_apart(tmp_path: Path) -> None:
    making = Making(
        dearer_percent={NOVA: Decimal(10)},
        bypassing_tokens=1_000_000,
        credit_usd=Decimal(7),
        tax_percent=Decimal(8),
    )
    result = bill_and_compare(tmp_path, making)
    nova = sum(line.amount_usd or 0 for line in LINES if line.price_key.startswith(NOVA))
    assert errors(of(result)).keys() == {"price", "quantity", "credits_and_discounts", "tax"}
    assert of(result).residuals["price"] == pytest.approx(nova / 10, abs=Decimal("0.000001"))
    assert of(result).residuals["quantity"] == pytest.approx(3 * Decimal("3.30"), abs=Decimal("0.000001"))
    assert of(result).residuals["credits_and_discounts"] == -7


def test_a_month_of_fifty_tenants_and_ten_models_is_right_to_the_last_digit(tmp_path: Path) -> None:
    price_keys = [f"{model.base_model}/{scope}" for model in TYPES.models[:5] for scope in ("geo", "global")]
    lines = [
        token_line(f"tenant-{tenant}", at, price_key, "input", 1_000_003 + 17 * tenant)
        for at in (datetime(2026, 11, 1, 9, tzinfo=UTC) + timedelta(days=number) for number in range(30))
        for tenant in range(50)
        for price_key in price_keys
    ]
    folder = write_parquet(line_items(lines, TYPES), tmp_path, files=4)
    last = date(2026, 11, 30)
    bill = read_bill(find_files([str(folder)]), FIRST, last, TYPES)
    assert bill.rows == len(lines) == 15_000
    result = reconcile(bill, lines, first=FIRST, last=last, usage_types=TYPES)
    adds_up(result)
    assert of(result).gross_error_percent < Decimal("0.0000001")
    assert sum(one.told for one in result.tenants) == 50
    assert not result.over(Decimal("0.001"))
