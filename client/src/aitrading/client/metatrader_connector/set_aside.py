"""Symbols that give no ticks for a while: each waits by itself, and the others go on."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError

RETRY_FIRST_S: Final = 0.5
RETRY_MAX_S: Final = 30.0
BLAMED_MAX: Final = 3
SHOWN_MAX: Final = 20
"""Most symbols that are named in health."""
SEPARATOR: Final = "; "
_DOUBLINGS_MAX: Final = 10


def backoff_s(failures: int, first_s: float, longest_s: float) -> float:
    """The pause after that many failures in a row."""
    return min(longest_s, first_s * 2.0 ** min(max(0, failures - 1), _DOUBLINGS_MAX))


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """One symbol that is not asked about now, and why."""

    symbol: str
    why: AitradingError
    failures: int
    again_ns: int
    """Monotonic: when it is tried again."""
    is_tried: bool = False
    """It is asked about once more; a good answer brings it back."""

    @property
    def words(self) -> str:
        """Symbol, code, and what the terminal said."""
        text, number = self.why.fields.get("text"), self.why.fields.get("number")
        said = f", {text} ({number})" if text else ""
        return f"{self.symbol}: {self.why.code}{said}"


class Blame:
    """Counts how often in a row the terminal was lost at the question for one symbol."""

    def __init__(self) -> None:
        self._symbol = ""
        self._times = 0

    def falls_on(self, symbol: str) -> bool:
        """Lost again; whether it has been this symbol so often that the others may do without it."""
        self._times = self._times + 1 if symbol == self._symbol else 1
        self._symbol = symbol
        return self._times >= BLAMED_MAX


class SetAsides:
    """Who is set aside. The pause before each further try is twice as long, up to a limit."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, SetAside] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._known

    def put(self, symbol: str, why: AitradingError) -> bool:
        """Set it aside, again or for the first time; True when that is news."""
        before = self._known.get(symbol)
        failures = before.failures + 1 if before else 1
        pause_s = backoff_s(failures, RETRY_FIRST_S, RETRY_MAX_S)
        self._known[symbol] = SetAside(
            symbol=symbol,
            why=why,
            failures=failures,
            again_ns=self._clock.monotonic_ns() + round(pause_s * NS_PER_S),
        )
        return before is None or before.why.spec is not why.spec

    def due(self) -> list[str]:
        """Whose pause is over."""
        if not self._known:
            return []
        now_ns = self._clock.monotonic_ns()
        return [
            one.symbol
            for one in self._known.values()
            if not one.is_tried and one.again_ns <= now_ns
        ]

    def try_again(self, symbol: str) -> None:
        """Ask about it once more."""
        if (one := self._known.get(symbol)) is not None:
            self._known[symbol] = replace(one, is_tried=True)

    def may_ask(self, symbol: str) -> bool:
        """Whether it is asked about with the others."""
        one = self._known.get(symbol)
        return one is None or one.is_tried

    def well(self, symbol: str) -> bool:
        """It answered; True when it had been set aside."""
        return self._known.pop(symbol, None) is not None

    def keep(self, symbols: Iterable[str]) -> None:
        """Forget all others."""
        wanted = set(symbols)
        self._known = {name: one for name, one in self._known.items() if name in wanted}

    def why(self, symbol: str) -> str:
        """Code and words; empty when it is not set aside."""
        one = self._known.get(symbol)
        return one.words.removeprefix(f"{symbol}: ") if one else ""

    def words(self) -> str | None:
        """For health; None when there is nobody."""
        if not self._known:
            return None
        told = list(self.told[:SHOWN_MAX])
        if len(self._known) > SHOWN_MAX:
            told.append(f"and {len(self._known) - SHOWN_MAX} more")
        return SEPARATOR.join(told)

    @property
    def told(self) -> tuple[str, ...]:
        """Each symbol with its reason."""
        return tuple(one.words for one in self._known.values())
