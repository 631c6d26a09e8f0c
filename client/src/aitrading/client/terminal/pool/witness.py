"""Tells the ledger of availability what the workers see of their terminals."""

import asyncio
from pathlib import Path
from typing import Final

from aitrading.client.terminal.availability import (
    FILE_NAME,
    AvailabilityLedger,
    TerminalState,
)
from aitrading.client.terminal.calls import Answer
from aitrading.client.terminal.pool.errors import CALL_OVERDUE
from aitrading.client.terminal.pool.slot import Slot
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError, FieldValue
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.security.device_reports import AVAILABILITY_WANTED

STORE_EVERY_S: Final = 20.0

_log = get_logger(__name__)


class Witness:
    """One worker speaks for each terminal: the first that is connected to it."""

    def __init__(self, home: Path, kind: str, terminals: int, clock: Clock) -> None:
        self._ledger = AvailabilityLedger(home / FILE_NAME, clock)
        self._kind = kind
        self._terminals = terminals

    def heard(self, slot: Slot) -> None:
        """The terminal answered."""
        if slot.number >= self._terminals:
            return
        if slot.has_broker:
            self._ledger.heard(self._name(slot))
        else:
            self._ledger.failed(self._name(slot), TerminalState.AWAY)

    def looked(self, slot: Slot, answers: list[Answer]) -> None:
        """The terminal said whether it has its broker."""
        info = answers[0].value
        slot.has_broker = info is None or bool(info.connected)
        self.heard(slot)

    def failed(self, slot: Slot, exc: AitradingError) -> None:
        """The terminal did not answer, or cannot be reached."""
        if slot.number < self._terminals:
            wedged = exc.spec is CALL_OVERDUE
            state = TerminalState.WEDGED if wedged else TerminalState.AWAY
            self._ledger.failed(self._name(slot), state)

    def statistics(self, slot: Slot) -> dict[str, FieldValue]:
        """The running month of a terminal."""
        month = self._ledger.this_month(self._name(slot))
        share = month.share
        return {
            "available_percent": None if share is None else round(100 * share, 3),
            "available_wanted_percent": 100 * AVAILABILITY_WANTED,
            "measured_s": round(month.measured_s),
            "failures": month.failures,
        }

    async def store(self) -> None:
        """Keep what was measured; a disk that is full costs the measure, never the feed."""
        try:
            await asyncio.to_thread(self._ledger.store, self._ledger.encoded())
        except OSError as exc:
            _log.warning("availability was not stored", error=exc)

    def _name(self, slot: Slot) -> str:
        return slot.path or self._kind
