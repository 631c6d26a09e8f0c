"""The rhythm of feeds over a restart: one sealed file, written now and then."""

import asyncio
from pathlib import Path
from typing import Final

import msgspec
from typing_extensions import override

from aitrading.core.infrastructure.files import make_private_folder, write_atomically
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.security.file_sealing import FileKeys
from aitrading.server.data_bridge.tick_rates import TickRates

SAVE_EVERY_S: Final = 60.0
FILE_NAME: Final = "tick-rates"

_log = get_logger(__name__)


class RateKeeper(LoopingComponent):
    """Reads the file at the start, writes it every minute and at the end.

    A file that cannot be read is no reason not to start: the fixed bounds count until the rhythm
    is learned again.
    """

    def __init__(self, rates: TickRates, folder: Path, keys: FileKeys, clock: Clock) -> None:
        super().__init__("tick-rates")
        self._rates = rates
        self._path = folder / FILE_NAME
        self._keys = keys
        self._clock = clock

    @override
    async def start(self) -> None:
        """Know what was known before, and keep it from now on."""
        make_private_folder(self._path.parent)
        await self._read()
        self._tasks.keep(self._keep, name="keep", clock=self._clock)
        self._state = ComponentState.HEALTHY

    @override
    async def stop(self) -> None:
        """Write it a last time."""
        await self._tasks.close()
        await self._save()
        self._state = ComponentState.STOPPED

    async def _keep(self) -> None:
        while True:
            await self._clock.sleep(SAVE_EVERY_S)
            await self._save()

    async def _read(self) -> None:
        if not self._path.exists():
            return
        try:
            sealed = await asyncio.to_thread(self._path.read_bytes)
            self._rates.load(self._keys.open(sealed, name=FILE_NAME))
        except (AitradingError, OSError, msgspec.MsgspecError, ValueError) as exc:
            _log.warning("the rhythm of feeds was not read; it is learned again", reason=str(exc))

    async def _save(self) -> None:
        try:
            sealed = self._keys.seal(self._rates.dump(), name=FILE_NAME)
            await asyncio.to_thread(write_atomically, self._path, sealed)
        except (AitradingError, OSError) as exc:  # a full disk; tried again in a minute
            _log.warning("the rhythm of feeds was not written", reason=str(exc))
