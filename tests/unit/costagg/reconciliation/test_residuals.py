"""What differs in a cell has a name, and the names add up."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from costagg.reconciliation.residuals import Attributed, Billed, residuals_of

USD = st.decimals(min_value=0, max_value=100_000, places=10)
OUR_USD = st.decimals(min_value=0, max_value=100_000, places=12)
QUANTITY = st.decimals(min_value=0, max_value=10_000_000_000, places=7)


def billed(usd: str, quantity: str, rows: int = 1) -> Billed:
    return Billed(Decimal(usd), Decimal(quantity), rows, Decimal(1_000))


def attributed(usd: str, quantity: str, **more: object) -> Attributed:
    side = Attributed(Decimal(usd), Decimal(quantity), lines=1)
    for name, value in more.items():
        setattr(side, name, value)
    return side


def parts(
    bill: Billed, ours: Attributed, *, estimated: bool = False, open_day: bool = False
) -> dict[str, str]:
    found = residuals_of(bill, ours, estimated=estimated, open_day=open_day)
    return {name: f"{usd.normalize():f}" for name, usd in found.items()}


def test_the_same_differs_in_nothing() -> None:
    assert parts(billed("3.30", "1000000"), attributed("3.30", "1000000")) == {}


def test_another_price_for_the_same_quantity() -> None:
    assert parts(billed("3.63", "1000000"), attributed("3.30", "1000000")) == {"price": "0.33"}


def test_another_quantity_at_the_same_price() -> None:
    assert parts(billed("6.60", "2000000"), attributed("3.30", "1000000")) == {"quantity": "3.3"}
    assert parts(billed("3.30", "1000000"), attributed("6.60", "2000000")) == {"quantity": "-3.3"}


def test_both_are_told_apart() -> None:
    assert parts(billed("8", "2000000"), attributed("3", "1000000")) == {"price": "1", "quantity": "4"}


def test_one_side_alone() -> None:
    assert parts(billed("5", "10"), Attributed()) == {"only_on_bill": "5"}
    assert parts(Billed(), attributed("5", "10")) == {"only_attributed": "-5"}


def test_what_we_have_no_price_for_is_worth_what_the_bill_asks() -> None:
    ours = attributed("3", "1000000", unpriced=Decimal(500_000))
    assert parts(billed("4.5", "1500000"), ours) == {"unpriced": "1.5"}


def test_more_on_the_bill_is_uncounted_where_calls_were_not_counted() -> None:
    ours = attributed("3", "1000000", uncounted=4)
    assert parts(billed("3.3", "1100000"), ours) == {"uncounted": "0.3"}
    assert parts(billed("2.7", "900000"), ours) == {"quantity": "-0.3"}


def test_more_on_the_bill_of_a_day_that_is_open() -> None:
    assert parts(billed("6", "2000000"), attributed("3", "1000000"), open_day=True) == {"open_hours": "3"}
    assert parts(billed("6", "2000000"), Attributed(), open_day=True) == {"open_hours": "6"}
    assert parts(billed("6", "2000000"), attributed("9", "3000000"), open_day=True) == {"quantity": "-3"}


def test_an_estimate_has_no_other_reason() -> None:
    assert parts(billed("6", "2"), attributed("5", "900"), estimated=True) == {"estimate": "1"}


def test_ten_decimals_of_aws_are_rounding_and_no_more_than_that() -> None:
    ours = attributed("0.000003300033", "1.00001")
    assert parts(billed("0.0000033000", "1"), ours) == {"rounding": "-0.000000000033"}
    assert "price" in parts(billed("0.0000033", "1"), attributed("0.0000032", "1"))


@st.composite
def cells(draw: st.DrawFn) -> tuple[Billed, Attributed]:
    rows, lines = draw(st.integers(0, 1_000)), draw(st.integers(0, 3))
    ours = Attributed(draw(OUR_USD), draw(QUANTITY), draw(QUANTITY), lines, 0, draw(st.integers(0, 2)))
    return Billed(draw(USD), draw(QUANTITY), rows, Decimal(1_000)) if rows else Billed(), (
        ours if lines else Attributed()
    )


@given(cell=cells(), estimated=st.booleans(), open_day=st.booleans())
def test_parts_add_up_to_the_difference_whatever_it_is(
    *, cell: tuple[Billed, Attributed], estimated: bool, open_day: bool
) -> None:
    bill, ours = cell
    found = residuals_of(bill, ours, estimated=estimated, open_day=open_day)
    assert sum(found.values(), Decimal(0)) == bill.usd - ours.usd
    assert all(found.values())
