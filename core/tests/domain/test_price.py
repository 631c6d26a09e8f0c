"""Prices, volumes and money are exact, or refused."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.domain.market import points_of
from aitrading.core.domain.money import Money
from aitrading.core.domain.price import DIGITS_MAX, POINTS_MAX, Price, Quantity, to_points
from aitrading.core.kit.errors import AitradingError

digits_of = st.integers(0, DIGITS_MAX)
points_any = st.integers(-POINTS_MAX, POINTS_MAX)


@given(points=points_any, digits=digits_of)
def test_a_price_survives_its_text(points: int, digits: int) -> None:
    price = Price(points, digits)
    assert Price.parse(str(price), digits) == price
    assert Decimal(str(price)) == price.to_decimal() == Decimal(points) / 10**digits


@given(points=points_any, digits=digits_of)
def test_a_price_survives_a_terminals_double(points: int, digits: int) -> None:
    assert to_points(points / 10**digits, digits) == points
    assert to_points(float(str(Price(points, digits))), digits) == points


@pytest.mark.parametrize("value", [1.083455, math.nan, math.inf, -math.inf, 1e300, 30_000.0])
def test_a_double_that_is_no_price_is_refused(value: float) -> None:
    with pytest.raises(AitradingError) as caught:
        to_points(value, 5)
    assert caught.value.code == "PRICE_NOT_REPRESENTABLE"


@pytest.mark.parametrize(
    "text",
    [
        *("", " 1", "1 ", "+1", "1e5", "1.", ".5", "01", "1,5", "NaN", "Infinity", "1_0"),
        *("1.083456", "\u0663", "--1", "1.0.0", "99999999999", "0x10", "1\n"),
    ],
)
def test_text_that_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(AitradingError):
        Price.parse(text, 5)


def test_trailing_zeros_are_not_needed_digits() -> None:
    assert Price.parse("1.5000", 2) == Price(150, 2)
    assert str(Price(-5, 2)) == "-0.05"
    assert str(Price(7, 0)) == "7"


def test_prices_of_other_digits_are_other_prices() -> None:
    assert Price(10, 1) != Price(1, 0)
    with pytest.raises(AitradingError):
        Price(1, DIGITS_MAX + 1)


@given(points=st.lists(points_any, min_size=1), digits=st.integers(0, 6))
def test_a_column_converts_like_single_prices(points: list[int], digits: int) -> None:
    column, good = points_of(np.array([value / 10**digits for value in points]), digits)
    assert good.all()
    assert column.tolist() == points


def test_a_column_marks_what_is_not_representable() -> None:
    column, good = points_of(np.array([1.5, math.nan, 1.123456, 1e12, math.inf]), 5)
    assert good.tolist() == [True, False, False, False, False]
    assert column.tolist() == [150_000, 0, 0, 0, 0]


@given(units=st.integers(0, 10**15), decimals=st.integers(0, 8))
def test_a_volume_survives_its_text(units: int, decimals: int) -> None:
    quantity = Quantity(units, decimals)
    assert Quantity.parse(str(quantity)) == quantity


@pytest.mark.parametrize("text", ["-1", "", "1e2", "0.123456789", "inf"])
def test_text_that_is_no_volume_is_refused(text: str) -> None:
    with pytest.raises(AitradingError) as caught:
        Quantity.parse(text)
    assert caught.value.code == "AMOUNT_NOT_REPRESENTABLE"


@given(left=st.integers(-(10**15), 10**15), right=st.integers(-(10**15), 10**15))
def test_money_adds_exactly(left: int, right: int) -> None:
    one, other = Money(left, 2, "EUR"), Money(right, 2, "EUR")
    assert (one + other - other) == one
    assert (one + -one).units == 0
    assert Money.parse(str(one).split()[0], "EUR") == one


def test_currencies_do_not_mix() -> None:
    with pytest.raises(AitradingError) as caught:
        Money(1, 2, "EUR") + Money(1, 2, "USD")
    assert caught.value.code == "CURRENCY_MISMATCH"


@pytest.mark.parametrize(("text", "currency"), [("1.005", "EUR"), ("1", "eur"), ("nan", "EUR")])
def test_text_that_is_no_money_is_refused(text: str, currency: str) -> None:
    with pytest.raises(AitradingError) as caught:
        Money.parse(text, currency)
    assert caught.value.code == "AMOUNT_NOT_REPRESENTABLE"
