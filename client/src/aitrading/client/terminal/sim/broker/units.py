"""Exact numbers: volumes in hundred-millionths of a lot, prices in points, money in minor units."""

import math
from decimal import Decimal
from typing import Final

VOLUME_DECIMALS: Final = 8
LOT: Final = 10**VOLUME_DECIMALS
"""One lot in units of volume, as MetaTrader 5's servers count it."""
OFF_GRID: Final = -1
"""A price that is no multiple of the point; every check refuses it."""
MICRO: Final = 10**6
"""Margin is booked in millionths of the account's minor unit."""
MSC_PER_S: Final = 1_000
MSC_PER_DAY: Final = 86_400_000
COMMENT_CHARS_MAX: Final = 31
AMOUNT_MAX: Final = 1e15
"""Prices and volumes from here on are hostile; a double has no decimals left there anyway."""
_FLOAT_NOISE: Final = 1e-3

Ratio = tuple[int, int]
"""Numerator and positive denominator."""


def rounded(numerator: int, denominator: int) -> int:
    """Divide and round half away from zero, as a broker's books do."""
    if numerator < 0:
        return -((-2 * numerator + denominator) // (2 * denominator))
    return (2 * numerator + denominator) // (2 * denominator)


def ratio(value: Decimal) -> Ratio:
    """The exact fraction behind a decimal."""
    return value.as_integer_ratio()


def times(left: Ratio, right: Ratio) -> Ratio:
    """The product, in lowest terms so that numbers stay small."""
    numerator, denominator = left[0] * right[0], left[1] * right[1]
    common = math.gcd(numerator, denominator)
    return numerator // common, denominator // common


def lots(value: str | int | Decimal) -> int:
    """Units of volume in so many lots; digits beyond the eighth are an error."""
    units = Decimal(value) * LOT
    if units != units.to_integral_value():
        raise ValueError(f"{value} lots have more than {VOLUME_DECIMALS} decimals")
    return int(units)


def is_amount(value: float) -> bool:
    """Whether a double can be a price or a volume at all."""
    return 0 <= value < AMOUNT_MAX


def units_of_double(value: float) -> int:
    """The volume a terminal's double stands for; OFF_GRID when it is no such number."""
    return round(value * LOT) if is_amount(value) else OFF_GRID


def points_of_double(value: float, digits: int) -> int:
    """The price a terminal's double stands for; OFF_GRID when it lies between two points."""
    if not is_amount(value):
        return OFF_GRID
    scaled = value * 10.0**digits
    points = round(scaled)
    return points if abs(scaled - points) <= _FLOAT_NOISE else OFF_GRID
