"""What Market Watch shows, looked at again every few seconds beside the questions for ticks."""

from collections.abc import Callable
from typing import Final

from aitrading.client.metatrader_connector.questions import shown_symbols
from aitrading.client.terminal.calls import Asks
from aitrading.client.terminal.port import AccountInfo
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.logging.optimized_log_router import get_logger

LOOK_EVERY_S: Final = 3.0
REST: Final = 50
"""The terminal is left alone that many times as long as a look took: a broker may list thousands."""

_log = get_logger(__name__)


class MarketWatch:
    """Keeps the newest look until it is taken; one at the account of before is thrown away."""

    def __init__(self, terminal: Asks, configured: tuple[str, ...], clock: Clock) -> None:
        self._terminal = terminal
        self.configured = configured
        self._clock = clock
        self._seen: tuple[AccountInfo, tuple[str, ...], tuple[str, ...]] | None = None

    def news(self, account: AccountInfo | None) -> tuple[str, ...] | None:
        """What the newest look showed, once; nothing of another account or of other symbols."""
        seen, self._seen = self._seen, None
        if seen is None or seen[0] is not account or seen[1] != self.configured:
            return None
        return seen[2]

    async def run(self, account: Callable[[], AccountInfo | None]) -> None:
        """Look without end, while there is an account to look at."""
        took_s = 0.0
        while True:
            await self._clock.sleep(max(LOOK_EVERY_S, took_s * REST))
            of = account()
            if of is None:
                continue
            began_ns = self._clock.monotonic_ns()
            try:
                configured = self.configured
                self._seen = of, configured, await shown_symbols(self._terminal, configured)
            except AitradingError as exc:  # whoever asks for ticks finds out what it is
                _log.info("market watch was not looked at", error=exc)
            took_s = (self._clock.monotonic_ns() - began_ns) / NS_PER_S
