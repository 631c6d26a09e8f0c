"""What the edge refused becomes security events: who came with a false token, who flooded.

The edge writes one record per request into a log that is rotated within a fixed size. This follows
it and audits what tells of an attack, folded: n attempts of one source leave log2(n) events, so a
flood fills neither the disk nor the trail. A request without any token, or with one that has ended,
is everyday life and no event.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from typing_extensions import override

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import Clock
from aitrading.server.api_gateway.edge.observation import DENIED
from aitrading.server.api_gateway.identity.refusals import Refused
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.log_tail import LogTail
from aitrading.server.kit.tenancy import PLATFORM

LOOK_S: Final = 1.0
_ACTIONS: Final = {
    f"{DENIED}token": AuditAction.EDGE_TOKEN_REFUSED,
    f"{DENIED}limit": AuditAction.EDGE_LIMITED,
}
_EVERYDAY: Final = ("Jwt_is_missing", "Jwt_is_expired")
_MAX_REASON_CHARS: Final = 64


class _Fields(msgspec.Struct):
    verdict: str | None = None
    details: str | None = None
    client: str | None = None


class _Record(msgspec.Struct):
    logger: str
    fields: _Fields


_decoder: Final = msgspec.json.Decoder(_Record)


class RefusedAtEdge(LoopingComponent):
    """A component: reads every second; what the database cannot take is lost, and said."""

    def __init__(
        self,
        tail: LogTail,
        note: Callable[[Refused], Awaitable[None]],
        *,
        clock: Clock,
        on_error: Callable[[Exception], object],
    ) -> None:
        super().__init__("edge-refusals", on_error=on_error)
        self.critical = False
        self._tail = tail
        self._note = note
        self._clock = clock
        self._on_error = on_error

    @override
    async def start(self) -> None:
        """From now on; what happened before has been seen, or nobody was there to see it."""
        await asyncio.to_thread(self._tail.begin)
        self._tasks.keep(self._follow, name="follow", clock=self._clock)
        self._state = ComponentState.HEALTHY

    @override
    async def stop(self) -> None:
        """Read no more."""
        await self._tasks.close()
        self._tail.close()
        self._state = ComponentState.STOPPED

    async def look(self) -> None:
        """Audit what was refused since the last look."""
        for line in await self._tail.read():
            refused = refusal_of(line)
            if refused is not None:
                await self._note(refused)

    async def _follow(self) -> None:
        while True:
            await self._clock.sleep(LOOK_S)
            try:
                await self.look()
            except Exception as exc:  # noqa: BLE001 - the next look may find the database again
                self._on_error(exc)
                self._state = ComponentState.DEGRADED
            else:
                self._state = ComponentState.HEALTHY


def refusal_of(line: bytes) -> Refused | None:
    """One record as a refusal that is worth an event; None for any other line."""
    if DENIED.encode() not in line:
        return None
    try:
        record = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    fields = record.fields
    action = _ACTIONS.get(fields.verdict or "")
    reason = (fields.details or "").partition("{")[2].rstrip("}")[:_MAX_REASON_CHARS]
    if record.logger != "access" or action is None or reason.startswith(_EVERYDAY):
        return None
    return Refused(
        action=action,
        tenant=PLATFORM,
        subject="edge",
        target=reason.encode(),
        address=fields.client or "",
        kind=(fields.verdict or "").removeprefix(DENIED),
        tenant_is_claimed=False,
    )
