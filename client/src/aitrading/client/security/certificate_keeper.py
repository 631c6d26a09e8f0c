"""Renews the device certificate long before its end."""

import asyncio
from typing import Final

from typing_extensions import override

from aitrading.client.security.device_files import DeviceFiles, DeviceRecord
from aitrading.client.security.enrolment import renew
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.security.crypto import Validity

RENEW_AT: Final = 2 / 3
CHECK_S: Final = 60.0

_log = get_logger(__name__)


class CertificateKeeper(LoopingComponent):
    """Checks every minute whether two thirds of the certificate's life have passed.

    DEGRADED while the renewal that is due does not succeed; the present certificate is used to
    its end. The link takes the new one at its next connection.
    """

    def __init__(
        self, files: DeviceFiles, record: DeviceRecord, *, clock: Clock, errors: ErrorHandler
    ) -> None:
        super().__init__("certificate")
        self.renewals = 0
        self._files = files
        self._record = record
        self._clock = clock
        self._errors = errors

    @override
    async def start(self) -> None:
        """Renew now if it is due, even after the end, and check from now on."""
        self._state = ComponentState.HEALTHY
        await self.check()
        self._tasks.keep(self._run, name="renew", clock=self._clock)

    async def check(self) -> None:
        """Renew when it is due."""
        validity = await asyncio.to_thread(lambda: self._files.certificate().validity)
        if self._clock.now_ns() < due_ns(validity):
            return
        try:
            await asyncio.to_thread(renew, self._files, self._record, self._clock)
        except (AitradingError, OSError) as exc:  # the server away, or a full disk: asked again
            self._errors.classify(exc)
            self._state = ComponentState.DEGRADED
            return
        self.renewals += 1
        self._state = ComponentState.HEALTHY
        _log.info("device certificate renewed")

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(CHECK_S)
            await self.check()


def due_ns(validity: Validity) -> int:
    """When two thirds of a certificate's life have passed."""
    life_ns = validity.not_after_ns - validity.not_before_ns
    return validity.not_before_ns + round(life_ns * RENEW_AT)
