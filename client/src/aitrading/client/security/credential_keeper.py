"""Keeps the lease of the stored login and does what the server demands of it."""

import asyncio

from typing_extensions import override

from aitrading.client.security.credential_manager import CredentialManager
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import NS_PER_MS, NS_PER_S, Clock, rfc3339_of_ns
from aitrading.core.kit.errors import AitradingError, FieldValue
from aitrading.core.logging.optimized_log_router import get_logger

_log = get_logger(__name__)


class CredentialKeeper(LoopingComponent):
    """Renews the lease every `renew_s`, and seals the login anew when the server wants it.

    DEGRADED while the server does not answer, FAILED when it refuses. The terminal that is logged
    in stays so: ending a lease does not end the broker's session.
    """

    def __init__(
        self, manager: CredentialManager, *, renew_s: float, clock: Clock, errors: ErrorHandler
    ) -> None:
        super().__init__("broker-login")
        self.depends_on = ("certificate",)
        self.rotations = 0
        self._manager = manager
        self._renew_s = renew_s
        self._clock = clock
        self._errors = errors
        self._refused_by: str | None = None
        self._stored_ms: int | None = None

    def statistics(self) -> dict[str, FieldValue]:
        """For health: when the lease ends and how old the stored login is."""
        lease = self._manager.lease
        return {
            "lease_ends": rfc3339_of_ns(lease.ends_ns) if lease else None,
            "lease_left_s": self._left_s(),
            "stored_at": None
            if self._stored_ms is None
            else rfc3339_of_ns(self._stored_ms * NS_PER_MS),
            "rotations": self.rotations,
            "refused_by": self._refused_by,
        }

    @override
    async def start(self) -> None:
        """Ask for a lease now and again and again; a server that is away does not keep the rest back."""
        await self.check()
        self._tasks.keep(self._run, name="lease", clock=self._clock)

    async def check(self) -> None:
        """Renew the lease, and rotate if that is wanted."""
        try:
            await asyncio.to_thread(self._renew)
        except (AitradingError, OSError) as exc:  # the server away, or a full disk: asked again
            self._refused_by = self._errors.classify(exc).code
            has_lease = self._manager.lease is not None
            self._state = ComponentState.DEGRADED if has_lease else ComponentState.FAILED
            return
        self._refused_by = None
        self._state = ComponentState.HEALTHY

    def _renew(self) -> None:
        if self._manager.renew_lease().rotate:
            self._manager.rotate()
            self.rotations += 1
            _log.info("stored broker login sealed anew, as the server wanted")
        self._stored_ms = self._manager.describe().stored_ms

    def _left_s(self) -> int | None:
        lease = self._manager.lease
        if lease is None:
            return None
        return max(0, (lease.ends_monotonic_ns - self._clock.monotonic_ns()) // NS_PER_S)

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(self._renew_s)
            await self.check()
