"""Exact money: whole minor units of one currency."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from typing_extensions import override

from aitrading.core.domain.error_codes import AMOUNT_NOT_REPRESENTABLE, CURRENCY_MISMATCH
from aitrading.core.domain.price import decimal_text

MONEY_DECIMALS_MAX: Final = 8
_CURRENCY: Final = re.compile(r"[A-Z][A-Z0-9]{2,7}", re.ASCII)
_PLAIN_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,8})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Money:
    """`units` / 10^`decimals` of `currency`, exactly; amounts of two currencies never mix."""

    units: int
    decimals: int
    currency: str

    def __post_init__(self) -> None:
        if not 0 <= self.decimals <= MONEY_DECIMALS_MAX:
            raise AMOUNT_NOT_REPRESENTABLE.error(value=self.decimals, kind="number of decimals")
        if not _CURRENCY.fullmatch(self.currency):
            raise AMOUNT_NOT_REPRESENTABLE.error(value=self.currency[:40], kind="currency")

    @classmethod
    def parse(cls, text: str, currency: str, decimals: int = 2) -> "Money":
        """Read a plain decimal; raises when it needs more decimals than the currency has."""
        if not _PLAIN_DECIMAL.fullmatch(text):
            raise AMOUNT_NOT_REPRESENTABLE.error(value=text[:40], kind=f"amount of {currency}")
        units = Decimal(text).scaleb(decimals)
        if units != units.to_integral_value():
            raise AMOUNT_NOT_REPRESENTABLE.error(value=text, kind=f"amount of {currency}")
        return cls(int(units), decimals, currency)

    def to_decimal(self) -> Decimal:
        """The exact value, with `decimals` decimals."""
        return Decimal(self.units).scaleb(-self.decimals)

    def __add__(self, other: "Money") -> "Money":
        self._require_same_currency(other)
        return Money(self.units + other.units, self.decimals, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._require_same_currency(other)
        return Money(self.units - other.units, self.decimals, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.units, self.decimals, self.currency)

    @override
    def __str__(self) -> str:
        return f"{decimal_text(self.units, self.decimals)} {self.currency}"

    def _require_same_currency(self, other: "Money") -> None:
        if (self.currency, self.decimals) != (other.currency, other.decimals):
            raise CURRENCY_MISMATCH.error(left=str(self), right=str(other))
