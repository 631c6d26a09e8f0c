"""A line of numbers as a line of characters."""

from collections.abc import Sequence
from math import ceil
from typing import Final

WIDTH: Final = 40
GAP: Final = "·"
"""Of which nobody knows: never drawn as a low bar."""
_BARS: Final = "▁▂▃▄▅▆▇█"


def sparkline(
    values: Sequence[float | None], *, from_zero: bool = True, width: int = WIDTH
) -> str:
    """At most `width` characters, each the highest of its share; a share of gaps alone is `GAP`."""
    count = min(width, len(values))
    ends = [len(values) * (number + 1) // count for number in range(count)]
    columns = [_highest(values[begin:end]) for begin, end in zip([0, *ends], ends, strict=False)]
    known = [value for value in columns if value is not None]
    if not known:
        return GAP * count
    low = 0.0 if from_zero else min(known)
    high = max(known)
    return "".join(GAP if value is None else _bar(value, low, high) for value in columns)


def _highest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _bar(value: float, low: float, high: float) -> str:
    if high <= low:
        return _BARS[0]
    share = (value - low) / (high - low)
    return _BARS[ceil(share * (len(_BARS) - 1))]  # the lowest bar is the lowest value alone
