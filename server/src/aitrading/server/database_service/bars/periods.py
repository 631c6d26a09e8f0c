"""How long a bar is. Bars begin at multiples of their length in UTC, whatever the broker's clock."""

from enum import Enum
from typing import Final


class Period(Enum):
    """The periods that are kept."""

    S1 = ("1s", 1)
    M1 = ("1m", 60)
    M5 = ("5m", 300)
    M15 = ("15m", 900)
    H1 = ("1h", 3_600)
    H4 = ("4h", 14_400)
    D1 = ("1d", 86_400)

    @property
    def text(self) -> str:
        """As people write it."""
        return self.value[0]

    @property
    def seconds(self) -> int:
        """Its length."""
        return self.value[1]


MINUTE_S: Final = Period.M1.seconds
HOUR_S: Final = Period.H1.seconds
DAY_S: Final = Period.D1.seconds
BY_TEXT: Final = {period.text: period for period in Period}
