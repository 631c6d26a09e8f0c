"""Exact prices and volumes: an integer number of points and the digits that scale it."""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from typing_extensions import override

from aitrading.core.domain.error_codes import AMOUNT_NOT_REPRESENTABLE, PRICE_NOT_REPRESENTABLE

DIGITS_MAX: Final = 10
"""Most decimals a price can have; MetaTrader 5 uses up to 8."""
POINTS_MAX: Final = (1 << 31) - 1
"""Largest price in points; a row on the wire and in the store holds 32 signed bits."""
QUANTITY_DECIMALS_MAX: Final = 8
QUANTITY_UNITS_MAX: Final = (1 << 63) - 1
FLOAT_NOISE: Final = 1e-3
"""How far, in points, a terminal's double may be from the whole number it stands for."""
_PLAIN_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,10})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Price:
    """`points` / 10^`digits`, exactly; two prices are equal when both numbers are."""

    points: int
    digits: int

    def __post_init__(self) -> None:
        if not (0 <= self.digits <= DIGITS_MAX and abs(self.points) <= POINTS_MAX):
            raise PRICE_NOT_REPRESENTABLE.error(value=self.points, digits=self.digits)

    @classmethod
    def parse(cls, text: str, digits: int) -> "Price":
        """Read a plain decimal; raises `PRICE_NOT_REPRESENTABLE` when it needs more digits."""
        if not _PLAIN_DECIMAL.fullmatch(text):
            raise PRICE_NOT_REPRESENTABLE.error(value=text[:40], digits=digits)
        points = Decimal(text).scaleb(digits)
        if points != points.to_integral_value():
            raise PRICE_NOT_REPRESENTABLE.error(value=text, digits=digits)
        return cls(int(points), digits)

    def to_decimal(self) -> Decimal:
        """The exact value, with `digits` decimals."""
        return Decimal(self.points).scaleb(-self.digits)

    @override
    def __str__(self) -> str:
        return decimal_text(self.points, self.digits)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A volume in lots: `units` / 10^`decimals`, exactly and never negative."""

    units: int
    decimals: int

    def __post_init__(self) -> None:
        if not (
            0 <= self.decimals <= QUANTITY_DECIMALS_MAX and 0 <= self.units <= QUANTITY_UNITS_MAX
        ):
            raise AMOUNT_NOT_REPRESENTABLE.error(value=self.units, kind="quantity")

    @classmethod
    def parse(cls, text: str) -> "Quantity":
        """Read a plain decimal; the number of decimals is kept as written."""
        if not _PLAIN_DECIMAL.fullmatch(text) or text.startswith("-"):
            raise AMOUNT_NOT_REPRESENTABLE.error(value=text[:40], kind="quantity")
        _, _, decimals = text.partition(".")
        return cls(int(text.replace(".", "")), len(decimals))

    def to_decimal(self) -> Decimal:
        """The exact value, with `decimals` decimals."""
        return Decimal(self.units).scaleb(-self.decimals)

    @override
    def __str__(self) -> str:
        return decimal_text(self.units, self.decimals)


def to_points(value: float, digits: int) -> int:
    """Turn a terminal's double into points; the one place where a float may enter.

    Raises `PRICE_NOT_REPRESENTABLE` when the double does not stand for a price with that many
    digits: silently rounding it would invent a price.
    """
    if not 0 <= digits <= DIGITS_MAX or not math.isfinite(value):
        raise PRICE_NOT_REPRESENTABLE.error(value=value, digits=digits)
    scaled = value * 10.0**digits
    points = round(scaled)
    if abs(scaled - points) > FLOAT_NOISE or abs(points) > POINTS_MAX:
        raise PRICE_NOT_REPRESENTABLE.error(value=value, digits=digits)
    return points


def decimal_text(scaled: int, decimals: int) -> str:
    """Render `scaled` / 10^`decimals` with exactly that many decimals and no exponent."""
    if decimals == 0:
        return str(scaled)
    sign = "-" if scaled < 0 else ""
    digits = str(abs(scaled)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"
